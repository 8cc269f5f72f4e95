/* The expiry set on a real Redis, while it changes between two pages. Each test has a database of its own. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "workers/orders/expiry_set.h"
#include "workers/registry.h"
#include "workers/task_context.h"

typedef struct Fixture {
        Settings *settings;
        CancelToken *token;
        TaskServices services;
        TaskConnections connections;
        TaskContext *ctx;
        ExpirySet *set;
} Fixture;

static void load_settings(Fixture *f, int database) {
        char dir[] = "/tmp/expiry-set-XXXXXX";
        _cleanup_free_ char *path = NULL;
        SettingsSource source = { .conf_dir = dir };
        SettingsProblems problems = { 0 };
        FILE *file;
        int r;

        cr_assert(mkdtemp(dir));
        path = str_printf("%s/roundtable.conf", dir);
        file = fopen(path, "we");
        cr_assert(file);
        (void) fprintf(file, "redis = { url = \"%s?db=%d\"; };\n", getenv("ROUNDTABLE_TEST_REDIS_URL"), database);
        cr_assert_eq(fclose(file), 0);
        r = settings_load(&source, family_manifests, &f->settings, &problems);
        settings_problems_done(&problems);
        (void) unlink(path);
        (void) rmdir(dir);
        cr_assert_eq(r, 0);
}

/* One command that must not fail; its integer, or -1. */
static long long redis(Fixture *f, size_t argc, const char *const *argv) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        const redisReply *reply;

        cr_assert_eq(redis_pipeline_new(&p), 0);
        cr_assert_eq(redis_pipeline_add(p, argc, argv, NULL), 0);
        cr_assert_eq(task_redis_read(f->ctx, "test", p, &e), 0, "%s", error_text(&e));
        reply = redis_pipeline_reply(p, 0);
        cr_assert_neq(reply->type, REDIS_REPLY_ERROR, "%s", reply->str);
        return reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
}
#define REDIS(f, ...)                                                                                                  \
        redis(f, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *const[]){ __VA_ARGS__ })

static void up(Fixture *f, int database, size_t page_size) {
        TaskOptions options = { .task = "expiry_set", .run_id = "run", .max_run_usec = 60 * USEC_PER_SEC };

        if (!getenv("ROUNDTABLE_TEST_REDIS_URL"))
                cr_skip_test("requires redis: ROUNDTABLE_TEST_REDIS_URL is not set (tests/with-servers)");
        load_settings(f, database);
        cr_assert_eq(cancel_token_new(&f->token), 0);
        f->services = (TaskServices){ .settings = f->settings, .family = "orders" };
        cr_assert_eq(task_context_new(&f->services, &options, &f->connections, f->token, &f->ctx), 0);
        cr_assert_eq(expiry_set_new(100, page_size, &f->set), 0);
        (void) REDIS(f, "FLUSHDB");
}

static void down(Fixture *f) {
        f->set = expiry_set_free(f->set);
        f->ctx = task_context_free(f->ctx);
        task_connections_done(&f->connections);
        f->token = cancel_token_free(f->token);
        f->settings = settings_free(f->settings);
}
#define _fixture_ _cleanup_(down) Fixture

/* The next page must consist of these members; "" is the end. */
static void expect_page(Fixture *f, const char *expected) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_buffer_ Buffer found = { 0 };
        int n = expiry_set_next(f->ctx, f->set, &e);

        cr_assert_geq(n, 0, "%s", error_text(&e));
        (void) buffer_append_string(&found, "");
        for (int i = 0; i < n; i++)
                (void) buffer_printf(&found, "%s%s", i > 0 ? " " : "", expiry_set_entry(f->set, (size_t) i).id);
        cr_assert_str_eq(found.data, expected);
}

static void fill(Fixture *f) {
        cr_assert_eq(REDIS(f, "ZADD", "v4/orderExpiry", "5", "a", "7", "b", "7", "c", "7", "d", "7", "e", "100", "f",
                           "101", "g"),
                     7);
}

Test(expiry_set, pages_up_to_the_cutoff) {
        _fixture_ f = { 0 };

        up(&f, 1, 4);
        fill(&f);
        expect_page(&f, "a b c d");
        cr_assert_eq(expiry_set_due(f.set), 6);
        expect_page(&f, "e f");
        expect_page(&f, "");
        expect_page(&f, "");
}

/* The page behind it is read along with a page's values: what changes before is seen, whatever happened to the last
 * member. */
