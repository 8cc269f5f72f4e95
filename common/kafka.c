/* The producer: messages go out through librdkafka's threads, delivery reports come back through one dispatcher thread
 * to the tasks that wait for them.
 *
 * What must stay true: a message is never on its way after the kafka_send() that sent it has returned. A task that was
 * cancelled therefore purges, so that a newer run, perhaps on another host, is not overtaken by stale values. Purging
 * empties librdkafka's queues for all senders; those that did not ask for it send their purged messages again (at least
 * once is the contract; consumers are idempotent). */

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "common/failpoint.h"
#include "common/kafka.h"
#include "common/log.h"

#define AT "kafka#producer"
#define REQUEST_TIMEOUT_MSEC 30000
/* librdkafka looks for timed-out messages once a second: some slack before we stop waiting for its report */
#define ANSWER_TIMEOUT_USEC ((REQUEST_TIMEOUT_MSEC + 5000) * USEC_PER_MSEC)
#define PURGE_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define PROBE_MSEC 500
#define DISPATCH_MSEC 5000
#define MESSAGE_OVERHEAD 1024

typedef enum State { STATE_UNKNOWN, STATE_UP, STATE_LOST } State;

struct KafkaProducer {
        char *brokers;
        char *service;
        uint64_t connection_timeout_usec;
        int64_t max_batch_size;
        KafkaStateCallback on_state;
        void *userdata;

        pthread_mutex_t mutex; /* what follows */
        rd_kafka_t *rk;        /* replaced after a fatal error when nobody uses it */
        rd_kafka_queue_t *queue;
        pthread_t dispatcher;
        bool stop;
        bool reopening; /* one sender replaces rk, the others wait for their next attempt */
        unsigned users;

        pthread_mutex_t state_mutex; /* also held during on_state, so that changes arrive in order */
        State state;
        char reason[512]; /* the last error of a connection */
};

/* One kafka_send(): the dispatcher fills the slots, the sender waits for `left` to reach 0. Freed by whoever lets go
 * last: a sender whose purge was not answered in time leaves it to the dispatcher. */
typedef struct Batch Batch;
typedef struct Slot {
        Batch *batch;
        bool queued; /* librdkafka has it and owes a report */
        rd_kafka_resp_err_t error;
        rd_kafka_msg_status_t status;
} Slot;
struct Batch {
        pthread_mutex_t mutex;
        int fd; /* eventfd, readable when left == 0 */
        size_t left;
        bool abandoned;
        Slot slots[];
};

static Batch *batch_free(Batch *b) {
        if (!b)
                return NULL;
        (void) close_fd(b->fd);
        (void) pthread_mutex_destroy(&b->mutex);
        free(b);
        return NULL;
}

static int batch_new(size_t n, Batch **ret) {
        Batch *b;

        b = calloc(1, sizeof(*b) + n * sizeof(Slot));
        if (!b)
                return -ENOMEM;
        b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (b->fd < 0) {
                int r = -errno;

                free(b);
                return r;
        }
        (void) pthread_mutex_init(&b->mutex, NULL);
        for (size_t i = 0; i < n; i++) {
                b->slots[i].batch = b;
                b->slots[i].error = RD_KAFKA_RESP_ERR__PURGE_QUEUE; /* not sent yet */
        }
        *ret = b;
        return 0;
}

static void slot_answer(Slot *slot, rd_kafka_resp_err_t error, rd_kafka_msg_status_t status) {
        Batch *b = slot->batch;
        bool last;

        (void) pthread_mutex_lock(&b->mutex);
        slot->queued = false;
        slot->error = error;
        slot->status = status;
        last = --b->left == 0;
        if (last && !b->abandoned)
                (void) eventfd_write(b->fd, 1);
        last = last && b->abandoned;
        (void) pthread_mutex_unlock(&b->mutex);
        if (last)
                (void) batch_free(b);
}

