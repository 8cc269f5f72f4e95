/* `roundtable-admin feed`: keeps a sampled database alive at a modest rate: a block, prices and fills each step,
 * funding samples now and then, which start anew with each hour. Outages are said once and waited out. */

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/sample/sample.h"
#include "workers/sample/sample_internal.h"
#include "workers/worker_protocol.h"

#define HOUR (3600 * USEC_PER_SEC)

typedef struct Feed {
        const Settings *settings;
        SampleContext context;
        uint64_t interval_usec, hour, step;
        const char *fills;
        bool away; /* an outage was reported and is not over */
} Feed;

static int add_funding(RedisPipeline *p, const char *ticker, bool new_hour) {
        _cleanup_free_ char *key = str_printf("v4/nextFunding/%s", ticker);
        char sample[32];

        if (!key)
                return -ENOMEM;
        if (new_hour && redis_pipeline_addv(p, "DEL", key, NULL) < 0)
                return -ENOMEM;
        (void) snprintf(sample, sizeof(sample), "%de-9", ((int) (random_u64() % 201) - 100) * 125);
        return redis_pipeline_addv(p, "RPUSH", key, sample, NULL);
}

/* Every step another tenth of the markets gets a sample; all of them at a full hour. */
static int feed_funding(Feed *f, Error *reterr) {
        _cleanup_redis_pipeline_ RedisPipeline *p = NULL;
        _cleanup_pg_result_ PGresult *markets = NULL;
        uint64_t hour = clock_realtime_usec() / HOUR;
        bool new_hour = f->hour != 0 && hour != f->hour;
        int r;

        r = sample_query(&f->context, &sql_sample_read_feed_markets, 0, NULL, &markets, reterr);
        if (r < 0)
                return r;
        r = redis_pipeline_new(&p);
        for (int i = 0; r >= 0 && i < PQntuples(markets); i++)
                if (new_hour || (uint64_t) i % 10 == f->step % 10)
                        r = add_funding(p, PQgetvalue(markets, i, 0), new_hour);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "out of memory for funding samples");
        if (redis_pipeline_count(p) > 0) {
                r = redis_execute(f->context.redis, "feed_funding", p, f->context.token, reterr);
                for (size_t i = 0; r >= 0 && i < redis_pipeline_count(p); i++)
                        r = redis_reply_check(redis_pipeline_reply(p, i), REDIS_REPLY_INTEGER, "RPUSH", reterr);
        }
        if (r >= 0)
                f->hour = hour;
        return r;
}

static int feed_step(Feed *f, Error *reterr) {
        const char *params[] = { f->fills };
        int r;

        if (!f->context.postgres) {
                r = sample_connect(f->settings, "roundtable/admin/feed", &f->context, reterr);
                if (r < 0)
                        return r;
        }
        r = sample_query(&f->context, &sql_sample_feed_tick, ELEMENTSOF(params), params, NULL, reterr);
        return r < 0 ? r : feed_funding(f, reterr);
}

static void feed_once(Feed *f) {
        _cleanup_error_ Error e = ERROR_INIT;
        int r = feed_step(f, &e);

        f->step++;
        if (r < 0) {
                if (!f->away)
                        fprintf(stderr, "feed: %s; trying again\n", error_text(&e));
                f->away = true;
                sample_context_done(&f->context);
        } else if (f->away) {
                fprintf(stderr, "feed: goes on\n");
                f->away = false;
        }
}

static int feed_loop(Feed *f) {
        _cleanup_close_ int signals = -EBADF;
        sigset_t mask;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        signals = signalfd(-1, &mask, SFD_CLOEXEC);
        if (signals < 0)
                return -errno;
        for (;;) {
                int r;

                feed_once(f);
                r = cancel_token_poll(NULL, signals, POLLIN, f->interval_usec);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
}

int feed_run(int argc, char **argv) {
        static const struct option options[] = {
                { "conf", required_argument, NULL, 'c' },
                { "interval", required_argument, NULL, 'i' },
                { "fills", required_argument, NULL, 'f' },
                { NULL, 0, NULL, 0 },
        };
        _cleanup_settings_ Settings *settings = NULL;
        Feed f = { .interval_usec = USEC_PER_SEC, .fills = "20" };
        const char *conf_dir = NULL;
        long interval = 1000, fills = 20;
        int c, r;

        optind = 1;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                char *end = NULL;

                switch (c) {
                case 'c':
                        conf_dir = optarg;
                        break;
                case 'i':
                        interval = strtol(optarg, &end, 10);
                        break;
                case 'f':
                        fills = strtol(optarg, &end, 10);
                        f.fills = optarg;
                        break;
                default:
                        return EXIT_CODE_USAGE;
                }
                if (end && (end == optarg || *end))
                        interval = -1;
        }
        if (optind != argc || interval < 10 || interval > 3600000 || fills < 0 || fills > 100000) {
                fprintf(stderr, "usage: feed [--conf DIR] [--interval 10..3600000 (ms)] [--fills 0..100000]\n");
                return EXIT_CODE_USAGE;
        }
        f.interval_usec = (uint64_t) interval * USEC_PER_MSEC;
        r = sample_load_settings(conf_dir, &settings);
        if (r < 0)
                return r == -EBADMSG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
        f.settings = settings;
        r = feed_loop(&f);
        sample_context_done(&f.context);
        if (r < 0)
                fprintf(stderr, "feed: %s\n", strerror(-r));
        return r < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
