/* Parked updates as JSON. The value is the example of the orders specification, section 6. */

#include "tests/unit/hex.h"
#include "workers/orders/order_update.h"

static void expect_json(const char *hex, const char *expected) {
        _cleanup_buffer_ Buffer json = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        uint8_t value[256];
        size_t n = from_hex(hex, value);

        cr_assert_eq(order_update_to_json((const char *) value, n, &json, &e), 0, "%s", error_text(&e));
        cr_assert_str_eq(json.data, expected);
}

Test(order_update, as_json) {
        expect_json("0a360a2d0a2b64796478317630726b733930373836703039337a366d36333273646d6c373766616365613765383874686d"
                    "15015ec390c2b2200110c2a0c38bc29801",
                    "{\"orderId\":{\"subaccountId\":{\"owner\":\"dydx1v0rks90786p093z6m632sdml77facea7e88thm\","
                    "\"number\":0},\"clientId\":3000000001,\"orderFlags\":0,\"clobPairId\":1},"
                    "\"totalFilledQuantums\":\"2500000\"}");
        expect_json("0a0010c3bfc3bfc3bfc3bfc3bfc3bfc3bfc3bfc3bf01",
                    "{\"orderId\":{\"clientId\":0,\"orderFlags\":0,\"clobPairId\":0},"
                    "\"totalFilledQuantums\":\"18446744073709551615\"}");
        expect_json("", "{\"totalFilledQuantums\":\"0\"}");
}

Test(order_update, what_is_none_is_refused) {
        _cleanup_buffer_ Buffer json = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(order_update_to_json("\x10\xa0\xcb", 3, &json, &e), -EILSEQ);
        cr_assert_eq(order_update_to_json("\x0a\x36", 2, &json, &e), -EBADMSG);
        cr_assert_eq(json.length, 0);
}
