/* refresh-vault-pnl: the two materialized views of the vaults' PnL, soon after the hour or day that they begin with has
 * begun (PnL specification, section 5). CONCURRENTLY, so that nobody who reads them waits. */

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/pnl/pnl.h"

#define HOUR_USEC (3600 * USEC_PER_SEC)
#define DAY_USEC (24 * HOUR_USEC)

typedef struct VaultView {
        const char *name;
        uint64_t unit_usec;
        const SqlStatement *refresh;
        const char *metric, *field;
} VaultView;

static const VaultView views[] = {
        { "vaults_hourly_pnl", HOUR_USEC, &sql_pnl_refresh_vaults_hourly, "refresh-vault-pnl.hourly-view.timing",
          "hourly_view" },
        { "vaults_daily_pnl", DAY_USEC, &sql_pnl_refresh_vaults_daily, "refresh-vault-pnl.daily-view.timing",
          "daily_view" },
};

static int refresh(TaskContext *ctx, const VaultView *view, Error *reterr) {
        uint64_t start = clock_monotonic_usec();
        int r;

        r = task_query(ctx, PG_PRIMARY, view->refresh, 0, NULL, NULL, reterr);
        if (r < 0) {
                if (str_eq(reterr->sqlstate, "0A000")) /* CONCURRENTLY refuses a view without data */
                        error_set_hint(reterr, "REFRESH MATERIALIZED VIEW %s once by hand: it has never been filled",
                                       view->name);
                return r;
        }
        task_timing(ctx, view->metric, (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC), NULL, 0);
        task_field_int(ctx, view->field, 1);
        return 0;
}

int refresh_vault_pnl_run(TaskContext *ctx) {
        uint64_t now = task_now_usec(ctx),
                 window = settings_duration_usec(task_settings(ctx), "pnl.vault_refresh_window");
        _cleanup_error_ Error first = ERROR_INIT;
        int r = 0;

        /* one view that cannot be refreshed does not keep the other one old */
        for (size_t i = 0; i < ELEMENTSOF(views); i++) {
                _cleanup_error_ Error e = ERROR_INIT;

                if (now % views[i].unit_usec >= window)
                        continue;
                task_log(ctx, LOG_LEVEL_DEBUG, "refresh-vault-pnl#refreshViews", NULL, 0, "Refreshing %s",
                         views[i].name);
                if (refresh(ctx, views + i, &e) >= 0)
                        continue;
                /* the original swallowed these and called the run a success */
                task_log(ctx, LOG_LEVEL_ERROR, "refresh-vault-pnl#runTask",
                         (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)) }, 1,
                         "Failed to refresh vault pnl views");
                if (r == 0) {
                        error_move(&first, &e);
                        r = first.err;
                }
                if (first.kind == ERROR_CANCELED)
                        break;
        }
        return r < 0 ? task_fail(ctx, &first) : 0;
}
