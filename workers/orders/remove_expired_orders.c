/* remove_expired_orders: asks Vulcan to drop short-term orders that should have ended and of which no removal came
 * (orders specification, section 4).
 *
 * Why a crash loses nothing: what will be sent is what v4/orderExpiry says, and this task takes nothing out of it.
 * Vulcan removes order and member together when it has read the message. So until then every run sends the message
 * again, and needs no list of its own. For the same reason nothing may be removed here behind the acknowledgement:
 * Vulcan ignores the message when the order is gone. Only members without an order, which nobody else would ever
 * remove, are taken out, by a script that looks again. */

#include <inttypes.h>

#include "common/clock.h"
#include "workers/orders/expired_order.h"
#include "workers/orders/expiry_set.h"
#include "workers/orders/orders.h"
#include "workers/orders/removal_batch.h"

#define AT "remove-expired-orders#runTask"

/* What outlives a slice. */
typedef struct Expiry {
        int64_t cutoff; /* the last block up to which orders have expired */
        ExpirySet *set;
        uint64_t started_usec, seen;
        bool keeps_orphans; /* they could not be removed: not tried again in this run */
} Expiry;

/* Of one slice. */
typedef struct Counts {
        int64_t sent, not_found, newer, filled, orphans;
} Counts;

static void expiry_free(void *data) {
        Expiry *x = data;

        (void) expiry_set_free(x->set);
        free(x);
}

static int expiry_begin(TaskContext *ctx, Expiry **ret, Error *reterr) {
        int64_t height, delay = settings_int(task_settings(ctx), "orders.expiry_delay_blocks");
        Expiry *x;
        int r;

        r = orders_read_height(ctx, &height, reterr);
        if (r < 0)
                return r;
        x = calloc(1, sizeof(*x));
        if (!x || expiry_set_new(height - delay, (size_t) settings_int(task_settings(ctx), "orders.page_size"),
                                 &x->set) < 0) {
                free(x);
                (void) error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
                return -ENOMEM;
        }
        x->cutoff = height - delay;
        x->started_usec = clock_monotonic_usec();
        task_keep(ctx, x, expiry_free);
        *ret = x;
        return 0;
}

static void log_entry(TaskContext *ctx, const Expiry *x, const ExpiryEntry *e, const char *text) {
        task_log(ctx, LOG_LEVEL_DEBUG, AT,
                 (const LogField[]){ LOG_STRING("ORDER_UUID", "orderUuid", e->id),
                                     LOG_INT("EXPIRY_CUTOFF", "expiryCutoff", x->cutoff) },
                 2, "%s", text);
}

static void entry_failed(TaskContext *ctx, const ExpiryEntry *e, const char *text) {
        _cleanup_free_ char *item = str_printf("order %s", e->id);

        task_item_failed(ctx, item ?: "order", "%s", text);
}

/* Puts the removal of one order that Redis knows into the batch, if there is to be one. `message` is for its use. */
static int add_removal(TaskContext *ctx, const Expiry *x, const ExpiryEntry *entry, RemovalBatch *batch,
                       Buffer *message, Counts *c, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        ExpiredOrder order;
        int r;

        buffer_clear(message);
        r = expired_order_read(entry->order->str, (size_t) entry->order->len, entry->data->str,
                               (size_t) entry->data->len, x->cutoff, &order, message, &e);
        if (r == -EILSEQ || r == -EBADMSG) {
                entry_failed(ctx, entry, error_text(&e));
                return 0;
        }
        if (r < 0) {
                error_move(reterr, &e);
                return r;
        }
        if (order.newer) {
                c->newer++;
                log_entry(ctx, x, entry, "Order was replaced by one with a later expiry");
                return 0;
        }
        c->filled += order.fully_filled;
        return removal_batch_add(ctx, batch, order.key, message->data, message->length, reterr);
}

/* A Redis that refuses to be written to must not keep removals from being sent. */
static int remove_orphans(TaskContext *ctx, Expiry *x, size_t *orphans, size_t n, Counts *c, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        ExpiryOrphans found;
        int r;

        if (n == 0 || x->keeps_orphans)
                return 0;
        r = expiry_set_remove_orphans(ctx, x->set, orphans, n, &found, &e);
        c->orphans += found.removed;
        if (r >= 0) {
                for (size_t i = 0; i < found.foreign; i++) {
                        ExpiryEntry entry = expiry_set_entry(x->set, orphans[i]);

                        entry_failed(ctx, &entry, "its key in Redis is not of type string");
                }
                return 0;
        }
        if (e.kind == ERROR_CANCELED) {
                error_move(reterr, &e);
                return r;
        }
        x->keeps_orphans = true;
        task_item_failed(ctx, "members of v4/orderExpiry without an order", "%s", error_text(&e));
        return 0;
}

