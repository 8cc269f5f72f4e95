/* Entries of the hash of latest ticks as the original and others write them, and spoilt ones. */

#include <criterion/criterion.h>

#include "workers/pnl/latest_ticks.h"

static int parse(const char *text, LatestTick *ret) {
        _cleanup_error_ Error e = ERROR_INIT;

        return latest_tick_parse(text, strlen(text), ret, &e);
}

Test(latest_ticks, forms_that_are_read) {
        LatestTick t = { 0 };

        cr_assert_eq(parse("{\"totalPnl\":\"1\",\"netTransfers\":\"2\",\"subaccountId\":\"x\",\"createdAt\":"
                           "\"2026-03-05T12:00:30.007Z\",\"equity\":\"3\",\"blockHeight\":\"20000\",\"blockTime\":"
                           "\"2026-03-05T12:00:00.123Z\"}",
                           &t),
                     0);
        cr_assert_eq(t.height, 20000);
        cr_assert_eq(t.time_usec, 1772712000123000);
        cr_assert_eq(t.created_usec, 1772712030007000);
        cr_assert_eq(parse(" { \"blockTime\" : \"2026-03-05T13:00:00+01:00\", \"blockHeight\" : 7 } ", &t), 0);
        cr_assert_eq(t.height, 7);
        cr_assert_eq(t.created_usec, t.time_usec);
        cr_assert_eq(t.time_usec, 1772712000000000);
}

Test(latest_ticks, what_is_spoilt_is_refused) {
        static const char *const texts[] = {
                "",
                "null",
                "[]",
                "{}",
                "{\"blockHeight\":\"1\"}",
                "{\"blockTime\":\"2026-03-05T12:00:00.123Z\"}",
                "{\"blockHeight\":\"\",\"blockTime\":\"2026-03-05\"}",
                "{\"blockHeight\":\"-1\",\"blockTime\":\"2026-03-05\"}",
                "{\"blockHeight\":-1,\"blockTime\":\"2026-03-05\"}",
                "{\"blockHeight\":1.5,\"blockTime\":\"2026-03-05\"}",
                "{\"blockHeight\":\"1e3\",\"blockTime\":\"2026-03-05\"}",
                "{\"blockHeight\":\"1234567890123456789\",\"blockTime\":\"2026-03-05\"}",
                "{\"blockHeight\":\"1\",\"blockTime\":\"yesterday\"}",
                "{\"blockHeight\":\"1\",\"blockTime\":1772712000123}",
                "{\"blockHeight\":\"1\",\"blockTime\":\"1960-01-01\"}",
                "{\"blockHeight\":\"1\",\"blockTime\":\"2026-03-05\"} x",
        };
        LatestTick t = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                cr_assert_eq(parse(texts[i], &t), -EBADMSG, "%s", texts[i]);
}

Test(latest_ticks, ids_of_subaccounts) {
        char id[UUID_TEXT_SIZE];

        cr_assert(subaccount_id_parse("D6EC04EA-055e-5fd0-b4ac-cf90e4f36d30", 36, id));
        cr_assert_str_eq(id, "d6ec04ea-055e-5fd0-b4ac-cf90e4f36d30");
        cr_assert_not(subaccount_id_parse("d6ec04ea-055e-5fd0-b4ac-cf90e4f36d3", 35, id));
        cr_assert_not(subaccount_id_parse("d6ec04ea-055e-5fd0-b4ac-cf90e4f36d30 ", 37, id));
        cr_assert_not(subaccount_id_parse("d6ec04ea0055e-5fd0-b4ac-cf90e4f36d30", 36, id));
        cr_assert_not(subaccount_id_parse("g6ec04ea-055e-5fd0-b4ac-cf90e4f36d30", 36, id));
}
