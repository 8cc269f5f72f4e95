/* Kafka for tasks: one producer per worker, made when the first task publishes. */

#include "workers/task_context_internal.h"

static bool is_text(const unsigned char *data, size_t length) {
        for (size_t i = 0; i < length; i++)
                if (data[i] < 0x20 || data[i] == 0x7f)
                        return false;
        return true;
}

static void preview(TaskContext *ctx, const KafkaMessage *m) {
        if (is_text(m->value, m->value_length))
                task_preview(ctx, "would publish to %s: %.*s", m->topic, (int) m->value_length, (const char *) m->value);
        else
                task_preview(ctx, "would publish %zu bytes to %s", m->value_length, m->topic);
}

int task_publish(TaskContext *ctx, const KafkaMessage *messages, size_t n, bool *ret_delivered, Error *reterr) {
        KafkaProducer *producer;

        if (ctx->dry_run) {
                for (size_t i = 0; i < n; i++) {
                        preview(ctx, messages + i);
                        if (ret_delivered)
                                ret_delivered[i] = true;
                }
                return 0;
        }
        producer = ctx->services->kafka(ctx->services->userdata, reterr);
        if (!producer)
                return reterr && reterr->err < 0 ? reterr->err : -EIO;
        return kafka_send(producer, messages, n, ctx->token, ret_delivered, reterr);
}
