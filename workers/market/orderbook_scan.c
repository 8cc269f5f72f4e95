#include <stdio.h>

#include "workers/market/orderbook_scan.h"
#include "workers/market/orderbook_scripts.h"
#include "workers/market/orderbook_window.h"

/* Fields without a partner: those that are named, and as much of each, and how many there are. */
typedef struct Alone {
        char *prices[ORDERBOOK_MISMATCHES_LOGGED];
        OrderbookText texts[ORDERBOOK_MISMATCHES_LOGGED];
        size_t n, seen;
} Alone;

typedef struct Scan {
        TaskContext *ctx;
        const OrderbookMarket *market;
        unsigned flags;
        OrderbookLevelsCallback callback;
        void *userdata;
        RedisPipeline *pipeline;
        OrderbookLevel *levels; /* of a page */
        size_t allocated;
        Alone alone[2]; /* in the hash of sizes, of times */
} Scan;

static void forget_alone(Scan *s) {
        for (size_t times = 0; times < ELEMENTSOF(s->alone); times++) {
                for (size_t i = 0; i < s->alone[times].n; i++)
                        free(s->alone[times].prices[i]);
                s->alone[times].n = s->alone[times].seen = 0;
        }
}

static Scan *scan_free(Scan *s) {
        if (!s)
                return NULL;
        forget_alone(s);
        if (s->pipeline)
                redis_pipeline_free(s->pipeline);
        free(s->levels);
        free(s);
        return NULL;
}
DEFINE_CLEANUP(Scan, scan_free)

static int no_memory(const Scan *s, Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the book of %s", s->market->ticker);
}

/* One page of orderbook_script_scan; ret_page is borrowed until the next. */
static int read_page(Scan *s, OrderbookSideName side, bool by_times, const char *cursor, const redisReply **ret_page,
                     Error *reterr) {
        _cleanup_free_ char *scanned = orderbook_key(s->market->ticker, side, by_times),
                            *other = orderbook_key(s->market->ticker, side, !by_times);
        const redisReply *reply;
        int r;

        redis_pipeline_clear(s->pipeline);
        if (!scanned || !other ||
            redis_pipeline_add_script(s->pipeline, &orderbook_script_scan, 2, (const char *const[]){ scanned, other },
                                      1, &cursor) < 0)
                return no_memory(s, reterr);
        r = task_redis_read(s->ctx, "scan_orderbook", s->pipeline, reterr);
        if (r < 0)
                return r;
        reply = redis_pipeline_reply(s->pipeline, 0);
        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, "HSCAN", reterr);
        if (r < 0) {
                /* a key of another type spoils this book, any other answer all of them */
                if (reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "WRONGTYPE"))
                        return -EBADMSG;
                return r == -EBADMSG ? -EIO : r;
        }
        if (reply->elements % 3 != 1 || reply->element[0]->type != REDIS_REPLY_STRING)
                return error_set(reterr, ERROR_NEVER, -EIO, "redis: HSCAN: %zu values", reply->elements);
        *ret_page = reply;
        return 0;
}

static int remember_alone(Scan *s, bool by_times, const redisReply *name, Error *reterr) {
        const size_t length = name->len <= ORDERBOOK_NAME_LOGGED ? name->len : ORDERBOOK_NAME_LOGGED + 1;
        Alone *a = s->alone + by_times;

        a->seen++;
        if (a->n == ELEMENTSOF(a->prices))
                return 0;
        a->prices[a->n] = malloc(length);
        if (!a->prices[a->n] && length > 0)
                return no_memory(s, reterr);
        if (length > 0)
                (void) memcpy(a->prices[a->n], name->str, length);
        a->texts[a->n] = (OrderbookText){ a->prices[a->n], length };
        a->n++;
        return 0;
}

static OrderbookText text_of(const redisReply *r) {
        return (OrderbookText){ r->str, r->len };
}

