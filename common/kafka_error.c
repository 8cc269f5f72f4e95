/* What is said about a failure: whether it will ever work, and what to do. */

#include "common/kafka_internal.h"

bool kafka_error_is_refusal(rd_kafka_resp_err_t code) {
        switch (code) {
        case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        case RD_KAFKA_RESP_ERR__SSL:
        case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
        case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
                return true;
        default:
                return false;
        }
}

bool kafka_error_is_permanent(rd_kafka_resp_err_t code) {
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
                return true;
        default:
                return kafka_error_is_refusal(code);
        }
}

void kafka_error_hint(const KafkaProducer *p, rd_kafka_resp_err_t code, Error *e) {
        if (!e)
                return;
        switch (code) {
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
                error_set_hint(e, "create the topic, for instance with bazooka's create_kafka_topics");
                break;
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
        case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
                error_set_hint(e, "raise the topic's max.message.bytes or the brokers' message.max.bytes, and "
                                  "kafka.max_batch_size with it");
                break;
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
                error_set_hint(e,
                               "give the user of kafka.sasl_username, or of the client's certificate, the right to "
                               "write to the topic (client id '%s')",
                               p->service);
                break;
        case RD_KAFKA_RESP_ERR__SSL:
                error_set_hint(e, "check kafka.security_protocol, kafka.ssl_ca_file and that kafka.brokers names the "
                                  "brokers as their certificates do");
                break;
        case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
        case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
                error_set_hint(e, "check kafka.sasl_mechanism, kafka.sasl_username and kafka.sasl_password");
                break;
        default:
                error_set_hint(e, "check that the brokers of kafka.brokers run and can be reached from this host, and "
                                  "that kafka.security_protocol is theirs");
                break;
        }
}
