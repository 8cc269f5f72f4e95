/* One statement on the replica selects. Two things are remembered about failures:
 *
 * In Redis, who failed while others were answered: a sorted set by the instant of the failure. They come last.
 *
 * In the database, a pass, from when a run begins with a batch of which nobody was answered. Whether the service was
 * ill then or those addresses always fail is not known, and nobody is marked for it; but from then on half of the
 * places are for all addresses in turn, until the pass has been through them. Without it, as many addresses that always
 * fail as a run has places, if they come first and Redis knows nothing of them, would keep all others from being asked
 * about. */

#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/compliance/screening_list.h"

/* Who failed is forgotten after a while, and of more than 10,000 the oldest are (the rank counted from the newest). */
#define FAILED_BEYOND "-10001"
#define FAILED_EXPIRES_SEC "604800"
/* Members of one command. */
#define FAILED_PAGE 1000

/* In persistent_cache: the last address that the pass has been through. */
#define PASS_KEY "complianceScreeningPass"

/* Columns of select_addresses.sql. */
enum {
        ROW_ADDRESS,
        ROW_PART,
        ROW_NEW,
        ROW_ACTIVE_TAKEN,
        ROW_ACTIVE_STALE,
        ROW_OLD_TAKEN,
        ROW_INACTIVE_STALE,
        ROW_PASSING,
        ROW_PASS_ENDS
};

static const MetricTag provider_tag = { "provider", "ELLIPTIC" };

void screening_list_done(ScreeningList *l) {
        screening_items_reset(l->items, l->n);
        free(l->items);
        PQclear(l->rows);
        *l = (ScreeningList){ 0 };
}

static char *failed_key(TaskContext *ctx) {
        return str_printf("%s.control.%s.failed", task_service(ctx), task_name(ctx));
}

