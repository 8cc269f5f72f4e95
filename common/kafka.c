/* kafka_send(): messages go out through librdkafka's threads, delivery reports come back through one dispatcher thread
 * to the tasks that wait for them.
 *
 * What must stay true: a message is never on its way after the kafka_send() that sent it has returned. A task that was
 * cancelled therefore purges, so that a newer run, perhaps on another host, is not overtaken by stale values. Purging
 * empties librdkafka's queues for all senders; those that did not ask for it send their purged messages again (at least
 * once is the contract; consumers are idempotent). */

#include <poll.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/failpoint.h"
#include "common/kafka_internal.h"
#include "common/log.h"

/* librdkafka looks for timed-out messages once a second: some slack before we stop waiting for its report */
#define REPORT_SLACK_USEC (5 * USEC_PER_SEC)
#define PURGE_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define ROOM_POLL_USEC (20 * USEC_PER_MSEC)
#define CLIENTS_MAX 3 /* fatal errors that one kafka_send() lives through */

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
        p->request_timeout_usec = settings_duration_usec(settings, "kafka.request_timeout");
        p->purge_timeout_usec = PURGE_TIMEOUT_USEC;
        p->on_state = on_state;
        p->userdata = userdata;
        r = p->brokers && p->service ? kafka_conf_new(settings, &p->conf, &p->message_max, reterr)
                                     : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (r >= 0)
                r = kafka_client_open(p, reterr);
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
        kafka_client_shut(p);
        if (p->conf)
                rd_kafka_conf_destroy(p->conf);
        (void) pthread_mutex_destroy(&p->mutex);
        (void) pthread_mutex_destroy(&p->state_mutex);
        free(p->brokers);
        free(p->service);
        free(p);
        return NULL;
}

/* One kafka_send(). */
typedef struct Send {
        KafkaProducer *p;
        const KafkaMessage *messages;
        size_t n;
        CancelToken *token;
        KafkaBatch *batch;
        bool borrowed; /* the client, which may be lost while it is made anew */
        int waited;    /* why the wait for fates ended before there were all: a negative errno */
} Send;

/* Hands one message to librdkafka; what it refuses at once (too large, unknown topic) is an answer too. False: its
 * queue is full. */