/* The sender's last look at its batch: true when every report is there and it may free it. */
static bool batch_release(Batch *b) {
        bool done;

        (void) pthread_mutex_lock(&b->mutex);
        done = b->left == 0;
        b->abandoned = !done;
        (void) pthread_mutex_unlock(&b->mutex);
        return done;
}

static void set_hint(const KafkaProducer *p, rd_kafka_resp_err_t code, Error *e) {
        switch (code) {
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
                error_set_hint(e, "create the topic, for instance with bazooka's create_kafka_topics");
                break;
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
                error_set_hint(e, "compare the message's size with the broker's message.max.bytes and with "
                                  "kafka.max_batch_size");
                break;
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
                error_set_hint(e, "give client '%s' the right to write to the topic", p->service);
                break;
        default:
                error_set_hint(e, "check that the brokers of kafka.brokers run and can be reached from this host");
                break;
        }
}

static bool is_permanent(rd_kafka_resp_err_t code) {
        switch (code) {
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
        case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_INVALID_MSG:
        case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
                return true;
        default:
                return false;
        }
}

/* Calls back on a change only: librdkafka reports each attempt to connect. */
static void set_state(KafkaProducer *p, State state, const char *what) {
        (void) pthread_mutex_lock(&p->state_mutex);
        if (p->state != state) {
                Error e = ERROR_INIT;

                p->state = state;
                if (state == STATE_LOST) {
                        (void) error_set(&e, ERROR_RETRY, -EHOSTUNREACH, "kafka brokers %s: %s%s%s", p->brokers, what,
                                         p->reason[0] ? ": " : "", p->reason);
                        error_set_hint(&e, "check that the brokers of kafka.brokers run and can be reached from this "
                                           "host");
                }
                if (p->on_state)
                        p->on_state(state == STATE_LOST ? &e : NULL, p->userdata);
                error_done(&e);
        }
        if (state == STATE_UP)
                p->reason[0] = '\0';
        (void) pthread_mutex_unlock(&p->state_mutex);
}

static bool is_lost(KafkaProducer *p) {
        bool lost;

        (void) pthread_mutex_lock(&p->state_mutex);
        lost = p->state == STATE_LOST;
        (void) pthread_mutex_unlock(&p->state_mutex);
        return lost;
}

static void on_error_event(KafkaProducer *p, rd_kafka_resp_err_t code, const char *text) {
        log_debug(AT, "%s", text);
        if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
                set_state(p, STATE_LOST, "no broker can be reached");
        else {
                (void) pthread_mutex_lock(&p->state_mutex);
                (void) snprintf(p->reason, sizeof(p->reason), "%s", text ? text : rd_kafka_err2str(code));
                (void) pthread_mutex_unlock(&p->state_mutex);
        }
}

