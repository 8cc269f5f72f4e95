#include <inttypes.h>
#include <stdio.h>

#include "workers/orders/expiry_set.h"

#define KEY "v4/orderExpiry"
#define ORDER_PREFIX "v4/orders/"
#define DATA_PREFIX "v4/orderData/"
#define LONGEST_PREFIX (sizeof(DATA_PREFIX) - 1)

struct ExpirySet {
        char cutoff[24], page_size[24];
        size_t size;
        /* where the next page begins: behind this member of this score */
        Buffer score, member;
        bool started, ended;
        uint64_t due;
        /* Replies are borrowed from the pipelines: the members from one, their values from the other, in which the next
         * page's members have come along. */
        RedisPipeline *members, *values;
        const redisReply *page; /* member, score, member, score … */
};

/* The page behind a member that may be gone: where it was or would be is found by bisection among those of its score.
 * Returns how many are due, and the page. */
static const RedisScript page_script = {
        .name = "expiry_page",
        .text = "local key, cutoff, size, score, last = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]\n"
                /* byte by byte, as the set orders them; Lua's < goes by the locale */
                "local function is_behind(member)\n"
                "  for i = 1, math.min(#member, #last) do\n"
                "    local a, b = member:byte(i), last:byte(i)\n"
                "    if a ~= b then return a > b end\n"
                "  end\n"
                "  return #member > #last\n"
                "end\n"
                "local due = redis.call('ZCOUNT', key, '-inf', cutoff)\n"
                "local low = 0\n"
                "if score ~= '' then\n"
                "  local high = redis.call('ZCOUNT', key, '-inf', score)\n"
                "  low = redis.call('ZCOUNT', key, '-inf', '(' .. score)\n"
                "  while low < high do\n"
                "    local middle = math.floor((low + high) / 2)\n"
                "    if is_behind(redis.call('ZRANGE', key, middle, middle)[1]) then\n"
                "      high = middle\n"
                "    else\n"
                "      low = middle + 1\n"
                "    end\n"
                "  end\n"
                "end\n"
                "if low >= due then return {due, {}} end\n"
                "return {due, redis.call('ZRANGE', key, low, math.min(low + size, due) - 1, 'WITHSCORES')}\n",
};

/* Returns how many members it removed, and the places in ARGV of those whose order's key is of another type. */
static const RedisScript orphans_script = {
        .name = "remove_expiry_orphans",
        .text = "local n, foreign = 0, {}\n"
                "for i, member in ipairs(ARGV) do\n"
                "  local type = redis.call('TYPE', KEYS[i + 1]).ok\n"
                "  if type == 'none' then\n"
                "    n = n + redis.call('ZREM', KEYS[1], member)\n"
                "  elseif type ~= 'string' then\n"
                "    foreign[#foreign + 1] = i\n"
                "  end\n"
                "end\n"
                "return {n, foreign}\n",
};

static int no_memory(Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a page of %s", KEY);
}

ExpirySet *expiry_set_free(ExpirySet *s) {
        if (!s)
                return NULL;
        buffer_done(&s->score);
        buffer_done(&s->member);
        (void) redis_pipeline_free(s->members);
        (void) redis_pipeline_free(s->values);
        free(s);
        return NULL;
}

int expiry_set_new(int64_t cutoff, size_t page_size, ExpirySet **ret) {
        _cleanup_(expiry_set_freep) ExpirySet *s = calloc(1, sizeof(*s));

        if (!s || redis_pipeline_new(&s->members) < 0 || redis_pipeline_new(&s->values) < 0)
                return -ENOMEM;
        (void) snprintf(s->cutoff, sizeof(s->cutoff), "%" PRId64, cutoff);
        (void) snprintf(s->page_size, sizeof(s->page_size), "%zu", page_size);
        s->size = page_size;
        *ret = TAKE_PTR(s);
        return 0;
}

/* Keys of members, one behind the other; freed at once. */
typedef struct Keys {
        char *text, *end;
        const char **argv;
        size_t *lengths, n;
} Keys;

