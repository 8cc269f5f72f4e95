/* The librdkafka client of a producer: one dispatcher thread takes its events, delivery reports among them, and knows
 * whether the brokers answer. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/kafka_internal.h"
#include "common/log.h"

#define PROBE_MSEC 500
#define DISPATCH_MSEC 5000
#define SUSPECT_USEC (2 * USEC_PER_SEC) /* a connection is made again meanwhile */
#define ADMIN_MSEC 1000
#define REOPEN_POLL_USEC (10 * USEC_PER_MSEC)

/* Calls back on a change only: librdkafka reports each attempt to connect. */
void kafka_client_set_state(KafkaProducer *p, KafkaState state, const char *what) {
        (void) pthread_mutex_lock(&p->state_mutex);
        p->suspect_usec = 0;
        if (p->state != state) {
                _cleanup_error_ Error e = ERROR_INIT;

                p->state = state;
                if (state == KAFKA_LOST) {
                        (void) error_set(&e, ERROR_RETRY, -EHOSTUNREACH, "kafka brokers %s: %s%s%s", p->brokers, what,
                                         p->reason[0] ? ": " : "", p->reason);
                        kafka_error_hint(p, p->reason_code, &e);
                }
                if (p->on_state)
                        p->on_state(state == KAFKA_LOST ? &e : NULL, p->userdata);
        }
        if (state == KAFKA_UP) {
                p->reason[0] = '\0';
                p->reason_code = RD_KAFKA_RESP_ERR_NO_ERROR;
        }
        (void) pthread_mutex_unlock(&p->state_mutex);
}

rd_kafka_resp_err_t kafka_client_reason(KafkaProducer *p, char *text, size_t size) {
        rd_kafka_resp_err_t code;

        (void) pthread_mutex_lock(&p->state_mutex);
        code = p->reason_code;
        (void) snprintf(text, size, "%s", p->reason);
        (void) pthread_mutex_unlock(&p->state_mutex);
        return code;
}

static void suspect(KafkaProducer *p) {
        (void) pthread_mutex_lock(&p->state_mutex);
        if (p->state != KAFKA_LOST && p->suspect_usec == 0)
                p->suspect_usec = clock_monotonic_usec();
        (void) pthread_mutex_unlock(&p->state_mutex);
}

/* Whether the brokers are lost, or may be. */
static bool is_in_doubt(KafkaProducer *p, bool *ret_overdue) {
        bool doubt;

        (void) pthread_mutex_lock(&p->state_mutex);
        doubt = p->state == KAFKA_LOST || p->suspect_usec > 0;
        *ret_overdue = p->suspect_usec > 0 && clock_monotonic_usec() > p->suspect_usec + SUSPECT_USEC;
        (void) pthread_mutex_unlock(&p->state_mutex);
        return doubt;
}

static bool must_stop(KafkaProducer *p) {
        bool stop;

        (void) pthread_mutex_lock(&p->mutex);
        stop = p->stop;
        (void) pthread_mutex_unlock(&p->mutex);
        return stop;
}

bool kafka_client_answers(KafkaProducer *p) {
        const struct rd_kafka_metadata *metadata;

        if (rd_kafka_metadata(p->rk, 0, NULL, &metadata, PROBE_MSEC) != RD_KAFKA_RESP_ERR_NO_ERROR)
                return false;
        rd_kafka_metadata_destroy(metadata);
        return true;
}

static int64_t find_limit(const rd_kafka_event_t *event) {
        const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result((void *) event);
        const rd_kafka_ConfigResource_t **resources;
        const rd_kafka_ConfigEntry_t **entries;
        size_t n = 0;

        resources = result ? rd_kafka_DescribeConfigs_result_resources(result, &n) : NULL;
        entries = n == 1 ? rd_kafka_ConfigResource_configs(resources[0], &n) : NULL;
        for (size_t i = 0; entries && i < n; i++)
                if (str_eq(rd_kafka_ConfigEntry_name(entries[i]), "max.message.bytes") &&
                    rd_kafka_ConfigEntry_value(entries[i]))
                        return strtoll(rd_kafka_ConfigEntry_value(entries[i]), NULL, 10);
        return -1;
}

