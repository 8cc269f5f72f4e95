/* The producer against librdkafka's mock cluster in its own process (roundtable-kafka-mock). */

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <librdkafka/rdkafka.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "common/kafka_internal.h"

static char brokers[128];

/* Called when a wait must end some time for the test to fail instead of hanging. */
#define PATIENCE_USEC (60 * USEC_PER_SEC)

typedef struct Mock {
        pid_t pid;
        FILE *in, *out;
} Mock;

static void mock_start(Mock *m, const char *port) {
        char self[PATH_MAX], path[PATH_MAX + 64], line[128];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        int in[2], out[2], scanned;

        cr_assert_gt(n, 0);
        self[n] = '\0';
        (void) snprintf(path, sizeof(path), "%s/../../workers/roundtable-kafka-mock", dirname(self));
        cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
        cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
        m->pid = fork();
        cr_assert_geq(m->pid, 0);
        if (m->pid == 0) {
                (void) dup2(in[0], 0);
                (void) dup2(out[1], 1);
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) execl(path, path, "--port", port, "--topic", "markets:1", "--topic", "vulcan:210",
                             (char *) NULL);
                _exit(127);
        }
        (void) close(in[0]);
        (void) close(out[1]);
        m->in = fdopen(in[1], "w");
        m->out = fdopen(out[0], "r");
        cr_assert(fgets(line, sizeof(line), m->out), "the mock did not start");
        scanned = sscanf(line, "bootstrap %127s", brokers);
        cr_assert_eq(scanned, 1);
}

static void mock_command(Mock *m, const char *command) {
        char line[256];

        (void) fprintf(m->in, "%s\n", command);
        (void) fflush(m->in);
        cr_assert(fgets(line, sizeof(line), m->out));
        cr_assert_str_eq(line, "ok\n");
}

/* Returns when the broker has stopped: kill() alone returns while it may still answer. */
static void mock_freeze(Mock *m) {
        int status;

        cr_assert_eq(kill(m->pid, SIGSTOP), 0);
        cr_assert_eq(waitpid(m->pid, &status, WUNTRACED), m->pid);
        cr_assert(WIFSTOPPED(status));
}

