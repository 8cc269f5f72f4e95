/* cancel_stale_orders: short-term orders that PostgreSQL still has as open though their last block has passed (orders
 * specification, section 5). Nothing is published: consumers learn of these orders otherwise, and only the status
 * changes. So nothing is pending either; each statement commits by itself, and what a crash leaves is found again. */

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/orders/orders.h"

typedef struct Cancelling {
        int64_t cancelled; /* in all slices of the run */
        int64_t in_slice;
        uint64_t query_usec, update_usec;
} Cancelling;

/* One statement: how many it cancelled, and the last block of the newest of them, where the next one begins. */
static int cancel_batch(TaskContext *ctx, int64_t height, int64_t *from, int64_t *ret_n, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        char height_text[24], size_text[24], from_text[24];
        const char *params[] = { height_text, size_text, from_text };
        int r;

        (void) snprintf(height_text, sizeof(height_text), "%" PRId64, height);
        (void) snprintf(size_text, sizeof(size_text), "%" PRId64,
                        settings_int(task_settings(ctx), "orders.stale_batch_size"));
        (void) snprintf(from_text, sizeof(from_text), "%" PRId64, *from);
        r = task_query(ctx, PG_PRIMARY, &sql_orders_cancel_stale_orders, ELEMENTSOF(params), params, &result, reterr);
        if (r < 0)
                return r;
        *ret_n = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        if (!PQgetisnull(result, 0, 1))
                *from = strtoll(PQgetvalue(result, 0, 1), NULL, 10);
        return 0;
}

/* Batch after batch until one is not full, or until the slice is over: 0, TASK_MORE or a negative errno. */
static int cancel_slice(TaskContext *ctx, Cancelling *c, Error *reterr) {
        int64_t size = settings_int(task_settings(ctx), "orders.stale_batch_size"), height, from = INT64_MIN, n;
        uint64_t start = clock_monotonic_usec(),
                 until = start + settings_duration_usec(task_settings(ctx), "orders.slice"), now;
        int r;

        r = orders_read_height(ctx, &height, reterr);
        if (r < 0)
                return r;
        now = clock_monotonic_usec();
        c->query_usec += now - start;
        for (;;) {
                uint64_t before = now;

                r = cancel_batch(ctx, height, &from, &n, reterr);
                if (r < 0)
                        return r;
                now = clock_monotonic_usec();
                c->update_usec += now - before;
                c->cancelled += n;
                c->in_slice += n;
                /* rows that others hold are skipped: a batch that is not full was the last */
                if (n < size)
                        return 0;
                task_progress(ctx, (uint64_t) c->cancelled, 0, "orders");
                if (now >= until)
                        return TASK_MORE;
        }
}

int cancel_stale_orders_run(TaskContext *ctx) {
        _cleanup_error_ Error e = ERROR_INIT;
        Cancelling *c = task_kept(ctx);
        int r;

        if (!c) {
                c = calloc(1, sizeof(*c));
                if (!c) {
                        (void) error_set(&e, ERROR_RETRY, -ENOMEM, "out of memory");
                        return task_fail(ctx, &e);
                }
                task_keep(ctx, c, free);
        }
        c->in_slice = 0;
        r = cancel_slice(ctx, c, &e);
        task_field_int(ctx, "orders", c->in_slice);
        if (r < 0)
                return task_fail(ctx, &e);
        if (r == TASK_MORE)
                return r;
        task_timing(ctx, "cancel_stale_orders.query.timing", (int64_t) (c->query_usec / USEC_PER_MSEC), NULL, 0);
        task_timing(ctx, "cancel_stale_orders.update.timing", (int64_t) (c->update_usec / USEC_PER_MSEC), NULL, 0);
        /* what is selected is locked, so that both are the same */
        task_gauge(ctx, "num_stale_orders.count", (double) c->cancelled, NULL, 0);
        task_gauge(ctx, "num_stale_orders_canceled.count", (double) c->cancelled, NULL, 0);
        return 0;
}