static void on_event(KafkaProducer *p, rd_kafka_event_t *event) {
        const rd_kafka_message_t *message;

        switch (rd_kafka_event_type(event)) {
        case RD_KAFKA_EVENT_DR:
                while ((message = rd_kafka_event_message_next(event))) {
                        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
                                set_state(p, STATE_UP, NULL);
                        slot_answer(message->_private, message->err, rd_kafka_message_status(message));
                }
                break;
        case RD_KAFKA_EVENT_ERROR:
                on_error_event(p, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
                break;
        default:
                break;
        }
        rd_kafka_event_destroy(event);
}

static bool must_stop(KafkaProducer *p) {
        bool stop;

        (void) pthread_mutex_lock(&p->mutex);
        stop = p->stop;
        (void) pthread_mutex_unlock(&p->mutex);
        return stop;
}

static bool answers(KafkaProducer *p) {
        const struct rd_kafka_metadata *metadata;

        if (rd_kafka_metadata(p->rk, 0, NULL, &metadata, PROBE_MSEC) != RD_KAFKA_RESP_ERR_NO_ERROR)
                return false;
        rd_kafka_metadata_destroy(metadata);
        return true;
}

/* librdkafka does not say that a broker is back; while it is lost it is asked, so that `status` is right for tasks that
 * publish rarely. */
static void look_for_return(KafkaProducer *p) {
        if (answers(p))
                set_state(p, STATE_UP, NULL);
}

static void *dispatch(void *userdata) {
        KafkaProducer *p = userdata;

        while (!must_stop(p)) {
                bool lost = is_lost(p);
                rd_kafka_event_t *event = rd_kafka_queue_poll(p->queue, lost ? PROBE_MSEC : DISPATCH_MSEC);

                if (event)
                        on_event(p, event);
                else if (lost && !must_stop(p))
                        look_for_return(p);
        }
        return NULL;
}

static void on_log(_unused_ const rd_kafka_t *rk, _unused_ int level, const char *facility, const char *text) {
        log_debug(AT, "%s: %s", facility, text);
}

static int configure(const KafkaProducer *p, rd_kafka_conf_t *conf, Error *reterr) {
        char batch[32], message[32], connect[32], request[32];
        const char *const rows[][2] = {
                { "bootstrap.servers", p->brokers },
                { "client.id", p->service },
                { "enable.idempotence", "true" },
                { "acks", "all" },
                { "compression.codec", "none" },
                { "linger.ms", "0" },
                { "partitioner", "murmur2_random" },
                { "message.timeout.ms", request },
                { "request.timeout.ms", request },
                { "socket.timeout.ms", request },
                { "socket.connection.setup.timeout.ms", connect },
                { "socket.keepalive.enable", "true" },
                { "reconnect.backoff.ms", "100" },
                { "reconnect.backoff.max.ms", "2000" },
                /* a topic that is not there is told after this time, not after the message's whole life */
                { "topic.metadata.propagation.max.ms", "5000" },
                { "batch.size", batch },
                { "message.max.bytes", message },
        };
        char text[512];

        (void) snprintf(request, sizeof(request), "%d", REQUEST_TIMEOUT_MSEC);
        (void) snprintf(connect, sizeof(connect), "%llu",
                        (unsigned long long) (p->connection_timeout_usec / USEC_PER_MSEC));
        (void) snprintf(batch, sizeof(batch), "%lld", (long long) p->max_batch_size);
        /* at least Kafka's own default, and what the settings allow plus its framing */
        (void) snprintf(message, sizeof(message), "%lld",
                        (long long) (p->max_batch_size + MESSAGE_OVERHEAD > 1048588
                                             ? p->max_batch_size + MESSAGE_OVERHEAD
                                             : 1048588));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rd_kafka_conf_set(conf, rows[i][0], rows[i][1], text, sizeof(text)) != RD_KAFKA_CONF_OK) {
                        error_set(reterr, ERROR_NEVER, -EINVAL, "kafka brokers %s: setting %s: %s", p->brokers,
                                  rows[i][0], text);
                        error_set_hint(reterr, "check the kafka.* settings");
                        return -EINVAL;
                }
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
        rd_kafka_conf_set_log_cb(conf, on_log);
        return 0;
}

static int producer_open(KafkaProducer *p, Error *reterr) {
        sigset_t all, kept;
        rd_kafka_conf_t *conf;
        char text[512];
        int r;

        conf = rd_kafka_conf_new();
        r = configure(p, conf, reterr);
        if (r < 0) {
                rd_kafka_conf_destroy(conf);
                return r;
        }
        p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
        if (!p->rk) {
                rd_kafka_conf_destroy(conf);
                return error_set(reterr, ERROR_RETRY, -EIO, "kafka brokers %s: cannot make a producer: %s", p->brokers,
                                 text);
        }
        p->queue = rd_kafka_queue_get_main(p->rk);
        p->stop = false; /* nobody else looks: the dispatcher is started below */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &kept);
        r = -pthread_create(&p->dispatcher, NULL, dispatch, p);
        (void) pthread_sigmask(SIG_SETMASK, &kept, NULL);
        if (r < 0) {
                rd_kafka_queue_destroy(p->queue);
                rd_kafka_destroy(p->rk);
                p->queue = NULL;
                p->rk = NULL;
                return error_set(reterr, ERROR_RETRY, r, "kafka: cannot start a thread: %s", strerror(-r));
        }
        return 0;
}

