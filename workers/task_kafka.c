/* Kafka for tasks: the producer is the process's, made when the first task publishes. */

#include "common/json.h"
#include "workers/task_context_internal.h"

/* Topic and value for people. Bytes that are no text are shown as \xNN, so that a terminal is left alone. */
static void preview(TaskContext *ctx, const KafkaMessage *m) {
        const unsigned char *value = m->value;
        _cleanup_buffer_ Buffer text = { 0 };

        for (size_t i = 0; i < m->value_length;) {
                size_t n = utf8_length(value + i, m->value_length - i);

                if (n == 0 || value[i] < 0x20 || value[i] == 0x7f) {
                        (void) buffer_printf(&text, "\\x%02x", value[i]);
                        n = 1;
                } else
                        (void) buffer_append(&text, value + i, n);
                i += n;
        }
        if (buffer_failed(&text))
                task_preview(ctx, "would publish %zu bytes to %s", m->value_length, m->topic);
        else
                task_preview(ctx, "would publish to %s: %s", m->topic, text.data ? text.data : "");
}

int task_publish(TaskContext *ctx, const KafkaMessage *messages, size_t n, bool *ret_delivered, Error *reterr) {
        const TaskServices *s = ctx->services;
        _cleanup_error_ Error e = ERROR_INIT;
        KafkaProducer *producer;
        int r;

        if (ctx->dry_run) {
                for (size_t i = 0; i < n; i++) {
                        preview(ctx, messages + i);
                        if (ret_delivered)
                                ret_delivered[i] = true;
                }
                return 0;
        }
        for (size_t i = 0; ret_delivered && i < n; i++)
                ret_delivered[i] = false;
        producer = s->kafka ? s->kafka(s->userdata, &e) : NULL;
        if (!producer) {
                if (e.err >= 0)
                        (void) error_set(&e, ERROR_NEVER, -EIO, "there is no Kafka producer");
                r = e.err;
                if (reterr)
                        error_move(reterr, &e);
                return r;
        }
        return kafka_send(producer, messages, n, ctx->token, ret_delivered, reterr);
}