static void keys_done(Keys *k) {
        free(k->text);
        free(k->argv);
        free(k->lengths);
}

static int keys_reserve(Keys *k, size_t n, size_t length) {
        k->text = k->end = malloc(length);
        k->argv = calloc(n, sizeof(*k->argv));
        k->lengths = calloc(n, sizeof(*k->lengths));
        return k->text && k->argv && k->lengths ? 0 : -ENOMEM;
}

static void keys_add(Keys *k, const char *prefix, const char *id, size_t length) {
        size_t prefix_length = strlen(prefix);

        k->argv[k->n] = k->end;
        k->lengths[k->n++] = prefix_length + length;
        k->end = mempcpy(mempcpy(k->end, prefix, prefix_length), id, length);
}

static size_t page_entries(const ExpirySet *s) {
        return s->page ? s->page->elements / 2 : 0;
}

ExpiryEntry expiry_set_entry(const ExpirySet *s, size_t i) {
        const redisReply *member = s->page->element[2 * i], *values = redis_pipeline_reply(s->values, 0);

        return (ExpiryEntry){
                .id = member->str,
                .id_length = (size_t) member->len,
                .order = values->element[2 * i],
                .data = values->element[2 * i + 1],
        };
}

uint64_t expiry_set_due(const ExpirySet *s) {
        return s->due;
}

static int add_page_script(const ExpirySet *s, RedisPipeline *p) {
        const char *args[] = { s->cutoff, s->page_size, s->score.data ?: "", s->member.data ?: "" };
        const size_t lengths[] = { strlen(args[0]), strlen(args[1]), s->score.length, s->member.length };

        return redis_pipeline_add_script_data(p, &page_script, 1, (const char *const[]){ KEY }, NULL, ELEMENTSOF(args),
                                              args, lengths);
}

/* All values in one command: nobody can replace an order between the reads of it and of its data. */
static int add_values(const ExpirySet *s, RedisPipeline *p) {
        _cleanup_(keys_done) Keys k = { 0 };
        size_t n = page_entries(s), length = sizeof("MGET");

        for (size_t i = 0; i < n; i++)
                length += 2 * (LONGEST_PREFIX + (size_t) s->page->element[2 * i]->len);
        if (keys_reserve(&k, 1 + 2 * n, length) < 0)
                return -ENOMEM;
        keys_add(&k, "MGET", "", 0);
        for (size_t i = 0; i < n; i++) {
                const redisReply *member = s->page->element[2 * i];

                keys_add(&k, ORDER_PREFIX, member->str, (size_t) member->len);
                keys_add(&k, DATA_PREFIX, member->str, (size_t) member->len);
        }
        return redis_pipeline_add(p, k.n, k.argv, k.lengths);
}

/* The answer of the page script. */
static int take_page(ExpirySet *s, const redisReply *reply, Error *reterr) {
        int r;

        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, KEY, reterr);
        if (r >= 0 && (reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_INTEGER))
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "redis: %s: unexpected answer of a script", KEY);
        if (r >= 0)
                r = redis_reply_check(reply->element[1], REDIS_REPLY_ARRAY, KEY, reterr);
        if (r < 0)
                return r;
        s->due = (uint64_t) reply->element[0]->integer;
        s->page = reply->element[1];
        return 0;
}

/* The next page will begin behind the last member of this one. */
static int remember_position(ExpirySet *s) {
        const redisReply *const *last = (const redisReply *const *) s->page->element + s->page->elements - 2;

        buffer_clear(&s->member);
        buffer_clear(&s->score);
        (void) buffer_append(&s->member, last[0]->str, (size_t) last[0]->len);
        (void) buffer_append(&s->score, last[1]->str, (size_t) last[1]->len);
        return buffer_failed(&s->member) || buffer_failed(&s->score) ? -ENOMEM : 0;
}

static int read_first_page(TaskContext *ctx, ExpirySet *s, Error *reterr) {
        int r;

        redis_pipeline_clear(s->members);
        if (add_page_script(s, s->members) < 0)
                return no_memory(reterr);
        r = task_redis_read(ctx, "expiry_page", s->members, reterr);
        return r < 0 ? r : take_page(s, redis_pipeline_reply(s->members, 0), reterr);
}

