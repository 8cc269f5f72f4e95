/* update_affiliate_info: referrals of each affiliate and what the referred traded since (compliance specification,
 * section 7). */

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/compliance/accumulation.h"
#include "workers/compliance/compliance.h"

int update_affiliate_info_run(TaskContext *ctx) {
        static const Accumulation affiliates = {
                .key = "affiliateInfoUpdateTime",
                .default_start = "2024-09-16T00:00:00Z",
                .add = &sql_compliance_add_affiliate_info,
                .find_bad = &sql_compliance_find_bad_fill_of_affiliates,
                .refresh = true, /* referrals are counted without a fill, too */
                .at = "update-affiliate-info#runTask",
                .updating = "Updating affiliate info",
                .failed = "Error when updating affiliate info in affiliate_info table",
                .txn_timing = "update-affiliate-info.update-txn.timing",
        };
        uint64_t start = clock_monotonic_usec();
        int r;

        r = accumulation_run(ctx, &affiliates);
        task_timing(ctx, "update-affiliate-info.total.timing",
                    (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC), NULL, 0);
        return r;
}
