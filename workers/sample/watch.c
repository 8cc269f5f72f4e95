#include <getopt.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "common/clock.h"
#include "workers/sample/sample_internal.h"
#include "workers/sample/watch.h"
#include "workers/worker_protocol.h"

#define TOPIC "to-websockets-markets"
#define BOOKS_INTERVAL_USEC USEC_PER_SEC

typedef struct Watch {
        const Settings *settings;
        SampleContext context;
        WatchBooks *books;
        rd_kafka_t *consumer;
        uint64_t next_look_usec;
} Watch;

/* Of the one partition, from the last message on. No group, no offsets: this only looks. */
static int start_consumer(Watch *w) {
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        rd_kafka_topic_partition_list_t *partitions;
        char text[256];

        if (rd_kafka_conf_set(conf, "bootstrap.servers", settings_string(w->settings, "kafka.brokers"), text,
                              sizeof(text)) != RD_KAFKA_CONF_OK ||
            rd_kafka_conf_set(conf, "group.id", "roundtable-dev-watch", text, sizeof(text)) != RD_KAFKA_CONF_OK ||
            rd_kafka_conf_set(conf, "enable.auto.commit", "false", text, sizeof(text)) != RD_KAFKA_CONF_OK ||
            rd_kafka_conf_set(conf, "log_level", "0", text, sizeof(text)) != RD_KAFKA_CONF_OK) {
                fprintf(stderr, "watch: %s\n", text);
                rd_kafka_conf_destroy(conf);
                return -EINVAL;
        }
        w->consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
        if (!w->consumer) {
                fprintf(stderr, "watch: %s\n", text);
                rd_kafka_conf_destroy(conf);
                return -EIO;
        }
        (void) rd_kafka_poll_set_consumer(w->consumer);
        partitions = rd_kafka_topic_partition_list_new(1);
        rd_kafka_topic_partition_list_add(partitions, TOPIC, 0)->offset = RD_KAFKA_OFFSET_TAIL(1);
        (void) rd_kafka_assign(w->consumer, partitions);
        rd_kafka_topic_partition_list_destroy(partitions);
        return 0;
}

/* Errors are states of the broker, of which librdkafka takes care. */
static void take_message(Watch *w) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(w->consumer, 0);

        if (message && !message->err) {
                _cleanup_free_ char *words = watch_message_words(message->payload, message->len);

                if (words)
                        printf("message: %s\n", words);
        }
        if (message)
                rd_kafka_message_destroy(message);
}

/* A server that is away is waited out: `dev` says so itself. */
static void look(Watch *w) {
        uint64_t now = clock_monotonic_usec();
        _cleanup_error_ Error e = ERROR_INIT;
        int r = 0;

        if (now < w->next_look_usec)
                return;
        w->next_look_usec = now + BOOKS_INTERVAL_USEC;
        if (!w->context.postgres)
                r = sample_connect(w->settings, "roundtable/admin/watch", &w->context, &e);
        if (r >= 0)
                r = watch_books_look(w->books, w->context.postgres, w->context.redis, now, &e);
        if (r < 0) {
                fprintf(stderr, "watch: %s; trying again\n", error_text(&e));
                sample_context_done(&w->context);
        }
}

static int watch_loop(Watch *w) {
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
        /* threads of librdkafka inherit the mask */
        if (start_consumer(w) < 0)
                return -EIO;
        for (;;) {
                struct pollfd p = { .fd = signals, .events = POLLIN };

                take_message(w);
                look(w);
                if (poll(&p, 1, 100) > 0)
                        return 0;
        }
}

int watch_run(int argc, char **argv) {
        static const struct option options[] = { { "conf", required_argument, NULL, 'c' }, { NULL, 0, NULL, 0 } };
        _cleanup_settings_ Settings *settings = NULL;
        const char *conf_dir = NULL;
        Watch w = { 0 };
        int c, r;

        optind = 1;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                if (c != 'c')
                        return EXIT_CODE_USAGE;
                conf_dir = optarg;
        }
        if (optind != argc) {
                fprintf(stderr, "usage: watch [--conf DIR]\n");
                return EXIT_CODE_USAGE;
        }
        (void) setvbuf(stdout, NULL, _IOLBF, 0);
        r = sample_load_settings(conf_dir, &settings);
        if (r < 0)
                return r == -EBADMSG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
        w.settings = settings;
        r = watch_books_new(&w.books);
        if (r >= 0)
                r = watch_loop(&w);
        if (w.consumer) {
                (void) rd_kafka_consumer_close(w.consumer);
                rd_kafka_destroy(w.consumer);
        }
        watch_books_free(w.books);
        sample_context_done(&w.context);
        if (r < 0)
                fprintf(stderr, "watch: %s\n", strerror(-r));
        return r < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
