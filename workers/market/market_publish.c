/* Publishing of market_updater. A change is named before it is committed and forgotten after the broker has
 * acknowledged it, so that a crash, or a broker that is away, leads to a repetition and never to a loss. Values are
 * never kept: the next run sends those it has just computed. */

#include "common/clock.h"
#include "workers/market/market_publish.h"

#define TOPIC "to-websockets-markets"

void market_names_done(MarketNames *l) {
        for (size_t i = 0; i < l->n; i++)
                free(l->names[i]);
        free(l->names);
        *l = (MarketNames){ 0 };
}

/* Takes the name. */
static int names_take(MarketNames *l, char *name) {
        if (!name)
                return -ENOMEM;
        if (l->n == l->allocated) {
                size_t wanted = l->allocated > 0 ? 2 * l->allocated : 64;
                char **grown = reallocarray(l->names, wanted, sizeof(*grown));

                if (!grown) {
                        free(name);
                        return -ENOMEM;
                }
                l->names = grown;
                l->allocated = wanted;
        }
        l->names[l->n++] = name;
        return 0;
}

int market_names_add(MarketNames *l, const Market *m, unsigned columns) {
        for (unsigned i = 0; i < MARKET_COLUMNS; i++)
                if (columns & (1u << i)) {
                        int r = names_take(l, str_printf("%s:%s", m->id, market_column_name(i)));

                        if (r < 0)
                                return r;
                }
        return 0;
}

/* Markets are in ascending numeric order of ids without leading zeros; negative ones do not occur, but would only be
 * treated as gone. */
static Market *find_market(Market *markets, size_t n, const char *id, size_t length) {
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = low + (high - low) / 2, l = strlen(markets[middle].id);
                int order = l != length ? (l < length ? -1 : 1) : memcmp(markets[middle].id, id, length);

                if (order == 0)
                        return markets + middle;
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}

int market_publish_select(Market *markets, size_t n, const TaskPending *pending, MarketNames *ret_gone) {
        size_t n_pending = pending ? task_pending_count(pending) : 0;

        for (size_t i = 0; i < n; i++)
                markets[i].published = markets[i].changed;
        for (size_t i = 0; i < n_pending; i++) {
                const char *name = task_pending_name(pending, i), *colon = strchr(name, ':');
                Market *m = colon ? find_market(markets, n, name, (size_t) (colon - name)) : NULL;
                int column = colon ? market_column_from_name(colon + 1, strlen(colon + 1)) : -1, r;

                if (m && column >= 0) {
                        m->published |= 1u << column;
                        continue;
                }
                r = names_take(ret_gone, strdup(name));
                if (r < 0)
                        return r;
        }
        return 0;
}

/* 1: acknowledged, 0: not sent and kept for the next run. */
static int send_record(TaskContext *ctx, const Buffer *contents, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_buffer_ Buffer value = { 0 };
        uint64_t start = clock_monotonic_usec();
        KafkaMessage message;
        bool delivered = false;
        int r;

        r = market_message_encode(contents, &value);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for a message of %zu bytes", contents->length);
        task_log(ctx, LOG_LEVEL_DEBUG, "websocket#compareAndHandleMarketsWebsocketMessage",
                 (const LogField[]){ LOG_JSON("CONTENTS", "contents", contents->data) }, 1,
                 "Sending markets websocket message");
        message = (KafkaMessage){ .topic = TOPIC, .value = value.data, .value_length = value.length };
        r = task_publish(ctx, &message, 1, &delivered, &e);
        task_timing(ctx, "publish_markets_websocket_updates_duration",
                    (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC), NULL, 0);
        task_gauge(ctx, "publish_markets_websocket", 1, NULL, 0);
        if (r >= 0)
                return 1;
        if (e.kind == ERROR_CANCELED) {
                error_move(reterr, &e);
                return r;
        }
        task_log(ctx, LOG_LEVEL_ERROR, "websocket#publishToMarketsWebsocket",
                 (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)),
                                     LOG_STRING("HINT", "hint", e.hint) },
                 2, "Publish to markets websocket failed; the next run sends it again: %s", error_text(&e));
        return 0;
}

int market_publish(TaskContext *ctx, const Market *markets, size_t n, TaskPending *pending, MarketNames *gone,
                   Error *reterr) {
        _cleanup_market_names_ MarketNames sent = { 0 };
        _cleanup_buffer_ Buffer contents = { 0 };
        size_t n_markets = 0;
        int r;

        r = market_message_contents(markets, n, &contents);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for the message");
        if (r > 0) {
                for (size_t i = 0; i < n; i++) {
                        n_markets += markets[i].published != 0;
                        if (market_names_add(&sent, markets + i, markets[i].published) < 0)
                                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for names to publish");
                }
                r = send_record(ctx, &contents, reterr);
                if (r < 0)
                        return r;
                task_field_int(ctx, r > 0 ? "published_markets" : "unpublished_markets", (int64_t) n_markets);
                if (r > 0) {
                        r = task_pending_remove(ctx, pending, (const char *const *) sent.names, sent.n, reterr);
                        if (r < 0)
                                return r;
                }
        }
        if (gone->n == 0)
                return 0;
        return task_pending_remove(ctx, pending, (const char *const *) gone->names, gone->n, reterr);
}
