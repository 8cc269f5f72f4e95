/* update-pnl: profit and loss of every account that ever had a transfer, at each height with funding payments (PnL
 * specification, section 3). */

#include "sql/statements.h"
#include "workers/pnl/height_pages.h"
#include "workers/pnl/pnl.h"

/* A row less is a history that begins anew at the next height: rather none than that. */
static int check(const HeightNotice *n, Error *reterr) {
        int r;

        if (!str_eq(n->what, "clash"))
                return 0;
        r = error_set(
                reterr, ERROR_NEVER, -EEXIST,
                "table pnl: account %s has rows at the time of height %s, and in the whole millisecond, that belong to "
                "other heights",
                n->name, n->height);
        error_set_hint(reterr, "find out where these rows come from; the task goes on when they are gone");
        return r;
}

static void tell(TaskContext *ctx, const HeightNotice *n) {
        _cleanup_free_ char *item = NULL;

        if (str_eq(n->what, "moved")) {
                item = str_printf("account %s at the time of height %s", n->name, n->height);
                task_item_failed(
                        ctx, item ? item : n->name,
                        "table pnl has a row of another height there, so that of this one is moved by less than "
                        "a millisecond");
        } else {
                item = str_printf("account %s", n->name);
                task_item_failed(ctx, item ? item : n->name,
                                 "the fee of %lld of its fills is no number and counts as 0", (long long) n->count);
        }
}

int update_pnl_run(TaskContext *ctx) {
        static const HeightPages pages = {
                .at = "update-pnl#runTask",
                .metrics = "update_pnl",
                .cache_key = "pnlLastProcessedHeight",
                .computing = "Computing profit and loss",
                .computed = "Successfully computed profit and loss",
                .failed = "Error computing profit and loss",
                .height_field = "pnlOccurredAtHeight",
                .read = &sql_pnl_read_pnl_heights,
                .write = &sql_pnl_write_pnl,
                .check = check,
                .tell = tell,
        };

        return height_pages_run(ctx, &pages);
}
