/* Reading the hash of latest ticks. What must stay true: an entry that somebody else spoilt concerns its own subaccount
 * alone, whose tick is then looked for in the table. */

#include <jansson.h>

#include "common/clock.h"
#include "workers/pnl/latest_ticks.h"

#define PAGE_TEXT "5000"
_Static_assert(LATEST_TICKS_PAGE == 5000, "PAGE_TEXT must say the same");

bool subaccount_id_parse(const char *text, size_t length, char ret[static UUID_TEXT_SIZE]) {
        if (length != UUID_TEXT_SIZE - 1)
                return false;
        for (size_t i = 0; i < length; i++) {
                char c = text[i];

                if (i == 8 || i == 13 || i == 18 || i == 23) {
                        if (c != '-')
                                return false;
                } else if (c >= 'A' && c <= 'F')
                        c = (char) (c - 'A' + 'a');
                else if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                        return false;
                ret[i] = c;
        }
        ret[length] = '\0';
        return true;
}

static int read_height(const json_t *value, int64_t *ret) {
        const char *text = json_string_value(value);
        size_t length = text ? strlen(text) : 0;

        if (json_is_integer(value)) {
                *ret = json_integer_value(value);
                return *ret >= 0 ? 0 : -EINVAL;
        }
        if (length == 0 || length > 18 || strspn(text, "0123456789") != length)
                return -EINVAL;
        *ret = strtoll(text, NULL, 10);
        return 0;
}

static int read_time(const json_t *value, int64_t *ret) {
        const char *text = json_string_value(value);

        if (!text || parse_iso(text, strlen(text), ret) < 0 || *ret < 0)
                return -EINVAL;
        return 0;
}

int latest_tick_parse(const char *value, size_t length, LatestTick *ret, Error *reterr) {
        json_error_t problem;
        json_t *object = json_loadb(value, length, 0, &problem);
        LatestTick tick;
        int r = 0;

        if (!object)
                return json_error_code(&problem) == json_error_out_of_memory
                               ? error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory")
                               : error_set(reterr, ERROR_NEVER, -EBADMSG, "it is not JSON: %s", problem.text);
        if (!json_is_object(object))
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "it is not an object");
        else if (read_height(json_object_get(object, "blockHeight"), &tick.height) < 0)
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "its blockHeight is not a height");
        else if (read_time(json_object_get(object, "blockTime"), &tick.time_usec) < 0)
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "its blockTime is not a time");
        else if (read_time(json_object_get(object, "createdAt"), &tick.created_usec) < 0)
                tick.created_usec = tick.time_usec;
        json_decref(object);
        if (r >= 0)
                *ret = tick;
        return r;
}

void latest_tick_unusable(TaskContext *ctx, const char *field, size_t length, const Error *e) {
        _cleanup_free_ char *item =
                str_printf("subaccount %.*s", (int) (length < UUID_TEXT_SIZE ? length : UUID_TEXT_SIZE), field);

        task_item_failed(ctx, item ? item : "subaccount", "its entry in %s is left out: %s", LATEST_TICKS_KEY,
                         error_text(e));
}

static int visit(TaskContext *ctx, const redisReply *field, const redisReply *value, LatestTickCallback callback,
                 void *userdata, Error *reterr) {
        _cleanup_error_ Error e = ERROR_INIT;
        char subaccount[UUID_TEXT_SIZE];
        LatestTick tick;
        int r;

        if (subaccount_id_parse(field->str, field->len, subaccount))
                r = latest_tick_parse(value->str, value->len, &tick, &e);
        else
                r = error_set(&e, ERROR_NEVER, -EBADMSG, "its name is not the id of a subaccount");
        if (r == -ENOMEM) {
                error_move(reterr, &e);
                return r;
        }
        if (r < 0) {
                latest_tick_unusable(ctx, field->str, field->len, &e);
                return 0;
        }
        return callback(ctx, subaccount, &tick, userdata, reterr);
}

/* The reply of HSCAN: the next cursor, and fields and values in turn. */
static int visit_page(TaskContext *ctx, const redisReply *reply, LatestTickCallback callback, void *userdata,
                      Error *reterr) {
        const redisReply *page = reply->elements == 2 ? reply->element[1] : NULL;
        int r;

        if (!page || page->type != REDIS_REPLY_ARRAY || page->elements % 2 != 0 ||
            reply->element[0]->type != REDIS_REPLY_STRING)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "redis: HSCAN %s: unexpected reply", LATEST_TICKS_KEY);
        for (size_t i = 0; i + 1 < page->elements; i += 2) {
                r = visit(ctx, page->element[i], page->element[i + 1], callback, userdata, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int latest_ticks_scan(TaskContext *ctx, LatestTickCallback callback, void *userdata, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        char cursor[32] = "0";

        if (redis_pipeline_new(&p) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        do {
                const redisReply *reply;
                int r;

                redis_pipeline_clear(p);
                if (redis_pipeline_addv(p, "HSCAN", LATEST_TICKS_KEY, cursor, "COUNT", PAGE_TEXT, NULL) < 0)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
                r = task_redis_read(ctx, "scan_latest_ticks", p, reterr);
                if (r < 0)
                        return r;
                reply = redis_pipeline_reply(p, 0);
                r = redis_reply_check(reply, REDIS_REPLY_ARRAY, "HSCAN " LATEST_TICKS_KEY, reterr);
                if (r >= 0)
                        r = visit_page(ctx, reply, callback, userdata, reterr);
                if (r < 0)
                        return r;
                if (reply->element[0]->len >= sizeof(cursor))
                        return error_set(reterr, ERROR_NEVER, -EBADMSG, "redis: HSCAN %s: unexpected cursor",
                                         LATEST_TICKS_KEY);
                memcpy(cursor, reply->element[0]->str, reply->element[0]->len + 1);
        } while (!str_eq(cursor, "0"));
        return 0;
}
