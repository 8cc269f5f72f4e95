/* update-funding-payments: what every open position paid or received at each height with funding index updates (PnL
 * specification, section 2). The rows of a height are also the positions that the next one begins with. */

#include "sql/statements.h"
#include "workers/pnl/height_pages.h"
#include "workers/pnl/pnl.h"

static const char *carry_forward(const TaskContext *ctx) {
        return settings_bool(task_settings(ctx), "pnl.carry_funding_forward") ? "true" : "false";
}

static void tell(TaskContext *ctx, const HeightNotice *n) {
        _cleanup_free_ char *item = NULL;

        if (str_eq(n->what, "pair")) {
                item = str_printf("clob pair %s", n->name);
                task_item_failed(ctx, item ? item : n->name, "it has no market, its %lld fills make no positions",
                                 (long long) n->count);
        } else if (str_eq(n->what, "hole")) {
                item = str_printf("market %s", n->name);
                task_item_failed(ctx, item ? item : n->name,
                                 "without a funding index update at height %s its %lld positions end there and begin "
                                 "anew, with an index of 0; pnl.carry_funding_forward would keep them",
                                 n->height, (long long) n->count);
        } else {
                item = str_printf("market %s at height %s", n->name, n->height);
                task_item_failed(
                        ctx, item ? item : n->name,
                        "%lld payments have the same account, time and ticker as others: %s", (long long) n->count,
                        str_eq(n->what, "moved") ? "they are moved by less than a millisecond" : "they are left out");
        }
}

int update_funding_payments_run(TaskContext *ctx) {
        static const HeightPages pages = {
                .at = "update-funding-payments#runTask",
                .metrics = "update_funding_payments",
                .cache_key = "fundingPaymentsLastProcessedHeight",
                .computing = "Computing funding payments",
                .computed = "Successfully computed funding payments",
                .failed = "Error computing funding payments",
                .height_field = "fundingOccurredAtHeight",
                .read = &sql_pnl_read_funding_heights,
                .write = &sql_pnl_write_funding_payments,
                .parameter = carry_forward,
                .tell = tell,
        };

        return height_pages_run(ctx, &pages);
}
