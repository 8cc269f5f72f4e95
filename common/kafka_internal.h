#pragma once

/* What the files common/kafka*.c share; nobody else includes this.
 *
 *   kafka.c         kafka_send(): hands messages over, waits for their fate
 *   kafka_client.c  the librdkafka client: made, made anew after a fatal error, its dispatcher thread, state of brokers
 *   kafka_batch.c   the fates of the messages of one kafka_send()
 *   kafka_conf.c    settings in librdkafka's terms
 *   kafka_error.c   what is said about a failure */

#include <librdkafka/rdkafka.h>
#include <pthread.h>

#include "common/kafka.h"

#define KAFKA_AT "kafka#producer"

/* kafka_batch.c. One kafka_send(): the dispatcher fills the slots, the sender waits for `left` to reach 0. Freed by
 * whoever lets go last: a sender whose purge was not answered in time leaves it to the dispatcher. */
typedef struct KafkaBatch KafkaBatch;
typedef struct KafkaSlot {
        KafkaBatch *batch;
        bool queued;  /* librdkafka has it and owes a report */
        bool refused; /* librdkafka did not take it: no broker has seen it */
        rd_kafka_resp_err_t error;
        rd_kafka_msg_status_t status;
} KafkaSlot;
struct KafkaBatch {
        pthread_mutex_t mutex;
        int fd; /* eventfd, readable when left == 0 */
        size_t left;
        bool abandoned;
        KafkaSlot slots[];
};
int kafka_batch_new(size_t n, KafkaBatch **ret);
/* The sender's last word: frees the batch, or leaves it to the last report. */
void kafka_batch_release(KafkaBatch *b);
/* Around the handing over of several messages, so that the batch is not done before the last of them. */
void kafka_batch_hold(KafkaBatch *b);
void kafka_batch_unhold(KafkaBatch *b);
/* Before a message is handed over: a report is owed from now on. */
void kafka_slot_queue(KafkaSlot *slot);
/* The report. Any thread; the slot may be gone afterwards. */
void kafka_slot_answer(KafkaSlot *slot, rd_kafka_resp_err_t error, rd_kafka_msg_status_t status);
/* Whether the message has no final fate: not handed over yet, or taken back by a purge, or lost with a client that met
 * a fatal error. */
bool kafka_slot_is_open(const KafkaSlot *slot);

/* kafka_conf.c. Newly allocated; limits are in bytes. */
int kafka_conf_new(const Settings *settings, rd_kafka_conf_t **ret, int64_t *ret_message_max, Error *reterr);

/* kafka_client.c */
typedef enum KafkaState { KAFKA_UNKNOWN, KAFKA_UP, KAFKA_LOST } KafkaState;
struct KafkaProducer {
        char *brokers;
        char *service;
        uint64_t connection_timeout_usec;
        uint64_t request_timeout_usec;
        uint64_t purge_timeout_usec; /* how long reports of what was taken back are waited for */
        int64_t message_max;         /* bytes of key and value that librdkafka takes */
        KafkaStateCallback on_state;
        void *userdata;
        rd_kafka_conf_t *conf; /* what each new client gets a copy of */

        pthread_mutex_t mutex; /* what follows */
        rd_kafka_t *rk;        /* replaced after a fatal error when nobody uses it */
        rd_kafka_queue_t *queue;
        pthread_t dispatcher;
        bool stop;
        bool reopening; /* one sender replaces rk, the others wait */
        unsigned users;

        pthread_mutex_t state_mutex; /* also held during on_state, so that changes arrive in order */
        KafkaState state;
        uint64_t suspect_usec; /* since when librdkafka has no connection, if the brokers are not lost yet; 0: it has */
        rd_kafka_resp_err_t reason_code; /* the last error of a connection since the brokers last answered */
        char reason[512];
};
int kafka_client_open(KafkaProducer *p, Error *reterr);
/* Ends the dispatcher and hands its remaining reports to those who wait. Nobody may be sending. */
void kafka_client_shut(KafkaProducer *p);
/* Borrows the client, made anew if a fatal error (the idempotent producer's sequence was lost) ended it; waits for the
 * other users of the old one. Give it back with kafka_client_unuse(). */
int kafka_client_use(KafkaProducer *p, CancelToken *token, Error *reterr);
void kafka_client_unuse(KafkaProducer *p);
/* Whether any broker answers, within half a second. */
bool kafka_client_answers(KafkaProducer *p);
void kafka_client_set_state(KafkaProducer *p, KafkaState state, const char *what);
/* The last error of a connection, or RD_KAFKA_RESP_ERR_NO_ERROR and an empty text. */
rd_kafka_resp_err_t kafka_client_reason(KafkaProducer *p, char *text, size_t size);

/* The topic's max.message.bytes as the brokers tell it within a second, or -1. */
int64_t kafka_client_topic_limit(KafkaProducer *p, const char *topic);

/* kafka_error.c */
/* Brokers that are there and do not want us: waiting does not help. */
bool kafka_error_is_refusal(rd_kafka_resp_err_t code);
bool kafka_error_is_permanent(rd_kafka_resp_err_t code);
void kafka_error_hint(const KafkaProducer *p, rd_kafka_resp_err_t code, Error *e);
