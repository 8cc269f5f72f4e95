/* The fates of the messages of one kafka_send(). Two threads look at a batch, its sender and the dispatcher, and either
 * may be the last. */

#include <sys/eventfd.h>

#include "common/kafka_internal.h"

static void batch_free(KafkaBatch *b) {
        (void) close_fd(b->fd);
        (void) pthread_mutex_destroy(&b->mutex);
        free(b);
}

int kafka_batch_new(size_t n, KafkaBatch **ret) {
        KafkaBatch *b;

        b = calloc(1, sizeof(*b) + n * sizeof(KafkaSlot));
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

void kafka_batch_release(KafkaBatch *b) {
        bool done;

        (void) pthread_mutex_lock(&b->mutex);
        done = b->left == 0;
        b->abandoned = !done;
        (void) pthread_mutex_unlock(&b->mutex);
        if (done)
                batch_free(b);
}

void kafka_batch_hold(KafkaBatch *b) {
        eventfd_t unused;

        (void) eventfd_read(b->fd, &unused);
        (void) pthread_mutex_lock(&b->mutex);
        b->left++;
        (void) pthread_mutex_unlock(&b->mutex);
}

/* Lets one of those go that `left` counts; with the mutex held, which is released. */
static void let_go(KafkaBatch *b) {
        bool last = --b->left == 0, abandoned = b->abandoned;

        if (last && !abandoned)
                (void) eventfd_write(b->fd, 1);
        (void) pthread_mutex_unlock(&b->mutex);
        if (last && abandoned)
                batch_free(b);
}

void kafka_batch_unhold(KafkaBatch *b) {
        (void) pthread_mutex_lock(&b->mutex);
        let_go(b);
}

void kafka_slot_queue(KafkaSlot *slot) {
        KafkaBatch *b = slot->batch;

        (void) pthread_mutex_lock(&b->mutex);
        b->left++;
        slot->queued = true;
        slot->refused = false;
        (void) pthread_mutex_unlock(&b->mutex);
}

void kafka_slot_answer(KafkaSlot *slot, rd_kafka_resp_err_t error, rd_kafka_msg_status_t status) {
        KafkaBatch *b = slot->batch;

        (void) pthread_mutex_lock(&b->mutex);
        slot->queued = false;
        slot->error = error;
        slot->status = status;
        let_go(b);
}

bool kafka_slot_is_open(const KafkaSlot *slot) {
        return slot->error == RD_KAFKA_RESP_ERR__PURGE_QUEUE || slot->error == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT ||
               slot->error == RD_KAFKA_RESP_ERR__FATAL;
}