/* Ends the dispatcher and hands its remaining reports to those who wait. Nobody may be sending. */
static void producer_shut(KafkaProducer *p) {
        rd_kafka_event_t *event;

        if (!p->rk)
                return;
        (void) pthread_mutex_lock(&p->mutex);
        p->stop = true;
        (void) pthread_mutex_unlock(&p->mutex);
        rd_kafka_queue_yield(p->queue);
        (void) pthread_join(p->dispatcher, NULL);
        (void) rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        while (rd_kafka_outq_len(p->rk) > 0 && (event = rd_kafka_queue_poll(p->queue, 1000)))
                on_event(p, event);
        rd_kafka_queue_destroy(p->queue);
        rd_kafka_destroy(p->rk);
        p->queue = NULL;
        p->rk = NULL;
}

int kafka_producer_new(const Settings *settings, KafkaStateCallback on_state, void *userdata, KafkaProducer **ret,
                       Error *reterr) {
        KafkaProducer *p;
        int r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        (void) pthread_mutex_init(&p->mutex, NULL);
        (void) pthread_mutex_init(&p->state_mutex, NULL);
        p->brokers = strdup(settings_string(settings, "kafka.brokers"));
        p->service = strdup(settings_string(settings, "service_name"));
        p->connection_timeout_usec = settings_duration_usec(settings, "kafka.connection_timeout");
        p->max_batch_size = settings_int(settings, "kafka.max_batch_size");
        p->on_state = on_state;
        p->userdata = userdata;
        r = p->brokers && p->service ? producer_open(p, reterr)
                                     : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (r < 0) {
                (void) kafka_producer_close(p, 0, NULL);
                return r;
        }
        *ret = p;
        return 0;
}

KafkaProducer *kafka_producer_close(KafkaProducer *p, uint64_t flush_timeout_usec, size_t *ret_left) {
        uint64_t end;

        if (ret_left)
                *ret_left = 0;
        if (!p)
                return NULL;
        if (p->rk) {
                /* the dispatcher serves the reports: rd_kafka_flush() would take them from it */
                end = clock_monotonic_usec() + flush_timeout_usec;
                while (rd_kafka_outq_len(p->rk) > 0 && clock_monotonic_usec() < end)
                        (void) poll(NULL, 0, 10);
                if (ret_left)
                        *ret_left = (size_t) rd_kafka_outq_len(p->rk);
        }
        producer_shut(p);
        (void) pthread_mutex_destroy(&p->mutex);
        (void) pthread_mutex_destroy(&p->state_mutex);
        free(p->brokers);
        free(p->service);
        free(p);
        return NULL;
}

/* A fatal error of the idempotent producer (its sequence was lost) ends that client for good: the next sender makes a
 * new one as soon as the others have let go of the old one. */
static int producer_use(KafkaProducer *p, Error *reterr) {
        bool broken;
        char text[512];
        int r = 0;

        (void) pthread_mutex_lock(&p->mutex);
        /* asked for here, since the event that tells it may come after the report of the message that met it */
        broken = !p->reopening && (!p->rk || rd_kafka_fatal_error(p->rk, text, sizeof(text)) != 0);
        if (p->reopening || (broken && p->users > 0))
                r = error_set(reterr, ERROR_RETRY, -EAGAIN, "kafka brokers %s: the producer is being made anew",
                              p->brokers);
        else if (broken) {
                p->reopening = true;
                (void) pthread_mutex_unlock(&p->mutex);
                producer_shut(p);
                r = producer_open(p, reterr);
                (void) pthread_mutex_lock(&p->mutex);
                p->reopening = false;
        }
        if (r >= 0)
                p->users++;
        (void) pthread_mutex_unlock(&p->mutex);
        return r;
}