static bool produce(KafkaProducer *p, const KafkaMessage *m, KafkaSlot *slot) {
        rd_kafka_resp_err_t e;

        kafka_slot_queue(slot);
        /* copied: a report that comes after its sender has left must not depend on the sender's memory */
        e = rd_kafka_producev(p->rk, RD_KAFKA_V_TOPIC(m->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_VALUE((void *) m->value, m->value_length),
                              RD_KAFKA_V_KEY(m->key, m->key_length), RD_KAFKA_V_OPAQUE(slot), RD_KAFKA_V_END);
        if (e == RD_KAFKA_RESP_ERR__QUEUE_FULL)
                e = RD_KAFKA_RESP_ERR__PURGE_QUEUE; /* waits for the next attempt */
        else if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
                slot->refused = true; /* nobody else has the slot */
        if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
                kafka_slot_answer(slot, e, RD_KAFKA_MSG_STATUS_NOT_PERSISTED);
        return e != RD_KAFKA_RESP_ERR__PURGE_QUEUE;
}

/* The first message without a final fate, or n. */
static size_t first_open(const Send *s) {
        size_t i = 0;

        (void) pthread_mutex_lock(&s->batch->mutex);
        while (i < s->n && !kafka_slot_is_open(&s->batch->slots[i]))
                i++;
        (void) pthread_mutex_unlock(&s->batch->mutex);
        return i;
}

/* Sends message `first` and all that follow it: one that was delivered meanwhile must not be followed by an older one
 * only, which a consumer would take for the newest. Returns how many were handed over; those that found no room stay
 * open. */
static size_t produce_from(const Send *s, size_t first) {
        size_t sent = 0;

        kafka_batch_hold(s->batch);
        for (size_t i = first; i < s->n && produce(s->p, &s->messages[i], &s->batch->slots[i]); i++)
                sent++;
        kafka_batch_unhold(s->batch);
        return sent;
}

/* Waits until all reports are there: 0, -ECANCELED, -ETIMEDOUT (deadline, or the request's time), -EACCES (no broker
 * wants us), or an errno of poll. */
static int wait_reports(const Send *s) {
        uint64_t until = clock_monotonic_usec() + s->p->request_timeout_usec + REPORT_SLACK_USEC;
        char text[512];

        for (;;) {
                uint64_t now = clock_monotonic_usec(), wait = s->p->connection_timeout_usec;
                int r;

                if (now >= until)
                        return -ETIMEDOUT;
                if (wait > until - now)
                        wait = until - now;
                r = cancel_token_poll(s->token, s->batch->fd, POLLIN, wait);
                if (r != 0)
                        return r > 0 ? 0 : r;
                /* an unknown topic makes messages wait too, and says nothing against the brokers */
                if (kafka_client_answers(s->p))
                        continue;
                kafka_client_set_state(s->p, KAFKA_LOST, "no answer to a message in time");
                if (kafka_error_is_refusal(kafka_client_reason(s->p, text, sizeof(text))))
                        return -EACCES;
        }
}

/* Other senders' messages fill the queue; nothing of ours was taken since `since`. */
static int wait_room(const Send *s, uint64_t since) {
        int r = cancel_token_poll(s->token, -1, 0, ROOM_POLL_USEC);

        if (r < 0)
                return r;
        return clock_monotonic_usec() - since > s->p->request_timeout_usec + REPORT_SLACK_USEC ? -ETIMEDOUT : 0;
}

static bool is_fatal(const Send *s) {
        char text[512];

        return rd_kafka_fatal_error(s->p->rk, text, sizeof(text)) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static bool was_too_large(const Send *s, size_t i) {
        bool so;

        (void) pthread_mutex_lock(&s->batch->mutex);
        so = s->batch->slots[i].error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && !s->batch->slots[i].refused;
        (void) pthread_mutex_unlock(&s->batch->mutex);
        return so;
}

/* Until no message is open, or the client met a fatal error (0 in both cases). */
static int deliver_together(const Send *s) {
        uint64_t progress = clock_monotonic_usec();
        size_t first;
        int r = 0;

        while (r == 0 && !is_fatal(s) && (first = first_open(s)) < s->n)
                if (produce_from(s, first) == 0)
                        r = wait_room(s, progress);
                else {
                        r = wait_reports(s);
                        progress = clock_monotonic_usec();
                }
        return r;
}

/* The first message that a broker refused for its size, or n. */
static size_t first_too_large(const Send *s) {
        size_t i = 0;

        while (i < s->n && !was_too_large(s, i))
                i++;
        return i;
}

/* Brokers refuse a whole request when it is too large, whoever's messages are in it. From the first one refused on each
 * is sent alone, so that only those fail that are too large themselves, and none is overtaken. Ends with 0 before all
 * are sent when the client met a fatal error. */
static int deliver_alone(Send *s, size_t first) {
        const size_t n = s->n;
        int r = 0;

        for (size_t i = first; r == 0 && i < n && !is_fatal(s); i++) {
                s->n = i + 1;
                do {
                        uint64_t since = clock_monotonic_usec();

                        while (r == 0 && !is_fatal(s) && produce_from(s, i) == 0)
                                r = wait_room(s, since);
                        if (r == 0)
                                r = wait_reports(s);
                } while (r == 0 && !is_fatal(s) && first_open(s) == i);
        }
        s->n = n;
        return r;
}

/* Until every message has a fate. A client that met a fatal error is replaced; what it left open, or has in doubt, is
 * sent by the next one. */
static int deliver(Send *s, Error *reterr) {
        unsigned clients = 1;
        int r;

        for (;;) {
                size_t large;

                r = deliver_together(s);
                if (r < 0)
                        return r;
                large = first_too_large(s);
                if (!is_fatal(s)) {
                        if (large == s->n)
                                return 0;
                        r = deliver_alone(s, large);
                        if (r < 0 || !is_fatal(s))
                                return r;
                } else if (large == s->n && first_open(s) == s->n)
                        return 0;
                if (clients++ == CLIENTS_MAX)
                        return 0;
                kafka_client_unuse(s->p);
                s->borrowed = false;
                r = kafka_client_use(s->p, s->token, reterr);
                if (r < 0)
                        return r;
                s->borrowed = true;
        }
}

/* Takes back what is still queued. In a broker's hands or not, librdkafka then reports every message at once. */
static void purge(const Send *s) {
        (void) rd_kafka_purge(s->p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        if (cancel_token_poll(NULL, s->batch->fd, POLLIN, s->p->purge_timeout_usec) <= 0)
                log_debug(KAFKA_AT, "messages were not reported after a purge");
}

/* What one message's failure was, for people. */
static char *describe(const Send *s, const KafkaMessage *m, const KafkaSlot *slot, const char *connection) {
        size_t size = m->key_length + m->value_length;
        const char *what = rd_kafka_err2str(slot->error);

        if (s->waited < 0) {
                if (s->token && cancel_token_reason(s->token) != CANCEL_NONE)
                        what = cancel_reason_to_string(cancel_token_reason(s->token));
                else
                        what = s->waited == -EACCES ? "the brokers refuse this client" : "no answer in time";
        } else if (slot->error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE && slot->refused)
                return str_printf("its %zu bytes are more than the %lld that kafka.max_batch_size allows", size,
                                  (long long) s->p->message_max);
        else if (slot->error == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
                int64_t limit = kafka_client_topic_limit(s->p, m->topic);
                _cleanup_free_ char *known =
                        limit < 0 ? strdup("") : str_printf(", which is %lld here", (long long) limit);

                return known ? str_printf("its %zu bytes are more than the topic's max.message.bytes%s", size, known)
                             : NULL;
        }
        return str_printf("%s%s%s", what, *connection ? ": " : "", connection);
}

/* slot: the message's fate as it was concluded; a report that comes after a purge was given up changes the batch's. */
static int fail(const Send *s, size_t i, const KafkaSlot *slot, Error *reterr) {
        bool canceled = s->token && cancel_token_reason(s->token) != CANCEL_NONE;
        bool uncertain = slot->queued || slot->status == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED;
        int err = s->waited < 0 ? s->waited : -EIO;
        rd_kafka_resp_err_t code = slot->error;
        _cleanup_free_ char *what = NULL;
        char connection[512] = "";
        ErrorKind kind;

        if (uncertain)
                kind = ERROR_UNCERTAIN;
        else if (s->waited < 0)
                kind = canceled ? ERROR_CANCELED : s->waited == -EACCES ? ERROR_NEVER : ERROR_RETRY;
        else
                kind = kafka_error_is_permanent(code) ? ERROR_NEVER : ERROR_RETRY;
        /* that a message timed out says little; what its connections met says more */
        if (s->waited < 0 || code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT)
                code = kafka_client_reason(s->p, connection, sizeof(connection)) ?: code;
        what = describe(s, &s->messages[i], slot, connection);
        (void) error_set(reterr, kind, err, "kafka brokers %s: topic %s: message %zu of %zu: %s%s", s->p->brokers,
                         s->messages[i].topic, i + 1, s->n, what ?: "out of memory",
                         uncertain ? " (it was handed over and may have been stored)" : "");
        if (err != -ECANCELED)
                kafka_error_hint(s->p, code, reterr);
        return err;
}

/* Tells each message's fate; returns the first failure's index, or n, and what became of it. */
static size_t conclude(const Send *s, bool *ret_delivered, KafkaSlot *ret_failed) {
        size_t first = s->n;

        (void) pthread_mutex_lock(&s->batch->mutex);
        for (size_t i = s->n; i-- > 0;) {
                const KafkaSlot *slot = &s->batch->slots[i];
                bool delivered = !slot->queued && slot->error == RD_KAFKA_RESP_ERR_NO_ERROR;

                if (ret_delivered)
                        ret_delivered[i] = delivered;
                if (delivered)
                        continue;
                first = i;
                *ret_failed = *slot;
        }
        (void) pthread_mutex_unlock(&s->batch->mutex);
        return first;
}

int kafka_send(KafkaProducer *p, const KafkaMessage *messages, size_t n, CancelToken *token, bool *ret_delivered,
               Error *reterr) {
        Send s = { .p = p, .messages = messages, .n = n, .token = token };
        KafkaSlot fate = { 0 };
        size_t failed;
        int r;

        for (size_t i = 0; i < n && ret_delivered; i++)
                ret_delivered[i] = false;
        if (n == 0)
                return 0;
        r = cancel_token_check(token);
        if (r < 0)
                return error_set(reterr, ERROR_CANCELED, r, "kafka brokers %s: topic %s: %s", p->brokers,
                                 messages[0].topic, cancel_reason_to_string(cancel_token_reason(token)));
        r = kafka_batch_new(n, &s.batch);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "kafka: %s", strerror(-r));
        r = kafka_client_use(p, token, reterr);
        if (r < 0) {
                kafka_batch_release(s.batch);
                return r;
        }
        s.borrowed = true;
        FAILPOINT("kafka", messages[0].topic, "before");
        s.waited = deliver(&s, reterr);
        if (s.waited < 0 && s.borrowed)
                purge(&s);
        /* acknowledged, and the sender does not know it yet */
        FAILPOINT("kafka", messages[0].topic, "sent");
        failed = conclude(&s, ret_delivered, &fate);
        r = failed == n ? 0 : s.waited;
        if (s.borrowed) { /* else the error says why there is no client */
                if (failed < n)
                        r = fail(&s, failed, &fate, reterr);
                kafka_client_unuse(p);
        }
        kafka_batch_release(s.batch);
        FAILPOINT("kafka", messages[0].topic, "after");
        return r;
}

int kafka_probe(KafkaProducer *p, uint64_t timeout_usec, Error *reterr) {
        const struct rd_kafka_metadata *metadata;
        rd_kafka_resp_err_t e, reason_code;
        char reason[512];
        int r;

        r = kafka_client_use(p, NULL, reterr);
        if (r < 0)
                return r;
        e = rd_kafka_metadata(p->rk, 0, NULL, &metadata, (int) (timeout_usec / USEC_PER_MSEC));
        kafka_client_unuse(p);
        if (e == RD_KAFKA_RESP_ERR_NO_ERROR) {
                rd_kafka_metadata_destroy(metadata);
                kafka_client_set_state(p, KAFKA_UP, NULL);
                return 0;
        }
        reason_code = kafka_client_reason(p, reason, sizeof(reason));
        (void) error_set(reterr, ERROR_RETRY, -EHOSTUNREACH, "kafka brokers %s: asking for metadata: %s%s%s",
                         p->brokers, rd_kafka_err2str(e), reason[0] ? ": " : "", reason);
        kafka_error_hint(p, reason_code ?: e, reterr);
        return -EHOSTUNREACH;
}