Test(expiry_set, a_last_member_that_goes_or_moves_is_no_loss) {
        _fixture_ f = { 0 };

        up(&f, 2, 2);
        fill(&f);
        expect_page(&f, "a b");
        expect_page(&f, "c d");
        cr_assert_eq(REDIS(&f, "ZREM", "v4/orderExpiry", "a", "b", "c", "d"), 4);
        cr_assert_eq(REDIS(&f, "ZADD", "v4/orderExpiry", "3", "A", "7", "cc", "7", "ee"), 3);
        expect_page(&f, "e f"); /* read before the change */
        expect_page(&f, "");

        f.set = expiry_set_free(f.set);
        cr_assert_eq(expiry_set_new(100, 1, &f.set), 0);
        expect_page(&f, "A");
        expect_page(&f, "cc");
        (void) REDIS(&f, "ZADD", "v4/orderExpiry", "99", "e", "7", "d");
        expect_page(&f, "e"); /* known as of score 7 */
        expect_page(&f, "ee");
        expect_page(&f, "e"); /* it moved behind us */
        (void) REDIS(&f, "ZREM", "v4/orderExpiry", "e", "f", "ee");
        expect_page(&f, "f");
        expect_page(&f, "");
}

Test(expiry_set, values_are_of_their_members) {
        _fixture_ f = { 0 };
        ExpiryEntry e;

        up(&f, 3, 10);
        (void) REDIS(&f, "ZADD", "v4/orderExpiry", "1", "x", "2", "y");
        (void) REDIS(&f, "SET", "v4/orders/y", "order");
        (void) REDIS(&f, "SET", "v4/orderData/y", "data");
        (void) REDIS(&f, "SET", "v4/orderData/x", "alone");
        expect_page(&f, "x y");
        e = expiry_set_entry(f.set, 0);
        cr_assert(e.order->type == REDIS_REPLY_NIL && str_eq(e.data->str, "alone"));
        e = expiry_set_entry(f.set, 1);
        cr_assert(str_eq(e.order->str, "order") && str_eq(e.data->str, "data") && e.id_length == 1);
}

/* Vulcan places an order of an orphan's id between the page and its clean-up. */
Test(expiry_set, an_order_placed_meanwhile_keeps_its_member) {
        size_t orphans[] = { 0, 1, 2 };
        _cleanup_error_ Error e = ERROR_INIT;
        _fixture_ f = { 0 };
        ExpiryOrphans found;

        up(&f, 4, 3);
        fill(&f);
        expect_page(&f, "a b c");
        (void) REDIS(&f, "SET", "v4/orders/b", "placed");
        (void) REDIS(&f, "ZADD", "v4/orderExpiry", "200", "b");
        (void) REDIS(&f, "ZREM", "v4/orderExpiry", "c");
        cr_assert_eq(expiry_set_remove_orphans(f.ctx, f.set, orphans, 3, &found, &e), 0, "%s", error_text(&e));
        cr_assert(found.removed == 1 && found.foreign == 0);
        cr_assert_eq(REDIS(&f, "ZCARD", "v4/orderExpiry"), 5);
        cr_assert_eq(REDIS(&f, "ZCOUNT", "v4/orderExpiry", "200", "200"), 1);
        cr_assert_eq(expiry_set_remove_orphans(f.ctx, f.set, orphans, 0, &found, &e), 0);
        cr_assert(found.removed == 0 && found.foreign == 0);
}

Test(expiry_set, keys_of_another_type_are_told_apart_from_orphans) {
        size_t orphans[] = { 0, 2, 3, 4 };
        _cleanup_error_ Error e = ERROR_INIT;
        _fixture_ f = { 0 };
        ExpiryOrphans found;

        up(&f, 5, 5);
        fill(&f);
        (void) REDIS(&f, "HSET", "v4/orders/c", "a", "b");
        (void) REDIS(&f, "SADD", "v4/orders/e", "a");
        expect_page(&f, "a b c d e");
        cr_assert_eq(expiry_set_remove_orphans(f.ctx, f.set, orphans, 4, &found, &e), 0, "%s", error_text(&e));
        cr_assert(found.removed == 2 && found.foreign == 2);
        cr_assert(orphans[0] == 2 && orphans[1] == 4);
        cr_assert_eq(REDIS(&f, "ZCARD", "v4/orderExpiry"), 5);
}
