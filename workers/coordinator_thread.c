/* The coordinator's thread: what is due, in which order, and until when it may sleep. */

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "workers/coordinator_internal.h"

static uint64_t min_usec(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static uint64_t stop_instant(Coordinator *c) {
        uint64_t usec;

        (void) pthread_mutex_lock(&c->mutex);
        usec = c->stop_usec;
        (void) pthread_mutex_unlock(&c->mutex);
        return usec;
}

static void give_up_take(Coordinator *c, size_t task) {
        Slot *s = &c->slots[task];

        if (s->phase != SLOT_WANTED)
                return; /* its answer is in the queue already */
        s->phase = SLOT_IDLE;
        (void) pthread_mutex_lock(&c->mutex);
        s->token = NULL;
        (void) pthread_mutex_unlock(&c->mutex);
        coordinator_emit(c,
                         (CoordinatorEvent){ .type = COORDINATOR_NOT_TAKEN, .task = task, .outcome = LOCK_NOT_ASKED });
}

static void execute(Coordinator *c, const Command *command) {
        Slot *s = &c->slots[command->task < c->n_tasks ? command->task : 0]; /* some commands are about no task */

        switch (command->type) {
        case COMMAND_TAKE:
                s->phase = SLOT_WANTED;
                s->flags = command->flags;
                s->next_usec = 0;
                (void) memcpy(s->run_id, command->run_id, sizeof(s->run_id));
                break;
        case COMMAND_ABANDON:
                give_up_take(c, command->task);
                break;
        case COMMAND_END:
                if (s->phase == SLOT_HELD)
                        contact_end_run(c, command->task, command->result, true);
                break;
        case COMMAND_PAUSE:
        case COMMAND_RESUME:
        case COMMAND_FLEET:
                contact_request(c, command);
                break;
        }
}

static void execute_commands(Coordinator *c) {
        Command *command;

        while ((command = coordinator_next_command(c))) {
                execute(c, command);
                command_free(command);
                /* requests of people must not delay the locks */
                (void) contact_check_confirmations(c);
        }
}

/* Locks come first, then what is left over, takes and pauses. Everything but a renewal waits for contact_usec. */
static void do_what_is_due(Coordinator *c) {
        const uint64_t now = clock_monotonic_usec();

        for (size_t i = 0; i < c->n_tasks; i++) {
                Slot *s = &c->slots[i];

                if (s->phase == SLOT_HELD && !s->lost && s->next_usec <= now)
                        contact_renew(c, i);
        }
        if (clock_monotonic_usec() < c->contact_usec || (!c->dead_cleared && !contact_clear_dead(c)))
                return;
        for (size_t i = 0; i < c->n_tasks; i++) {
                Slot *s = &c->slots[i];

                if (clock_monotonic_usec() < c->contact_usec)
                        return;
                if (s->phase != SLOT_HELD && s->left_uuid[0] && s->next_usec <= now && contact_settle(c, i) < 0)
                        continue;
                if (s->phase == SLOT_WANTED && s->next_usec <= now)
                        contact_take(c, i);
        }
        if (clock_monotonic_usec() >= c->contact_usec && c->pauses_usec <= now)
                contact_look_up_pauses(c);
}

static uint64_t next_instant(Coordinator *c) {
        uint64_t next = contact_check_confirmations(c);

        for (size_t i = 0; i < c->n_tasks; i++) {
                const Slot *s = &c->slots[i];

                if (s->phase == SLOT_HELD && !s->lost)
                        next = min_usec(next, s->next_usec);
                else if (s->phase == SLOT_WANTED || (s->phase == SLOT_IDLE && s->left_uuid[0]))
                        next = min_usec(next, s->next_usec > c->contact_usec ? s->next_usec : c->contact_usec);
        }
        return min_usec(next, c->pauses_usec > c->contact_usec ? c->pauses_usec : c->contact_usec);
}

static void sleep_until(Coordinator *c, uint64_t instant_usec) {
        struct pollfd p = { .fd = c->command_fd, .events = POLLIN };
        const uint64_t now = clock_monotonic_usec();
        const uint64_t msec = instant_usec > now ? (instant_usec - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC : 0;
        eventfd_t unused;

        if (poll(&p, 1, msec > INT32_MAX ? INT32_MAX : (int) msec) > 0)
                (void) eventfd_read(c->command_fd, &unused);
}

/* Ends what the main thread did not, so that another instance can take it at once. Tried again until the time is over:
 * what cannot be delivered goes away with E's TTL. */
static void give_everything_back(Coordinator *c) {
        bool again;
        int r;

        for (size_t i = 0; i < c->n_tasks; i++)
                if (c->slots[i].phase == SLOT_HELD)
                        contact_end_run(c, i, "abandoned", false);
        do {
                again = false;
                for (size_t i = 0; i < c->n_tasks; i++) {
                        if (clock_monotonic_usec() >= stop_instant(c))
                                return;
                        if (!c->slots[i].left_uuid[0])
                                continue;
                        r = contact_settle(c, i);
                        if (r == -EBADMSG)
                                c->slots[i].left_uuid[0] = '\0'; /* nobody mends that key in time */
                        else if (r < 0) {
                                again = true;
                                break;
                        }
                }
                if (again) {
                        const uint64_t now = clock_monotonic_usec(), stop = stop_instant(c);
                        const uint64_t pause = min_usec(c->reconnect_delay_usec, 100 * USEC_PER_MSEC);

                        sleep_until(c, min_usec(now + pause, stop));
                }
        } while (again);
}

void *coordinator_thread(void *userdata) {
        Coordinator *c = userdata;

        while (stop_instant(c) == 0) {
                execute_commands(c);
                if (stop_instant(c) != 0)
                        break;
                do_what_is_due(c);
                sleep_until(c, next_instant(c));
        }
        /* ends that were asked for before the stop keep their result */
        execute_commands(c);
        give_everything_back(c);
        (void) eventfd_write(c->finished_fd, 1);
        return NULL;
}
