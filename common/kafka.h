#pragma once

/* Kafka producer: librdkafka, idempotent, acks=all, linger 0, no compression, partitioner murmur2_random,
 * client.id = service_name. One per worker process, created after the last fork. Delivery reports come back to the
 * sending task: kafka_send() returns when all of its messages are acknowledged or failed. Thread-safe. */

#include "common/cancel.h"
#include "common/error.h"
#include "common/settings.h"

typedef struct KafkaProducer KafkaProducer;

typedef struct KafkaMessage {
        const char *topic;
        const void *key; /* NULL: no key */
        size_t key_length;
        const void *value;
        size_t value_length;
} KafkaMessage;

typedef void (*KafkaStateCallback)(const Error *error, void *userdata); /* NULL error: it answered */

int kafka_producer_new(const Settings *settings, KafkaStateCallback on_state, void *userdata, KafkaProducer **ret,
                       Error *reterr);
/* Flushes for at most flush_timeout_usec, returns how many messages were left unsent through ret_left (may be NULL). */
KafkaProducer *kafka_producer_close(KafkaProducer *p, uint64_t flush_timeout_usec, size_t *ret_left);

/* Sends and waits (token, its deadline, and kafka.request_timeout without an answer). Returns 0 when all are
 * acknowledged; otherwise the first failure, with broker list, topic and librdkafka's reason; ret_delivered[i] (may be
 * NULL) tells each one's fate. ERROR_UNCERTAIN when a message was handed to a broker and never answered. */
int kafka_send(KafkaProducer *p, const KafkaMessage *messages, size_t n, CancelToken *token, bool *ret_delivered,
               Error *reterr);
/* Asks for metadata within timeout_usec: for `status`. */
int kafka_probe(KafkaProducer *p, uint64_t timeout_usec, Error *reterr);