static void producer_unuse(KafkaProducer *p) {
        (void) pthread_mutex_lock(&p->mutex);
        p->users--;
        (void) pthread_mutex_unlock(&p->mutex);
}

/* Hands one message to librdkafka; what it refuses at once (too large, queue full) is an answer too. */
static void produce(KafkaProducer *p, const KafkaMessage *m, Slot *slot) {
        Batch *b = slot->batch;
        rd_kafka_resp_err_t e;

        (void) pthread_mutex_lock(&b->mutex);
        b->left++;
        slot->queued = true;
        (void) pthread_mutex_unlock(&b->mutex);
        /* copied: a report that comes after its sender has left must not depend on the sender's memory */
        e = rd_kafka_producev(p->rk, RD_KAFKA_V_TOPIC(m->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_VALUE((void *) m->value, m->value_length),
                              RD_KAFKA_V_KEY(m->key, m->key_length), RD_KAFKA_V_OPAQUE(slot), RD_KAFKA_V_END);
        if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
                slot_answer(slot, e, RD_KAFKA_MSG_STATUS_NOT_PERSISTED);
}

static bool was_purged(const Slot *slot) {
        return slot->error == RD_KAFKA_RESP_ERR__PURGE_QUEUE || slot->error == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
}

/* Sends every message that has no final answer. Returns how many there were. */
static size_t produce_missing(KafkaProducer *p, const KafkaMessage *messages, size_t n, Batch *b) {
        eventfd_t unused;
        size_t sent = 0;

        /* one extra count, so that the batch cannot be done before the last message is handed over */
        (void) eventfd_read(b->fd, &unused);
        (void) pthread_mutex_lock(&b->mutex);
        b->left++;
        (void) pthread_mutex_unlock(&b->mutex);
        for (size_t i = 0; i < n; i++)
                if (was_purged(&b->slots[i])) {
                        produce(p, &messages[i], &b->slots[i]);
                        sent++;
                }
        (void) pthread_mutex_lock(&b->mutex);
        if (--b->left == 0)
                (void) eventfd_write(b->fd, 1);
        (void) pthread_mutex_unlock(&b->mutex);
        return sent;
}

/* Waits until all reports are there: 0, -ECANCELED, -ETIMEDOUT (deadline, or `until`), or an errno of poll. */
static int wait_reports(KafkaProducer *p, Batch *b, uint64_t until, CancelToken *token) {
        bool quiet = false; /* the brokers have been told of as silent */

        for (;;) {
                uint64_t now = clock_monotonic_usec(), wait;
                int r;

                if (now >= until)
                        return -ETIMEDOUT;
                wait = until - now;
                if (!quiet && wait > p->connection_timeout_usec)
                        wait = p->connection_timeout_usec;
                r = cancel_token_poll(token, b->fd, POLLIN, wait);
                if (r > 0)
                        return 0;
                if (r < 0)
                        return r;
                /* an unknown topic makes messages wait too, and says nothing against the brokers */
                if (!quiet && !answers(p))
                        set_state(p, STATE_LOST, "no answer to a message in time");
                quiet = true;
        }
}

/* Takes back what is still queued. In a broker's hands or not, librdkafka then reports every message at once. */
static void purge(KafkaProducer *p, Batch *b) {
        (void) rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        if (cancel_token_poll(NULL, b->fd, POLLIN, PURGE_TIMEOUT_USEC) <= 0)
                log_debug(AT, "messages were not reported after a purge");
}

static int fail(const KafkaProducer *p, const KafkaMessage *m, const Slot *slot, size_t i, size_t n, CancelToken *token,
                int waited, Error *reterr) {
        ErrorKind kind = ERROR_RETRY;
        int err = -EIO;
        const char *reason = slot->queued ? "no report" : rd_kafka_err2str(slot->error);
        bool uncertain = slot->queued || slot->status == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED;

        if (waited < 0) {
                kind = ERROR_CANCELED;
                err = waited;
                reason = token && cancel_token_reason(token) != CANCEL_NONE
                                 ? cancel_reason_to_string(cancel_token_reason(token))
                                 : "no answer in time";
                if (!token || cancel_token_reason(token) == CANCEL_NONE)
                        kind = ERROR_RETRY;
        } else if (is_permanent(slot->error))
                kind = ERROR_NEVER;
        if (uncertain)
                kind = ERROR_UNCERTAIN;
        (void) error_set(reterr, kind, err, "kafka brokers %s: topic %s: message %zu of %zu: %s%s", p->brokers,
                         m->topic, i + 1, n, reason, uncertain ? " (it was handed over and may have been stored)" : "");
        if (reterr && err != -ECANCELED)
                set_hint(p, slot->error, reterr);
        return err;
}

/* Tells each message's fate and returns the first failure. */
static int conclude(const KafkaProducer *p, const KafkaMessage *messages, size_t n, Batch *b, CancelToken *token,
                    int waited, bool *ret_delivered, Error *reterr) {
        int first = 0;

        (void) pthread_mutex_lock(&b->mutex);
        for (size_t i = 0; i < n; i++) {
                const Slot *slot = &b->slots[i];
                bool delivered = !slot->queued && slot->error == RD_KAFKA_RESP_ERR_NO_ERROR;

                if (ret_delivered)
                        ret_delivered[i] = delivered;
                if (!delivered && first == 0)
                        first = fail(p, &messages[i], slot, i, n, token, waited, reterr);
        }
        (void) pthread_mutex_unlock(&b->mutex);
        return first;
}

int kafka_send(KafkaProducer *p, const KafkaMessage *messages, size_t n, CancelToken *token, bool *ret_delivered,
               Error *reterr) {
        uint64_t until = clock_monotonic_usec() + ANSWER_TIMEOUT_USEC;
        Batch *b = NULL;
        int r, waited;

        for (size_t i = 0; i < n && ret_delivered; i++)
                ret_delivered[i] = false;
        if (n == 0)
                return 0;
        r = cancel_token_check(token);
        if (r < 0)
                return error_set(reterr, ERROR_CANCELED, r, "kafka brokers %s: topic %s: %s", p->brokers,
                                 messages[0].topic, cancel_reason_to_string(cancel_token_reason(token)));
        r = batch_new(n, &b);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "kafka: %s", strerror(-r));
        r = producer_use(p, reterr);
        if (r < 0) {
                (void) batch_free(b);
                return r;
        }
        FAILPOINT("kafka", messages[0].topic, "before");
        do {
                waited = produce_missing(p, messages, n, b) > 0 ? wait_reports(p, b, until, token) : 1;
        } while (waited == 0);
        if (waited < 0)
                purge(p, b);
        else
                waited = 0;
        /* acknowledged, and the sender does not know it yet */
        FAILPOINT("kafka", messages[0].topic, "sent");
        r = conclude(p, messages, n, b, token, waited, ret_delivered, reterr);
        if (batch_release(b))
                (void) batch_free(b);
        producer_unuse(p);
        FAILPOINT("kafka", messages[0].topic, "after");
        return r;
}

int kafka_probe(KafkaProducer *p, uint64_t timeout_usec, Error *reterr) {
        const struct rd_kafka_metadata *metadata;
        rd_kafka_resp_err_t e;
        int r;

        r = producer_use(p, reterr);
        if (r < 0)
                return r;
        e = rd_kafka_metadata(p->rk, 0, NULL, &metadata, (int) (timeout_usec / USEC_PER_MSEC));
        producer_unuse(p);
        if (e == RD_KAFKA_RESP_ERR_NO_ERROR) {
                rd_kafka_metadata_destroy(metadata);
                set_state(p, STATE_UP, NULL);
                return 0;
        }
        (void) error_set(reterr, ERROR_RETRY, -EHOSTUNREACH, "kafka brokers %s: asking for metadata: %s", p->brokers,
                         rd_kafka_err2str(e));
        if (reterr)
                set_hint(p, e, reterr);
        return -EHOSTUNREACH;
}
