#include "common/clock.h"
#include "workers/orders/removal_batch.h"

#define TOPIC "to-vulcan"

void removal_batch_done(RemovalBatch *b) {
        buffer_done(&b->bytes);
        free(b->ends);
        *b = (RemovalBatch){ 0 };
}

static int no_memory(const RemovalBatch *b, Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu messages to %s", b->n, TOPIC);
}

static int publish(TaskContext *ctx, RemovalBatch *b, Error *reterr) {
        _cleanup_free_ KafkaMessage *messages = NULL;
        _cleanup_free_ bool *delivered = NULL;
        size_t at = 0;
        int r;

        if (b->n == 0)
                return 0;
        messages = calloc(b->n, sizeof(*messages));
        delivered = calloc(b->n, sizeof(*delivered));
        if (!messages || !delivered)
                return no_memory(b, reterr);
        for (size_t i = 0; i < b->n; i++) {
                const char *value = b->bytes.data + at + ORDER_ID_HASH_SIZE;

                messages[i] = (KafkaMessage){
                        .topic = TOPIC,
                        .key = b->bytes.data + at,
                        .key_length = ORDER_ID_HASH_SIZE,
                        .value = value,
                        .value_length = (size_t) (b->bytes.data + b->ends[i] - value),
                };
                at = b->ends[i];
        }
        r = task_publish(ctx, messages, b->n, delivered, reterr);
        for (size_t i = 0; i < b->n; i++)
                b->delivered += delivered[i];
        return r;
}

int removal_batch_send(TaskContext *ctx, RemovalBatch *b, Error *reterr) {
        uint64_t start = clock_monotonic_usec();
        int64_t size = (int64_t) b->bytes.length, msec;
        int r;

        r = publish(ctx, b, reterr);
        buffer_clear(&b->bytes);
        b->n = 0;
        if (r < 0)
                return r;
        msec = (int64_t) ((clock_monotonic_usec() - start) / USEC_PER_MSEC);
        task_gauge(ctx, "kafka_batch_size", (double) size, NULL, 0);
        task_timing(ctx, "kafka_batch_send_time", msec, NULL, 0);
        task_log(ctx, LOG_LEVEL_DEBUG, "BatchMessenger#sendBatch",
                 (const LogField[]){ LOG_INT("CURRENT_SIZE", "currentSize", size), LOG_STRING("TOPIC", "topic", TOPIC),
                                     LOG_INT("SEND_TIME", "sendTime", msec) },
                 3, "Produced kafka batch");
        return 0;
}

int removal_batch_add(TaskContext *ctx, RemovalBatch *b, const uint8_t key[static ORDER_ID_HASH_SIZE],
                      const void *value, size_t length, Error *reterr) {
        size_t limit = (size_t) settings_int(task_settings(ctx), "kafka.max_batch_size");
        int r;

        if (b->bytes.length + ORDER_ID_HASH_SIZE + length > limit) {
                r = removal_batch_send(ctx, b, reterr);
                if (r < 0)
                        return r;
        }
        if (b->n == b->allocated) {
                size_t allocated = b->allocated ? 2 * b->allocated : 1024;
                size_t *ends = reallocarray(b->ends, allocated, sizeof(*ends));

                if (!ends)
                        return no_memory(b, reterr);
                b->ends = ends;
                b->allocated = allocated;
        }
        (void) buffer_append(&b->bytes, key, ORDER_ID_HASH_SIZE);
        if (buffer_append(&b->bytes, value, length) < 0)
                return no_memory(b, reterr);
        b->ends[b->n++] = b->bytes.length;
        return 0;
}
