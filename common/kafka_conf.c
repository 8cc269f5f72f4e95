/* Settings in librdkafka's terms. Everything on which others depend is set here, even where it is librdkafka's default:
 * defaults have changed between its versions. */

#include <stdio.h>

#include "common/kafka_internal.h"

/* at least Kafka's own default, and what the settings allow plus its framing */
#define MESSAGE_MAX_DEFAULT 1048588
#define MESSAGE_OVERHEAD 1024
/* Several messages in one request stay below every broker's default limit, whatever a single one may have. */
#define BATCH_MAX 1000000
/* Copies of messages that wait for brokers. What finds no room waits in kafka_send(). */
#define QUEUE_KBYTES 65536
/* How long a topic that the brokers do not know may still be on its way between them. */
#define UNKNOWN_TOPIC_MSEC 5000

typedef struct Row {
        const char *name;
        const char *value; /* NULL: left out */
} Row;

static const char *fill(char *buf, size_t size, int64_t value) {
        (void) snprintf(buf, size, "%lld", (long long) value);
        return buf;
}

static int apply(rd_kafka_conf_t *conf, const Row *rows, size_t n, const char *brokers, Error *reterr) {
        char text[512];

        for (size_t i = 0; i < n; i++)
                if (rows[i].value &&
                    rd_kafka_conf_set(conf, rows[i].name, rows[i].value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
                        /* the text may quote the value: no place for a password */
                        (void) error_set(reterr, ERROR_NEVER, -EINVAL, "kafka brokers %s: cannot set %s: %s", brokers,
                                         rows[i].name,
                                         str_eq(rows[i].name, "sasl.password") ? "not a possible value" : text);
                        if (reterr)
                                error_set_hint(reterr, "check the kafka.* settings");
                        return -EINVAL;
                }
        return 0;
}

static int apply_producer(rd_kafka_conf_t *conf, const Settings *settings, int64_t message_max, Error *reterr) {
        int64_t request = (int64_t) (settings_duration_usec(settings, "kafka.request_timeout") / USEC_PER_MSEC);
        int64_t batch = settings_int(settings, "kafka.max_batch_size"), queue = 2 * message_max / 1024;
        /* a connection that died without a word is given up early enough for another attempt */
        int64_t attempt = request / 3 > 1000 ? request / 3 : 1000;
        const char *brokers = settings_string(settings, "kafka.brokers");
        char timeout[32], attempt_text[32], connect[32], batch_text[32], message[32], queue_text[32];
        char unknown[32];
        const Row rows[] = {
                { "bootstrap.servers", brokers },
                { "client.id", settings_string(settings, "service_name") },
                { "enable.idempotence", "true" },
                { "acks", "all" },
                { "compression.codec", "none" },
                { "linger.ms", "0" },
                { "partitioner", "murmur2_random" },
                { "message.timeout.ms", fill(timeout, sizeof(timeout), request) },
                { "request.timeout.ms", fill(attempt_text, sizeof(attempt_text), attempt) },
                { "socket.timeout.ms", attempt_text },
                { "socket.connection.setup.timeout.ms",
                  fill(connect, sizeof(connect),
                       (int64_t) (settings_duration_usec(settings, "kafka.connection_timeout") / USEC_PER_MSEC)) },
                { "socket.keepalive.enable", "true" },
                { "reconnect.backoff.ms", "100" },
                { "reconnect.backoff.max.ms", "1000" },
                /* a topic that is not there is told after this time, not after the message's whole life */
                { "topic.metadata.propagation.max.ms",
                  fill(unknown, sizeof(unknown), attempt < UNKNOWN_TOPIC_MSEC ? attempt : UNKNOWN_TOPIC_MSEC) },
                { "batch.size", fill(batch_text, sizeof(batch_text), batch < BATCH_MAX ? batch : BATCH_MAX) },
                { "message.max.bytes", fill(message, sizeof(message), message_max) },
                { "queue.buffering.max.kbytes",
                  fill(queue_text, sizeof(queue_text), queue > QUEUE_KBYTES ? queue : QUEUE_KBYTES) },
        };

        return apply(conf, rows, ELEMENTSOF(rows), brokers, reterr);
}

static int apply_security(rd_kafka_conf_t *conf, const Settings *settings, Error *reterr) {
        const char *brokers = settings_string(settings, "kafka.brokers");
        const Row rows[] = {
                { "security.protocol", settings_string(settings, "kafka.security_protocol") },
                { "sasl.mechanisms", settings_string(settings, "kafka.sasl_mechanism") },
                { "sasl.username", settings_string(settings, "kafka.sasl_username") },
                { "sasl.password", settings_string(settings, "kafka.sasl_password") },
                { "ssl.ca.location", settings_string(settings, "kafka.ssl_ca_file") },
                { "ssl.certificate.location", settings_string(settings, "kafka.ssl_certificate_file") },
                { "ssl.key.location", settings_string(settings, "kafka.ssl_key_file") },
                { "enable.ssl.certificate.verification", "true" },
                { "ssl.endpoint.identification.algorithm", "https" },
        };

        return apply(conf, rows, ELEMENTSOF(rows), brokers, reterr);
}

int kafka_conf_new(const Settings *settings, rd_kafka_conf_t **ret, int64_t *ret_message_max, Error *reterr) {
        int64_t message_max = settings_int(settings, "kafka.max_batch_size") + MESSAGE_OVERHEAD;
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        int r;

        if (message_max < MESSAGE_MAX_DEFAULT)
                message_max = MESSAGE_MAX_DEFAULT;
        r = apply_producer(conf, settings, message_max, reterr);
        if (r >= 0)
                r = apply_security(conf, settings, reterr);
        if (r < 0) {
                rd_kafka_conf_destroy(conf);
                return r;
        }
        rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
        *ret_message_max = message_max;
        *ret = conf;
        return 0;
}