static int read_failed(TaskContext *ctx, PgArray *ret, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_free_ char *key = failed_key(ctx);
        const redisReply *reply;
        int r;

        if (!key || redis_pipeline_new(&p) < 0 || redis_pipeline_addv(p, "ZRANGE", key, "0", "-1", NULL) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the addresses that failed lately");
        r = task_redis_read(ctx, "failed_addresses", p, reterr);
        if (r < 0)
                return r;
        reply = redis_pipeline_reply(p, 0);
        r = redis_reply_check(reply, REDIS_REPLY_ARRAY, "ZRANGE", reterr);
        for (size_t i = 0; r >= 0 && i < reply->elements; i++)
                pg_array_append(ret, reply->element[i]->str);
        return r;
}

static const char *instant_before(uint64_t now, uint64_t age, char buf[static ISO_TIME_SIZE]) {
        return format_iso_msec(now > age ? now - age : 0, buf);
}

static void report(TaskContext *ctx, const PGresult *rows, uint64_t start) {
        static const struct {
                int column;
                const char *metric;
        } gauges[] = {
                { ROW_ACTIVE_TAKEN, "update_compliance_data.num_active_addresses" },
                { ROW_NEW, "update_compliance_data.num_new_addresses" },
                { ROW_ACTIVE_STALE, "update_compliance_data.num_active_addresses_with_stale_compliance" },
                { ROW_OLD_TAKEN, "update_compliance_data.num_old_addresses" },
                { ROW_INACTIVE_STALE, "update_compliance_data.num_inactive_addresses_with_stale_compliance" },
        };
        int64_t msec = (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC);

        for (size_t i = 0; i < ELEMENTSOF(gauges); i++)
                task_gauge(ctx, gauges[i].metric, (double) strtoll(PQgetvalue(rows, 0, gauges[i].column), NULL, 10),
                           &provider_tag, 1);
        /* one statement finds all of them: both of the original's figures are about it */
        task_timing(ctx, "update_compliance_data.get_active_addresses", msec, &provider_tag, 1);
        task_timing(ctx, "update_compliance_data.get_old_addresses", msec, &provider_tag, 1);
}

int screening_list_read(TaskContext *ctx, ScreeningList *ret, Error *reterr) {
        _cleanup_(screening_list_done) ScreeningList l = { 0 };
        char active[ISO_TIME_SIZE], active_age[ISO_TIME_SIZE], age[ISO_TIME_SIZE], limit[24];
        uint64_t now = task_now_usec(ctx), start = clock_monotonic_usec();
        const Settings *s = task_settings(ctx);
        _cleanup_pg_array_ PgArray failed = { 0 };
        const char *params[] = { active, active_age, age, limit, NULL, PASS_KEY };
        size_t n;
        int r;

        (void) instant_before(now, settings_duration_usec(s, "compliance.screening.active_threshold"), active);
        (void) instant_before(now, settings_duration_usec(s, "compliance.screening.max_active_age"), active_age);
        (void) instant_before(now, settings_duration_usec(s, "compliance.screening.max_age"), age);
        (void) snprintf(limit, sizeof(limit), "%lld", (long long) settings_int(s, "compliance.screening.max_per_run"));
        r = read_failed(ctx, &failed, reterr);
        if (r < 0)
                return r;
        params[4] = pg_array_text(&failed);
        if (!params[4])
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu addresses", failed.n);
        r = task_query(ctx, PG_REPLICA, &sql_compliance_select_addresses, ELEMENTSOF(params), params, &l.rows, reterr);
        if (r < 0)
                return r;
        report(ctx, l.rows, start);
        n = PQgetisnull(l.rows, 0, ROW_ADDRESS) ? 0 : (size_t) PQntuples(l.rows);
        l.items = calloc(n > 0 ? n : 1, sizeof(*l.items));
        if (!l.items)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu addresses", n);
        l.n = n;
        l.passing = str_eq(PQgetvalue(l.rows, 0, ROW_PASSING), "t");
        l.pass_ends = str_eq(PQgetvalue(l.rows, 0, ROW_PASS_ENDS), "t");
        for (size_t i = 0; i < n; i++) {
                l.items[i].address = PQgetvalue(l.rows, (int) i, ROW_ADDRESS);
                l.n_passed += str_eq(PQgetvalue(l.rows, (int) i, ROW_PART), "1");
                l.n_again += str_eq(PQgetvalue(l.rows, (int) i, ROW_PART), "3");
        }
        *ret = l;
        l = (ScreeningList){ 0 };
        return 0;
}

static bool any_failed(const ScreeningList *l, size_t from, size_t to) {
        for (size_t i = from; i < to; i++)
                if (l->items[i].failure)
                        return true;
        return false;
}

static int write_pass(TaskContext *ctx, const char *behind, Error *reterr) {
        const char *params[] = { PASS_KEY, behind };

        return task_query(ctx, PG_PRIMARY, &sql_compliance_write_cache, ELEMENTSOF(params), params, NULL, reterr);
}

int screening_list_advance(TaskContext *ctx, ScreeningList *l, size_t from, size_t to, bool answered, Error *reterr) {
        if (!l->passing) {
                if (answered || !any_failed(l, from, to))
                        return 0;
                l->passing = true;
                return write_pass(ctx, "", reterr);
        }
        if (from > 0 && from >= l->n_passed)
                return 0;
        if (to < l->n_passed || !l->pass_ends)
                return write_pass(ctx, l->items[(to < l->n_passed ? to : l->n_passed) - 1].address, reterr);
        l->passing = !answered;
        return write_pass(ctx, answered ? NULL : "", reterr);
}

/* Whether a failure is to be remembered: of who failed before, always, so that they take turns. */
static bool is_own_failure(const ScreeningList *l, size_t i, size_t heard) {
        return l->items[i].failure && (i < heard || i >= l->n - l->n_again);
}

/* ZADD key instant address … of those who failed, or ZREM key address … of those who were answered. */
static int add_command(RedisPipeline *p, const char *key, const ScreeningList *l, size_t from, size_t to, size_t heard,
                       const char *instant) {
        const char *argv[2 + 2 * FAILED_PAGE];
        size_t argc = 0;

        argv[argc++] = instant ? "ZADD" : "ZREM";
        argv[argc++] = key;
        for (size_t i = from; i < to; i++) {
                if (instant ? !is_own_failure(l, i, heard) : !l->items[i].answered)
                        continue;
                if (instant)
                        argv[argc++] = instant;
                argv[argc++] = l->items[i].address;
        }
        return argc > 2 ? redis_pipeline_add(p, argc, argv, NULL) : 0;
}

int screening_list_remember(TaskContext *ctx, const ScreeningList *l, size_t heard, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_free_ char *key = failed_key(ctx);
        char instant[24];
        int r = 0;

        if (heard == 0 && l->n_again == 0)
                return 0;
        (void) snprintf(instant, sizeof(instant), "%llu", (unsigned long long) (task_now_usec(ctx) / USEC_PER_MSEC));
        if (!key || redis_pipeline_new(&p) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the addresses that failed");
        for (size_t from = 0; r >= 0 && from < l->n; from += FAILED_PAGE) {
                size_t to = l->n - from < FAILED_PAGE ? l->n : from + FAILED_PAGE;

                r = add_command(p, key, l, from, to, heard, NULL);
                if (r >= 0)
                        r = add_command(p, key, l, from, to, heard, instant);
        }
        if (r >= 0)
                r = redis_pipeline_addv(p, "ZREMRANGEBYRANK", key, "0", FAILED_BEYOND, NULL);
        if (r >= 0)
                r = redis_pipeline_addv(p, "EXPIRE", key, FAILED_EXPIRES_SEC, NULL);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for the addresses that failed");
        r = task_redis_write(ctx, "remember_failed_addresses", p, NULL, reterr);
        for (size_t i = 0; r >= 0 && !task_is_dry_run(ctx) && i < redis_pipeline_count(p); i++)
                r = redis_reply_check(redis_pipeline_reply(p, i), REDIS_REPLY_INTEGER, "ZADD", reterr);
        return r;
}