/* What the last call asked for along with its values becomes the page. */
static int turn_page(ExpirySet *s, Error *reterr) {
        RedisPipeline *p = s->members;

        s->members = s->values;
        s->values = p;
        return take_page(s, redis_pipeline_reply(s->members, 1), reterr);
}

int expiry_set_next(TaskContext *ctx, ExpirySet *s, Error *reterr) {
        int r;

        if (s->ended)
                return 0;
        r = s->started ? turn_page(s, reterr) : read_first_page(ctx, s, reterr);
        if (r < 0)
                return r;
        s->started = true;
        if (page_entries(s) == 0) {
                s->ended = true;
                return 0;
        }
        redis_pipeline_clear(s->values);
        if (remember_position(s) < 0 || add_values(s, s->values) < 0 || add_page_script(s, s->values) < 0)
                return no_memory(reterr);
        r = task_redis_read(ctx, "expired_orders", s->values, reterr);
        if (r >= 0)
                r = redis_reply_check(redis_pipeline_reply(s->values, 0), REDIS_REPLY_ARRAY, ORDER_PREFIX, reterr);
        if (r >= 0 && redis_pipeline_reply(s->values, 0)->elements != 2 * page_entries(s))
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "redis: MGET answered with too few values");
        return r < 0 ? r : (int) page_entries(s);
}

/* The answer of the orphans' script: the indices it names are moved to the front. */
static int take_foreign(const redisReply *reply, size_t *indices, size_t n, ExpiryOrphans *ret, Error *reterr) {
        const redisReply *foreign;
        int r;

        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, orphans_script.name, reterr);
        if (r < 0)
                return r;
        foreign = reply->elements == 2 ? reply->element[1] : NULL;
        if (!foreign || reply->element[0]->type != REDIS_REPLY_INTEGER || foreign->type != REDIS_REPLY_ARRAY)
                goto unexpected;
        ret->removed = reply->element[0]->integer;
        for (size_t i = 0; i < foreign->elements; i++) {
                int64_t at = foreign->element[i]->integer; /* counted from 1, ascending */

                if (foreign->element[i]->type != REDIS_REPLY_INTEGER || at <= (int64_t) i || at > (int64_t) n)
                        goto unexpected;
                indices[ret->foreign++] = indices[at - 1];
        }
        return 0;

unexpected:
        return error_set(reterr, ERROR_NEVER, -EBADMSG, "redis: %s: unexpected answer of a script",
                         orphans_script.name);
}

int expiry_set_remove_orphans(TaskContext *ctx, const ExpirySet *s, size_t *indices, size_t n, ExpiryOrphans *ret,
                              Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_(keys_done) Keys k = { 0 }, members = { 0 };
        size_t length = sizeof(KEY), total = 0;
        bool done;
        int r;

        *ret = (ExpiryOrphans){ 0 };
        if (n == 0)
                return 0;
        for (size_t i = 0; i < n; i++)
                total += expiry_set_entry(s, indices[i]).id_length;
        length += n * LONGEST_PREFIX + total;
        if (redis_pipeline_new(&p) < 0 || keys_reserve(&k, n + 1, length) < 0 ||
            keys_reserve(&members, n, total + 1) < 0)
                return no_memory(reterr);
        keys_add(&k, KEY, "", 0);
        for (size_t i = 0; i < n; i++) {
                ExpiryEntry e = expiry_set_entry(s, indices[i]);

                keys_add(&k, ORDER_PREFIX, e.id, e.id_length);
                keys_add(&members, "", e.id, e.id_length);
        }
        if (redis_pipeline_add_script_data(p, &orphans_script, k.n, k.argv, k.lengths, members.n, members.argv,
                                           members.lengths) < 0)
                return no_memory(reterr);
        r = task_redis_write(ctx, orphans_script.name, p, &done, reterr);
        if (r < 0 || !done)
                return r;
        return take_foreign(redis_pipeline_reply(p, 0), indices, n, ret, reterr);
}