static int handle_page(TaskContext *ctx, Expiry *x, size_t n, RemovalBatch *batch, Counts *c, Error *reterr) {
        _cleanup_free_ size_t *orphans = calloc(n, sizeof(*orphans));
        _cleanup_buffer_ Buffer message = { 0 };
        size_t n_orphans = 0;
        int r;

        if (!orphans)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a page of %zu orders", n);
        for (size_t i = 0; i < n; i++) {
                ExpiryEntry e = expiry_set_entry(x->set, i);

                if (e.order->type == REDIS_REPLY_STRING && e.data->type == REDIS_REPLY_STRING) {
                        r = add_removal(ctx, x, &e, batch, &message, c, reterr);
                        if (r < 0)
                                return r;
                        continue;
                }
                c->not_found++;
                log_entry(ctx, x, &e, "Order or its data was not found");
                if (e.order->type == REDIS_REPLY_STRING)
                        entry_failed(ctx, &e, "it has no order data, or not as a string");
                else
                        orphans[n_orphans++] = i;
        }
        return remove_orphans(ctx, x, orphans, n_orphans, c, reterr);
}

/* Redis has failed, which is the error to tell; what earlier pages gave is sent all the same. */
static void send_the_rest(TaskContext *ctx, RemovalBatch *batch) {
        _cleanup_error_ Error e = ERROR_INIT;

        if (removal_batch_send(ctx, batch, &e) < 0 && e.kind != ERROR_CANCELED)
                task_log(ctx, LOG_LEVEL_ERROR, AT,
                         (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)) }, 1,
                         "Removals of earlier pages were not sent: %s", error_text(&e));
}

/* Page after page until there is none, or until the slice is over: 0, TASK_MORE or a negative errno. */
static int handle_pages(TaskContext *ctx, Expiry *x, RemovalBatch *batch, Counts *c, Error *reterr) {
        uint64_t until = clock_monotonic_usec() + settings_duration_usec(task_settings(ctx), "orders.slice");
        int n, r;

        while ((n = expiry_set_next(ctx, x->set, reterr)) > 0) {
                r = handle_page(ctx, x, (size_t) n, batch, c, reterr);
                if (r < 0)
                        return r;
                x->seen += (uint64_t) n;
                task_progress(ctx, x->seen, x->seen > expiry_set_due(x->set) ? x->seen : expiry_set_due(x->set),
                              "orders");
                if (clock_monotonic_usec() >= until) {
                        n = TASK_MORE;
                        break;
                }
        }
        if (n < 0) {
                send_the_rest(ctx, batch);
                return n;
        }
        r = removal_batch_send(ctx, batch, reterr);
        return r < 0 ? r : n;
}

/* A counter that nothing was counted for is not sent, as by the original. */
static void count(TaskContext *ctx, const char *metric, const char *field, int64_t n) {
        if (metric && n > 0)
                task_count(ctx, metric, n, NULL, 0);
        task_field_int(ctx, field, n);
}

static void tell_counts(TaskContext *ctx, const Counts *c) {
        count(ctx, "expiry_message_sent", "messages", c->sent);
        count(ctx, "expired_order_data_not_found", "not_found", c->not_found);
        count(ctx, "indexer_expired_order_has_newer_expiry", "newer_expiry", c->newer);
        count(ctx, "fully_filled_orders_expired_by_roundtable", "fully_filled", c->filled);
        count(ctx, NULL, "orphans_removed", c->orphans);
}

int remove_expired_orders_run(TaskContext *ctx) {
        _cleanup_removal_batch_ RemovalBatch batch = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        Expiry *x = task_kept(ctx);
        Counts c = { 0 };
        int r;

        r = x ? 0 : expiry_begin(ctx, &x, &e);
        if (r < 0)
                return task_fail(ctx, &e);
        r = handle_pages(ctx, x, &batch, &c, &e);
        c.sent = batch.delivered;
        tell_counts(ctx, &c);
        if (r == TASK_MORE)
                return r;
        task_timing(ctx, "remove_expired_orders.timing",
                    (int64_t) ((clock_monotonic_usec() - x->started_usec) / USEC_PER_MSEC), NULL, 0);
        if (r >= 0)
                return 0;
        task_log(ctx, LOG_LEVEL_ERROR, AT, (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)) }, 1,
                 "Error occurred in task to remove expired orders");
        return task_fail(ctx, &e);
}