int64_t kafka_client_topic_limit(KafkaProducer *p, const char *topic) {
        rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(p->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
        rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
        rd_kafka_queue_t *queue = rd_kafka_queue_new(p->rk);
        rd_kafka_event_t *event;
        int64_t limit = -1;
        char text[128];

        (void) rd_kafka_AdminOptions_set_request_timeout(options, ADMIN_MSEC, text, sizeof(text));
        rd_kafka_DescribeConfigs(p->rk, &resource, 1, options, queue);
        event = rd_kafka_queue_poll(queue, 2 * ADMIN_MSEC);
        if (event) {
                limit = find_limit(event);
                rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(queue);
        rd_kafka_ConfigResource_destroy(resource);
        rd_kafka_AdminOptions_destroy(options);
        return limit;
}

static void on_error_event(KafkaProducer *p, rd_kafka_resp_err_t code, const char *text) {
        log_debug(KAFKA_AT, "%s", text ? text : rd_kafka_err2str(code));
        /* Brokers close connections that nobody used for some minutes: that all are down is not true yet. */
        if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
                suspect(p);
                return;
        }
        if (code == RD_KAFKA_RESP_ERR__FATAL)
                return; /* says nothing about connections */
        (void) pthread_mutex_lock(&p->state_mutex);
        /* a refusal says more than the disconnections that follow it */
        if (kafka_error_is_refusal(code) || !kafka_error_is_refusal(p->reason_code)) {
                p->reason_code = code;
                (void) snprintf(p->reason, sizeof(p->reason), "%s", text ? text : rd_kafka_err2str(code));
        }
        (void) pthread_mutex_unlock(&p->state_mutex);
}

static void on_event(KafkaProducer *p, rd_kafka_event_t *event) {
        const rd_kafka_message_t *message;

        switch (rd_kafka_event_type(event)) {
        case RD_KAFKA_EVENT_DR:
                while ((message = rd_kafka_event_message_next(event))) {
                        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
                                kafka_client_set_state(p, KAFKA_UP, NULL);
                        kafka_slot_answer(message->_private, message->err, rd_kafka_message_status(message));
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

/* librdkafka does not say that a broker is back: while that is in doubt they are asked, so that `status` is right for
 * tasks that publish rarely. */
static void look_for_brokers(KafkaProducer *p, bool overdue) {
        if (kafka_client_answers(p))
                kafka_client_set_state(p, KAFKA_UP, NULL);
        else if (overdue)
                kafka_client_set_state(p, KAFKA_LOST, "no broker can be reached");
}

static void *dispatch(void *userdata) {
        KafkaProducer *p = userdata;
        uint64_t asked = 0;

        while (!must_stop(p)) {
                bool overdue, doubt = is_in_doubt(p, &overdue);
                rd_kafka_event_t *event = rd_kafka_queue_poll(p->queue, doubt ? PROBE_MSEC : DISPATCH_MSEC);

                if (event)
                        on_event(p, event);
                if (doubt && !must_stop(p) && clock_monotonic_usec() >= asked + PROBE_MSEC * USEC_PER_MSEC) {
                        look_for_brokers(p, overdue);
                        asked = clock_monotonic_usec();
                }
        }
        return NULL;
}

static void on_log(_unused_ const rd_kafka_t *rk, _unused_ int level, const char *facility, const char *text) {
        log_debug(KAFKA_AT, "%s: %s", facility, text);
}

int kafka_client_open(KafkaProducer *p, Error *reterr) {
        rd_kafka_conf_t *conf = rd_kafka_conf_dup(p->conf);
        sigset_t all, kept;
        char text[512];
        int r;

        rd_kafka_conf_set_log_cb(conf, on_log);
        p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
        if (!p->rk) {
                rd_kafka_conf_destroy(conf);
                (void) error_set(reterr, ERROR_NEVER, -EIO, "kafka brokers %s: cannot make a producer: %s", p->brokers,
                                 text);
                if (reterr)
                        error_set_hint(reterr, "check the kafka.* settings and the files that they name");
                return -EIO;
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

void kafka_client_shut(KafkaProducer *p) {
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

/* With the mutex held, which is let go meanwhile. */
static int reopen(KafkaProducer *p, Error *reterr) {
        int r;

        p->reopening = true;
        (void) pthread_mutex_unlock(&p->mutex);
        kafka_client_shut(p);
        r = kafka_client_open(p, reterr);
        (void) pthread_mutex_lock(&p->mutex);
        p->reopening = false;
        return r;
}

int kafka_client_use(KafkaProducer *p, CancelToken *token, Error *reterr) {
        uint64_t until = clock_monotonic_usec() + p->request_timeout_usec;
        char text[512];
        int r = 0;

        (void) pthread_mutex_lock(&p->mutex);
        for (;;) {
                /* asked for here, since the event that tells it may come after the report of the message that met it */
                bool broken = !p->reopening && (!p->rk || rd_kafka_fatal_error(p->rk, text, sizeof(text)) != 0);

                if (!p->reopening && !broken)
                        break;
                if (broken && p->users == 0) {
                        r = reopen(p, reterr);
                        break;
                }
                /* the messages of a broken client's users fail at once: soon there are none */
                (void) pthread_mutex_unlock(&p->mutex);
                r = clock_monotonic_usec() < until ? cancel_token_poll(token, -1, 0, REOPEN_POLL_USEC) : -EAGAIN;
                if (r < 0)
                        return error_set(reterr, r == -EAGAIN ? ERROR_RETRY : ERROR_CANCELED, r,
                                         "kafka brokers %s: the producer is being made anew", p->brokers);
                (void) pthread_mutex_lock(&p->mutex);
        }
        if (r >= 0)
                p->users++;
        (void) pthread_mutex_unlock(&p->mutex);
        return r;
}

void kafka_client_unuse(KafkaProducer *p) {
        (void) pthread_mutex_lock(&p->mutex);
        p->users--;
        (void) pthread_mutex_unlock(&p->mutex);
}