static void mock_stop(Mock *m) {
        int status;

        (void) kill(m->pid, SIGCONT);
        (void) kill(m->pid, SIGTERM);
        cr_assert_eq(waitpid(m->pid, &status, 0), m->pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        (void) fclose(m->in);
        (void) fclose(m->out);
}

/* What the state callback said, in order. */
static pthread_mutex_t states_mutex = PTHREAD_MUTEX_INITIALIZER;
static char states[64]; /* '+' it answered, '-' it was lost */
static char last_state_text[512];

static void on_state(const Error *error, void *userdata) {
        size_t n;

        (void) userdata;
        (void) pthread_mutex_lock(&states_mutex);
        n = strlen(states);
        if (n + 1 < sizeof(states))
                states[n] = error ? '-' : '+';
        if (error)
                (void) snprintf(last_state_text, sizeof(last_state_text), "%s", error_text(error));
        (void) pthread_mutex_unlock(&states_mutex);
}

static void wait_states(const char *wanted) {
        uint64_t end = clock_monotonic_usec() + PATIENCE_USEC;
        char now[64];

        do {
                (void) pthread_mutex_lock(&states_mutex);
                memcpy(now, states, sizeof(now));
                (void) pthread_mutex_unlock(&states_mutex);
                if (str_eq(now, wanted))
                        return;
                (void) poll(NULL, 0, 10);
        } while (clock_monotonic_usec() < end);
        cr_assert_fail("states are %s, not %s", now, wanted);
}

static KafkaProducer *producer(void) {
        char servers[160];
        const char *const environment[] = { servers, "SERVICE_NAME=kafka-test", "KAFKA_CONNECTION_TIMEOUT_MS=1000",
                                            "KAFKA_REQUEST_TIMEOUT_MS=9000", NULL };
        static const FamilyManifest *const manifests[] = { NULL };
        SettingsSource source = { .conf_dir = "/nonexistent", .environ = environment };
        _cleanup_settings_ Settings *settings = NULL;
        SettingsProblems problems = { 0 };
        KafkaProducer *p;
        Error e = ERROR_INIT;

        (void) snprintf(servers, sizeof(servers), "KAFKA_BROKER_URLS=%s", brokers);
        cr_assert_eq(settings_load(&source, manifests, &settings, &problems), 0);
        settings_problems_done(&problems);
        cr_assert_eq(kafka_producer_new(settings, on_state, NULL, &p, &e), 0, "%s", error_text(&e));
        return p;
}

static int send_text(KafkaProducer *p, const char *topic, const char *text, CancelToken *t, Error *e) {
        KafkaMessage m = { .topic = topic, .value = text, .value_length = strlen(text) };

        return kafka_send(p, &m, 1, t, NULL, e);
}

/* Reads a partition from its start until its present end. */
typedef void (*OnMessage)(const rd_kafka_message_t *m, void *userdata);
static size_t consume(const char *topic, int32_t partition, OnMessage on_message, void *userdata) {
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
        uint64_t end = clock_monotonic_usec() + PATIENCE_USEC;
        char text[256];
        rd_kafka_t *rk;
        size_t n = 0;
        bool eof = false;

        cr_assert_eq(rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof(text)), 0);
        cr_assert_eq(rd_kafka_conf_set(conf, "group.id", "test", text, sizeof(text)), 0);
        cr_assert_eq(rd_kafka_conf_set(conf, "enable.partition.eof", "true", text, sizeof(text)), 0);
        rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
        cr_assert(rk);
        rd_kafka_topic_partition_list_add(list, topic, partition)->offset = RD_KAFKA_OFFSET_BEGINNING;
        cr_assert_eq(rd_kafka_assign(rk, list), 0);
        while (!eof && clock_monotonic_usec() < end) {
                rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 100);

                if (!m)
                        continue;
                eof = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
                if (m->err == 0) {
                        n++;
                        if (on_message)
                                on_message(m, userdata);
                }
                rd_kafka_message_destroy(m);
        }
        cr_assert(eof, "%s [%d] was not read to its end", topic, partition);
        rd_kafka_topic_partition_list_destroy(list);
        (void) rd_kafka_consumer_close(rk);
        rd_kafka_destroy(rk);
        return n;
}

static void check_exact(const rd_kafka_message_t *m, void *userdata) {
        rd_kafka_headers_t *headers;

        (void) userdata;
        cr_assert_eq(m->len, 6);
        cr_assert_arr_eq(m->payload, "{\0\xff\n}\x01", 6);
        cr_assert_null(m->key);
        cr_assert_eq(rd_kafka_message_headers(m, &headers), RD_KAFKA_RESP_ERR__NOENT);
}

TestSuite(kafka, .timeout = 200);

Test(kafka, message_arrives_byte_for_byte_without_key_or_headers) {
        KafkaMessage m = { .topic = "markets", .value = "{\0\xff\n}\x01", .value_length = 6 };
        Error e = ERROR_INIT;
        bool delivered = false;
        KafkaProducer *p;
        size_t left = 1;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        cr_assert_eq(kafka_send(p, &m, 1, NULL, &delivered, &e), 0, "%s", error_text(&e));
        cr_assert(delivered);
        cr_assert_eq(consume("markets", 0, check_exact, NULL), 1);
        wait_states("+");
        cr_assert_eq(kafka_probe(p, 10 * USEC_PER_SEC, &e), 0, "%s", error_text(&e));
        cr_assert_eq(kafka_send(p, NULL, 0, NULL, NULL, &e), 0);
        (void) kafka_producer_close(p, USEC_PER_SEC, &left);
        cr_assert_eq(left, 0);
        mock_stop(&mock);
}

static void check_key(const rd_kafka_message_t *m, void *userdata) {
        cr_assert_eq(m->key_len, 32);
        cr_assert_arr_eq(m->key, userdata, 32);
}

