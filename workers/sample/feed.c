/* `roundtable-admin feed`: keeps sample data alive at a modest rate, a step of every family each interval. Outages are
 * said once and waited out. */

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "common/clock.h"
#include "workers/sample/sample.h"
#include "workers/sample/sample_internal.h"
#include "workers/worker_protocol.h"

typedef struct Feed {
        const Settings *settings;
        SampleContext context;
        uint64_t interval_usec, step;
        bool away; /* an outage was reported and is not over */
} Feed;

static int feed_step(Feed *f, Error *reterr) {
        int r = 0;

        f->context.now_usec = clock_realtime_usec();
        if (!f->context.postgres)
                r = sample_connect(f->settings, "roundtable/admin/feed", &f->context, reterr);
        for (const SampleFamily *const *s = sample_families; r >= 0 && *s; s++)
                if ((*s)->feed)
                        r = (*s)->feed(&f->context, f->step, reterr);
        return r;
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
        Feed f = { .interval_usec = USEC_PER_SEC };
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
        (void) snprintf(f.context.trades_text, sizeof(f.context.trades_text), "%ld", fills);
        r = feed_loop(&f);
        sample_context_done(&f.context);
        if (r < 0)
                fprintf(stderr, "feed: %s\n", strerror(-r));
        return r < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