static int take_page(Scan *s, OrderbookSideName side, bool by_times, const redisReply *page, Error *reterr) {
        const size_t fields = page->elements / 3;
        size_t n = 0;

        if (fields > s->allocated) {
                OrderbookLevel *grown = reallocarray(s->levels, fields, sizeof(*grown));

                if (!grown)
                        return no_memory(s, reterr);
                s->levels = grown;
                s->allocated = fields;
        }
        for (size_t i = 0; i < fields; i++) {
                redisReply *const *field = page->element + 1 + 3 * i;
                int r;

                if (field[2]->type == REDIS_REPLY_NIL)
                        r = remember_alone(s, by_times, field[0], reterr);
                else if (by_times)
                        continue;
                else {
                        s->levels[n] = (OrderbookLevel){ .price = text_of(field[0]),
                                                         .size = text_of(field[1]),
                                                         .updated = text_of(field[2]) };
                        r = orderbook_level_check(s->levels + n, s->flags, reterr);
                        n += r > 0;
                }
                if (r < 0)
                        return r;
        }
        return n > 0 ? s->callback(s->market, side, s->levels, n, s->userdata, reterr) : 0;
}

static int scan_hash(Scan *s, OrderbookSideName side, bool by_times, Error *reterr) {
        char cursor[32] = "0";
        int r;

        do {
                const redisReply *page = NULL;

                r = read_page(s, side, by_times, cursor, &page, reterr);
                if (r >= 0)
                        r = take_page(s, side, by_times, page, reterr);
                if (r < 0) {
                        (void) error_prefix(reterr, "%s", orderbook_side_to_string(side));
                        return r;
                }
                (void) snprintf(cursor, sizeof(cursor), "%s", page->element[0]->str);
        } while (!str_eq(cursor, "0"));
        return 0;
}

int orderbook_scan(TaskContext *ctx, const OrderbookMarket *m, unsigned flags, bool report,
                   OrderbookLevelsCallback callback, void *userdata, Error *reterr) {
        _cleanup_(scan_freep) Scan *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the book of %s", m->ticker);
        s->ctx = ctx;
        s->market = m;
        s->flags = flags;
        s->callback = callback;
        s->userdata = userdata;
        if (redis_pipeline_new(&s->pipeline) < 0)
                return no_memory(s, reterr);
        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++) {
                forget_alone(s);
                r = scan_hash(s, side, false, reterr);
                if (r >= 0 && report)
                        r = scan_hash(s, side, true, reterr);
                if (r < 0)
                        return r;
                if (report)
                        orderbook_report_mismatch(ctx, m, side, s->alone[0].texts, s->alone[0].seen, s->alone[1].texts,
                                                  s->alone[1].seen);
        }
        return 0;
}

typedef struct Windows {
        Orderbook book;
        OrderbookWindow sides[ORDERBOOK_SIDES];
} Windows;

static void windows_done(Windows *w) {
        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++)
                orderbook_window_done(&w->sides[side]);
        orderbook_done(&w->book);
}

static int show(const OrderbookMarket *m, OrderbookSideName side, OrderbookLevel *levels, size_t n, void *userdata,
                Error *reterr) {
        Windows *w = userdata;

        for (size_t i = 0; i < n; i++)
                if (orderbook_window_add(&w->sides[side], levels + i) < 0)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the book of %s", m->ticker);
        return 0;
}

int orderbook_scan_windows(TaskContext *ctx, const OrderbookMarket *m, unsigned flags, OrderbookCallback callback,
                           void *userdata, Error *reterr) {
        _cleanup_(windows_done) Windows w = { 0 };
        int r;

        for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++) {
                w.sides[side].name = side;
                w.sides[side].side = &w.book.sides[side];
        }
        for (;; w.book.window++) {
                w.book.taken = (OrderbookCut){ 0 };
                r = orderbook_scan(ctx, m, flags, w.book.window == 0, show, &w, reterr);
                if (r < 0)
                        return r;
                for (OrderbookSideName side = 0; side < ORDERBOOK_SIDES; side++)
                        orderbook_window_finish(&w.sides[side]);
                r = callback(m, &w.book, userdata, reterr);
                if (r != ORDERBOOK_MORE)
                        return r;
                orderbook_window_next(&w.sides[ORDERBOOK_BUY], w.book.taken.bids);
                orderbook_window_next(&w.sides[ORDERBOOK_SELL], w.book.taken.asks);
        }
}