/* The two order ids of bazooka's worked example, hashed as the original and Java clients do. */
Test(kafka, keys_choose_the_partitions_of_java_clients) {
        static uint8_t keys[2][32] = {
                { 0x7b, 0x43, 0xce, 0x74, 0x5b, 0x19, 0x42, 0x72, 0x36, 0x43, 0xf0, 0xfa, 0x17, 0xf4, 0x13, 0xc2,
                  0xc4, 0x53, 0x06, 0xa9, 0x06, 0x2d, 0x88, 0x46, 0x5e, 0x03, 0xe5, 0xdd, 0x87, 0xfe, 0xd2, 0x76 },
                { 0x86, 0xae, 0x23, 0x9b, 0xbb, 0xbf, 0xf2, 0x35, 0x7e, 0x93, 0xbc, 0xf0, 0xcd, 0x38, 0xc2, 0xf8,
                  0x9e, 0x48, 0x5e, 0xa4, 0xf1, 0x02, 0xd0, 0x40, 0xad, 0x62, 0xe0, 0xe7, 0x4f, 0xcb, 0xba, 0xc9 },
        };
        KafkaMessage m[2] = {
                { .topic = "vulcan", .key = keys[0], .key_length = 32, .value = "a", .value_length = 1 },
                { .topic = "vulcan", .key = keys[1], .key_length = 32, .value = "b", .value_length = 1 },
        };
        Error e = ERROR_INIT;
        KafkaProducer *p;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        cr_assert_eq(kafka_send(p, m, 2, NULL, NULL, &e), 0, "%s", error_text(&e));
        cr_assert_eq(consume("vulcan", 69, check_key, keys[0]), 1);
        cr_assert_eq(consume("vulcan", 61, check_key, keys[1]), 1);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

Test(kafka, too_large_message_fails_alone) {
        _cleanup_free_ char *large = calloc(1, 2000000);
        KafkaMessage m[3] = {
                { .topic = "markets", .value = "a", .value_length = 1 },
                { .topic = "markets", .value = large, .value_length = 2000000 },
                { .topic = "markets", .value = "b", .value_length = 1 },
        };
        bool delivered[3];
        Error e = ERROR_INIT;
        KafkaProducer *p;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        cr_assert_lt(kafka_send(p, m, 3, NULL, delivered, &e), 0);
        cr_assert_eq(e.kind, ERROR_NEVER);
        cr_assert(strstr(e.text, brokers) && strstr(e.text, "markets") && strstr(e.text, "message 2 of 3"), "%s",
                  e.text);
        cr_assert(strstr(e.hint, "max_batch_size"));
        cr_assert(delivered[0] && !delivered[1] && delivered[2]);
        cr_assert_eq(consume("markets", 0, NULL, NULL), 2);
        error_done(&e);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

Test(kafka, unknown_topic_will_never_work) {
        Error e = ERROR_INIT;
        KafkaProducer *p;
        Mock mock;

        mock_start(&mock, "0");
        mock_command(&mock, "topic-error absent UNKNOWN_TOPIC_OR_PART");
        p = producer();
        cr_assert_lt(send_text(p, "absent", "x", NULL, &e), 0);
        cr_assert_eq(e.kind, ERROR_NEVER, "%s: %s", error_kind_to_string(e.kind), error_text(&e));
        cr_assert(strstr(e.text, "absent") && strstr(e.hint, "create the topic"));
        cr_assert_eq(send_text(p, "markets", "x", NULL, &e), 0, "%s", error_text(&e));
        wait_states("+"); /* the brokers were never thought lost */
        error_done(&e);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

/* A sequence that broker and client disagree about ends an idempotent librdkafka client for good, not our producer. */
Test(kafka, lost_sequence_does_not_end_the_producer) {
        Error e = ERROR_INIT;
        KafkaProducer *p;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        cr_assert_eq(send_text(p, "markets", "1", NULL, &e), 0, "%s", error_text(&e));
        mock_command(&mock, "error OUT_OF_ORDER_SEQUENCE_NUMBER 1");
        (void) send_text(p, "markets", "2", NULL, &e);
        cr_assert_eq(send_text(p, "markets", "3", NULL, &e), 0, "%s", error_text(&e));
        error_done(&e);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

Test(kafka, one_change_of_state_for_each_outage) {
        Error e = ERROR_INIT;
        KafkaProducer *p;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        cr_assert_eq(send_text(p, "markets", "1", NULL, &e), 0, "%s", error_text(&e));
        mock_command(&mock, "down");
        wait_states("+-");
        cr_assert(strstr(last_state_text, brokers), "%s", last_state_text);
        cr_assert_lt(kafka_probe(p, 100000, &e), 0);
        cr_assert_eq(e.kind, ERROR_RETRY);
        mock_command(&mock, "up");
        wait_states("+-+"); /* without anybody sending */
        cr_assert_eq(send_text(p, "markets", "2", NULL, &e), 0, "%s", error_text(&e));
        wait_states("+-+");
        error_done(&e);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

Test(kafka, frozen_broker_costs_a_send_its_deadline_only) {
        _cleanup_cancel_token_ CancelToken *t = NULL;
        Error e = ERROR_INIT;
        KafkaProducer *p;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        cr_assert_eq(cancel_token_new(&t), 0);
        cr_assert_eq(send_text(p, "markets", "1", t, &e), 0, "%s", error_text(&e));
        mock_freeze(&mock);
        cancel_token_set_deadline(t, clock_monotonic_usec() + 2 * USEC_PER_SEC);
        cr_assert_eq(send_text(p, "markets", "2", t, &e), -ETIMEDOUT);
        cr_assert_eq(e.kind, ERROR_UNCERTAIN, "%s", error_text(&e)); /* it is in the socket's buffer */
        wait_states("+-");
        cr_assert_eq(kill(mock.pid, SIGCONT), 0);
        cancel_token_reset(t);
        cr_assert_eq(send_text(p, "markets", "3", t, &e), 0, "%s", error_text(&e));
        wait_states("+-+");
        error_done(&e);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

/* Keeps a failed sender, which asks what the connections met, until reports of its messages have come. */
typedef struct Obstacle {
        pthread_t thread;
        pthread_mutex_t *mutex;
        pthread_barrier_t held;
} Obstacle;

static void *hold(void *userdata) {
        Obstacle *o = userdata;

        (void) pthread_mutex_lock(o->mutex);
        (void) pthread_barrier_wait(&o->held);
        (void) poll(NULL, 0, 20);
        (void) pthread_mutex_unlock(o->mutex);
        return NULL;
}

/* Reports that come when their sender has stopped waiting: what it says of its messages is what it concluded, and the
 * batch is the dispatcher's (ThreadSanitizer and AddressSanitizer see both). */
Test(kafka, reports_after_a_purge_that_was_given_up) {
        _cleanup_cancel_token_ CancelToken *t = NULL;
        enum { MESSAGES = 200, ROUNDS = 20 };
        KafkaMessage m[MESSAGES];
        bool delivered[MESSAGES];
        Error e = ERROR_INIT;
        KafkaProducer *p;
        Mock mock;

        for (size_t i = 0; i < MESSAGES; i++)
                m[i] = (KafkaMessage){ .topic = "markets", .value = "x", .value_length = 1 };
        mock_start(&mock, "0");
        p = producer();
        cr_assert_eq(cancel_token_new(&t), 0);
        cr_assert_eq(send_text(p, "markets", "1", t, &e), 0, "%s", error_text(&e));
        mock_freeze(&mock);
        p->purge_timeout_usec = 0;
        for (int i = 0; i < ROUNDS; i++) {
                Obstacle o = { .mutex = &p->state_mutex };

                (void) pthread_barrier_init(&o.held, NULL, 2);
                (void) pthread_create(&o.thread, NULL, hold, &o);
                (void) pthread_barrier_wait(&o.held);
                cancel_token_reset(t);
                cancel_token_set_deadline(t, clock_monotonic_usec() + 2000);
                cr_assert_lt(kafka_send(p, m, MESSAGES, t, delivered, &e), 0);
                (void) pthread_join(o.thread, NULL);
                (void) pthread_barrier_destroy(&o.held);
                cr_assert(e.kind == ERROR_UNCERTAIN || e.kind == ERROR_CANCELED, "%s", error_text(&e));
                cr_assert(strstr(e.text, "message 1 of 200") && !strstr(e.text, "Success"), "%s", e.text);
                cr_assert(!delivered[0] && !delivered[MESSAGES - 1]);
        }
        cr_assert_eq(kill(mock.pid, SIGCONT), 0);
        cancel_token_reset(t);
        cr_assert_eq(send_text(p, "markets", "2", t, &e), 0, "%s", error_text(&e));
        error_done(&e);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

Test(kafka, absent_at_start_then_there) {
        _cleanup_cancel_token_ CancelToken *t = NULL;
        Error e = ERROR_INIT;
        char port[16];
        KafkaProducer *p;
        Mock mock;

        mock_start(&mock, "0");
        (void) snprintf(port, sizeof(port), "%s", strrchr(brokers, ':') + 1);
        mock_stop(&mock);
        p = producer();
        wait_states("-");
        cr_assert_eq(cancel_token_new(&t), 0);
        cancel_token_set_deadline(t, clock_monotonic_usec() + 200000);
        cr_assert_eq(send_text(p, "markets", "early", t, &e), -ETIMEDOUT);
        cr_assert_eq(e.kind, ERROR_CANCELED, "%s", error_text(&e)); /* nobody can have it */
        mock_start(&mock, port);
        cancel_token_reset(t);
        cr_assert_eq(send_text(p, "markets", "late", t, &e), 0, "%s", error_text(&e));
        wait_states("-+");
        cr_assert_eq(consume("markets", 0, NULL, NULL), 1);
        error_done(&e);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

static void *cancel_later(void *userdata) {
        (void) poll(NULL, 0, 200);
        cancel_token_cancel(userdata, CANCEL_REQUEST);
        return NULL;
}

Test(kafka, cancel_from_another_thread_takes_the_message_back) {
        _cleanup_cancel_token_ CancelToken *t = NULL;
        Error e = ERROR_INIT;
        pthread_t thread;
        KafkaProducer *p;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        cr_assert_eq(cancel_token_new(&t), 0);
        cr_assert_eq(send_text(p, "markets", "1", t, &e), 0, "%s", error_text(&e));
        mock_command(&mock, "down");
        wait_states("+-");
        cr_assert_eq(pthread_create(&thread, NULL, cancel_later, t), 0);
        cr_assert_eq(send_text(p, "markets", "2", t, &e), -ECANCELED);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        mock_command(&mock, "up");
        cancel_token_reset(t);
        cr_assert_eq(send_text(p, "markets", "3", t, &e), 0, "%s", error_text(&e));
        cr_assert_eq(consume("markets", 0, NULL, NULL), 2);
        error_done(&e);
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

typedef struct Sender {
        KafkaProducer *p;
        CancelToken *token;
        int result;
} Sender;

static void *send_one(void *userdata) {
        Sender *s = userdata;

        s->result = send_text(s->p, "markets", "x", s->token, NULL);
        return NULL;
}

/* The purge of one sender empties the queue of all; the others must not notice. */
Test(kafka, cancel_of_one_sender_leaves_the_others_alone) {
        Error e = ERROR_INIT;
        Sender s[4] = { 0 };
        pthread_t threads[4];
        Mock mock;

        mock_start(&mock, "0");
        s[0].p = producer();
        cr_assert_eq(send_text(s[0].p, "markets", "1", NULL, &e), 0, "%s", error_text(&e));
        mock_command(&mock, "down");
        wait_states("+-");
        for (size_t i = 0; i < 4; i++) {
                s[i].p = s[0].p;
                cr_assert_eq(cancel_token_new(&s[i].token), 0);
                cr_assert_eq(pthread_create(&threads[i], NULL, send_one, &s[i]), 0);
        }
        (void) poll(NULL, 0, 100);
        cancel_token_cancel(s[0].token, CANCEL_REQUEST);
        cr_assert_eq(pthread_join(threads[0], NULL), 0);
        cr_assert_eq(s[0].result, -ECANCELED);
        mock_command(&mock, "up");
        for (size_t i = 1; i < 4; i++) {
                cr_assert_eq(pthread_join(threads[i], NULL), 0);
                cr_assert_eq(s[i].result, 0);
        }
        cr_assert_eq(consume("markets", 0, NULL, NULL), 4);
        for (size_t i = 0; i < 4; i++)
                (void) cancel_token_free(s[i].token);
        (void) kafka_producer_close(s[0].p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

/* Senders, cancellations, fatal errors and probes at once: nothing that was acknowledged is missing, and nobody waits
 * for ever. Under ThreadSanitizer it shows that what they share is guarded. */
enum { CROWD = 6, CROWD_SENDS = 60 };

typedef struct Crowd {
        KafkaProducer *p;
        unsigned number;
        unsigned sure[CROWD_SENDS], n_sure;
} Crowd;

static void *send_in_a_crowd(void *userdata) {
        Crowd *c = userdata;
        CancelToken *t = NULL;
        char texts[3][32];

        cr_assert_eq(cancel_token_new(&t), 0);
        for (unsigned i = 0; i < CROWD_SENDS; i++) {
                KafkaMessage m[3];
                bool delivered[3];

                for (unsigned j = 0; j < 3; j++) {
                        (void) snprintf(texts[j], sizeof(texts[j]), "%u-%u-%u", c->number, i, j);
                        m[j] = (KafkaMessage){ .topic = "markets",
                                               .value = texts[j],
                                               .value_length = strlen(texts[j]) };
                }
                if (c->number < 2) /* those who give up */
                        cancel_token_set_deadline(t, clock_monotonic_usec() + 100 * (i % 20));
                if (kafka_send(c->p, m, 3, t, delivered, NULL) == 0)
                        c->sure[c->n_sure++] = i;
                cancel_token_reset(t);
        }
        (void) cancel_token_free(t);
        return NULL;
}

static void *disturb(void *userdata) {
        KafkaProducer *p = userdata;

        for (int i = 0; i < 3; i++) {
                (void) poll(NULL, 0, 50);
                (void) kafka_probe(p, USEC_PER_SEC, NULL);
                if (kafka_client_use(p, NULL, NULL) < 0)
                        continue;
                (void) rd_kafka_test_fatal_error(p->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test");
                kafka_client_unuse(p);
        }
        return NULL;
}

static bool seen[CROWD][CROWD_SENDS][3];

static void see(const rd_kafka_message_t *m, void *userdata) {
        unsigned a, b, c;
        char text[32];
        int scanned;

        (void) userdata;
        (void) snprintf(text, sizeof(text), "%.*s", (int) m->len, (const char *) m->payload);
        scanned = sscanf(text, "%u-%u-%u", &a, &b, &c);
        cr_assert_eq(scanned, 3);
        cr_assert(a < CROWD && b < CROWD_SENDS && c < 3);
        seen[a][b][c] = true;
}

Test(kafka, a_crowd_of_senders_some_of_whom_give_up) {
        Crowd crowd[CROWD] = { 0 };
        pthread_t threads[CROWD], other;
        KafkaProducer *p;
        size_t left;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        for (unsigned i = 0; i < CROWD; i++) {
                crowd[i].p = p;
                crowd[i].number = i;
                cr_assert_eq(pthread_create(&threads[i], NULL, send_in_a_crowd, &crowd[i]), 0);
        }
        cr_assert_eq(pthread_create(&other, NULL, disturb, p), 0);
        for (unsigned i = 0; i < CROWD; i++)
                cr_assert_eq(pthread_join(threads[i], NULL), 0);
        cr_assert_eq(pthread_join(other, NULL), 0);
        (void) consume("markets", 0, see, NULL);
        for (unsigned i = 0; i < CROWD; i++) {
                cr_assert(i < 2 || crowd[i].n_sure > CROWD_SENDS / 2, "%u: only %u", i, crowd[i].n_sure);
                for (unsigned j = 0; j < crowd[i].n_sure; j++)
                        for (unsigned k = 0; k < 3; k++)
                                cr_assert(seen[i][crowd[i].sure[j]][k], "%u-%u-%u", i, crowd[i].sure[j], k);
        }
        (void) kafka_producer_close(p, USEC_PER_SEC, &left);
        cr_assert_eq(left, 0);
        mock_stop(&mock);
}

static void *send_three(void *userdata) {
        KafkaMessage m[3];
        Sender *s = userdata;

        for (size_t i = 0; i < 3; i++)
                m[i] = (KafkaMessage){ .topic = "markets", .value = "x", .value_length = 1 };
        s->result = kafka_send(s->p, m, 3, s->token, NULL, NULL);
        return NULL;
}

/* Messages on their way; a moment that is missed on a slow machine is not waited for. */
static void wait_queued(const KafkaProducer *p, int n) {
        uint64_t end = clock_monotonic_usec() + 5 * USEC_PER_SEC;

        while (rd_kafka_outq_len(p->rk) != n && clock_monotonic_usec() < end)
                (void) poll(NULL, 0, 1);
}

/* Messages that a broker refused together are sent one by one. A client that meets a fatal error in the midst of that
 * is replaced, and the rest goes out through the next one. */
Test(kafka, fatal_error_while_messages_are_sent_alone) {
        Sender s = { .result = 1 };
        Error e = ERROR_INIT;
        pthread_t thread;
        size_t n;
        Mock mock;

        mock_start(&mock, "0");
        s.p = producer();
        cr_assert_eq(cancel_token_new(&s.token), 0);
        cr_assert_eq(send_text(s.p, "markets", "1", NULL, &e), 0, "%s", error_text(&e));
        mock_command(&mock, "error MSG_SIZE_TOO_LARGE 1");
        mock_command(&mock, "rtt 500"); /* for as long each message is on its way */
        cancel_token_set_deadline(s.token, clock_monotonic_usec() + PATIENCE_USEC);
        cr_assert_eq(pthread_create(&thread, NULL, send_three, &s), 0);
        wait_queued(s.p, 3);
        wait_queued(s.p, 1); /* the first again, alone */
        cr_assert_eq(rd_kafka_test_fatal_error(s.p->rk, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "a test"), 0);
        mock_command(&mock, "rtt 0");
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_eq(s.result, 0);
        n = consume("markets", 0, NULL, NULL);
        cr_assert_geq(n, 4);
        (void) cancel_token_free(s.token);
        (void) kafka_producer_close(s.p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}

static size_t count_descriptors(void) {
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        cr_assert(d);
        while (readdir(d))
                n++;
        (void) closedir(d);
        return n;
}

Test(kafka, a_thousand_sends_leave_neither_descriptor_nor_memory) {
        Error e = ERROR_INIT;
        KafkaProducer *p;
        _unused_ size_t used = 0;
        size_t before = 0;
        Mock mock;

        mock_start(&mock, "0");
        p = producer();
        for (int i = 0; i < 1000; i++) {
                cr_assert_eq(send_text(p, "markets", "x", NULL, &e), 0, "%s", error_text(&e));
                if (i == 200) {
                        before = count_descriptors();
                        used = mallinfo2().uordblks;
                }
        }
        cr_assert_eq(count_descriptors(), before);
#ifndef __SANITIZE_ADDRESS__ /* whose malloc does not count */
        /* a batch of one message is about 150 bytes: 800 lost ones would be 120,000 */
        cr_assert_leq(mallinfo2().uordblks, used + 40000);
#endif
        wait_states("+");
        (void) kafka_producer_close(p, USEC_PER_SEC, NULL);
        mock_stop(&mock);
}
