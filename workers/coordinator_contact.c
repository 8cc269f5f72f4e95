/* The coordinator's exchanges with Redis and what follows from their outcomes. */

#include <stdio.h>

#include "common/log.h"
#include "workers/coordinator_internal.h"

#define PAUSES_PERIOD_USEC (3 * USEC_PER_SEC)
#define RENEW_PERIOD_MAX_USEC (5 * USEC_PER_SEC)
#define MARGIN_MAX_USEC (10 * USEC_PER_SEC)
#define BROKEN_RETRY_MAX_USEC (10 * USEC_PER_SEC) /* how soon the deletion of a broken key is seen, at the latest */

static uint64_t min_usec(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

uint64_t coordinator_renew_period(const LockTask *task) {
        const uint64_t period =
                min_usec(min_usec(task->extended_ttl_usec, task->interval_usec) / 3, RENEW_PERIOD_MAX_USEC);

        return period < USEC_PER_MSEC ? USEC_PER_MSEC : period;
}

/* How long after a renewal was sent the lock counts as held. For tasks without an E in the original it is R that keeps
 * originals away. */
static uint64_t confirmed_for(const LockTask *task) {
        const uint64_t ttl = task->original_extended ? task->extended_ttl_usec
                                                     : min_usec(task->extended_ttl_usec, task->interval_usec);

        return ttl - min_usec(ttl / 3, MARGIN_MAX_USEC);
}

/* An exchange ends by itself where it would keep the thread from cancelling a run in time. */
void contact_begin(Coordinator *c) {
        uint64_t deadline = contact_check_confirmations(c);

        cancel_token_reset(c->io);
        (void) pthread_mutex_lock(&c->mutex);
        if (c->stop_usec != 0)
                deadline = min_usec(deadline, c->stop_usec);
        (void) pthread_mutex_unlock(&c->mutex);
        cancel_token_set_deadline(c->io, deadline);
}

static void report_state(Coordinator *c, bool reachable, const char *text) {
        if (c->reachable_known && c->reachable == reachable)
                return;
        /* It may have come back empty: what is held is asserted again at once, before others may take it. */
        for (size_t i = 0; reachable && i < c->n_tasks; i++)
                c->slots[i].next_usec = 0;
        c->reachable_known = true;
        c->reachable = reachable;
        coordinator_emit(c, (CoordinatorEvent){ .type = COORDINATOR_REDIS_STATE, .text = text ? strdup(text) : NULL });
}

/* An answer that is an error of one key's (a wrong type): the server is there, and other tasks are as before. */
static bool is_broken_key(int r, const Error *e) {
        return r == -EBADMSG && e->kind == ERROR_NEVER;
}

/* Told once per task, or once per text: taking and undoing the take fail in turns, in other words. */
static void complain(Coordinator *c, Slot *slot, const Error *e) {
        LogField field = LOG_STRING("TASK", "taskName", slot ? c->tasks[slot - c->slots].task : NULL);

        if (slot ? slot->complained : str_eq(c->complaint, error_text(e)))
                return;
        if (slot)
                slot->complained = true;
        free(c->complaint);
        c->complaint = strdup(error_text(e));
        log_error_object(LOG_LEVEL_ERROR, NULL, "coordinator", e, &field, slot ? 1 : 0,
                         "redis refused a lock operation");
}

/* A short outage is a warning, told by who hears of the change; one that lasts is an error, told once. The metric is
 * the original's, but for its tag: the original sends the URL with the password (runtime specification, section 7). */
static void count_failure(Coordinator *c, const Error *e) {
        const MetricTag url = { "url", redis_conn_display(c->redis) };

        metrics_distribution(c->metrics, "redis.connection_retries", (double) (c->attempts + 1), &url, 1);
        if (c->attempts++ == c->reconnect_error_threshold)
                log_error_object(LOG_LEVEL_ERROR, NULL, "coordinator", e, NULL, 0, "redis still cannot be reached");
}

bool contact_end(Coordinator *c, Slot *slot, int r, const Error *e) {
        if (r >= 0) {
                report_state(c, true, NULL);
                c->contact_usec = c->attempts = 0;
        } else if (is_broken_key(r, e)) {
                report_state(c, true, NULL);
                c->attempts = 0;
                complain(c, slot, e);
        } else {
                report_state(c, false, error_text(e));
                count_failure(c, e);
                c->contact_usec = clock_monotonic_usec() + c->reconnect_delay_usec;
        }
        (void) contact_check_confirmations(c);
        return r >= 0;
}

/* Cancels the run, once. Under the mutex, because the token is the main thread's again after coordinator_end(). The
 * main thread logs it, when it sees the event. */
static void cancel_run(Coordinator *c, size_t task, const char *why) {
        Slot *s = &c->slots[task];
        bool now = false;

        (void) pthread_mutex_lock(&c->mutex);
        if (s->active && !s->cancelled) {
                s->cancelled = now = true;
                if (s->token)
                        cancel_token_cancel(s->token, CANCEL_LOCK);
        }
        (void) pthread_mutex_unlock(&c->mutex);
        if (now)
                coordinator_emit(c,
                                 (CoordinatorEvent){ .type = COORDINATOR_CANCEL, .task = task, .text = strdup(why) });
}

uint64_t contact_check_confirmations(Coordinator *c) {
        const uint64_t now = clock_monotonic_usec();
        uint64_t next = USEC_INFINITY;

        for (size_t i = 0; i < c->n_tasks; i++) {
                Slot *s = &c->slots[i];
                bool counts;
                uint64_t until;

                (void) pthread_mutex_lock(&c->mutex);
                counts = s->active && !s->cancelled;
                until = s->commit_until_usec;
                (void) pthread_mutex_unlock(&c->mutex);
                if (!counts)
                        continue;
                if (until <= now)
                        cancel_run(c, i, "its lock was not confirmed in time by redis");
                else
                        next = min_usec(next, until);
        }
        return next;
}

static void confirm(Coordinator *c, size_t task, uint64_t sent_usec) {
        Slot *s = &c->slots[task];

        (void) pthread_mutex_lock(&c->mutex);
        s->commit_until_usec = sent_usec + confirmed_for(&c->tasks[task]);
        (void) pthread_mutex_unlock(&c->mutex);
}

bool contact_clear_dead(Coordinator *c) {
        for (size_t i = 0; c->n_dead > 0 && i < c->n_tasks; i++) {
                _cleanup_error_ Error e = ERROR_INIT;
                bool cleared = false;
                int r;

                contact_begin(c);
                r = lock_clear_dead(c->redis, &c->identity, &c->tasks[i], (const char *const *) c->dead, c->n_dead,
                                    c->io, &cleared, &e);
                /* a key of a wrong type keeps that task from running, not the others */
                if (!contact_end(c, &c->slots[i], r, &e) && !is_broken_key(r, &e))
                        return false;
                if (cleared)
                        log_info("coordinator#clearDead", "%s: cleared the lock that a predecessor left",
                                 c->tasks[i].task);
        }
        c->dead_cleared = true;
        return true;
}

/* The caller's coordinator_end() may come as soon as TAKEN is in the queue, so the slot is ready before. */
static void taken(Coordinator *c, size_t task, const LockTakeResult *result, uint64_t sent_usec) {
        Slot *s = &c->slots[task];

        s->phase = SLOT_HELD;
        s->lost = false;
        (void) memcpy(s->uuid, result->uuid, sizeof(s->uuid));
        s->started_usec = result->started_usec;
        s->taken_usec = sent_usec;
        s->next_usec = sent_usec + coordinator_renew_period(&c->tasks[task]);
        confirm(c, task, sent_usec);
        (void) pthread_mutex_lock(&c->mutex);
        s->active = true;
        s->cancelled = false;
        (void) pthread_mutex_unlock(&c->mutex);
        coordinator_emit(c, (CoordinatorEvent){ .type = COORDINATOR_TAKEN, .task = task, .outcome = LOCK_TAKEN });
}

static void not_taken(Coordinator *c, size_t task, LockTakeResult *result) {
        Slot *s = &c->slots[task];

        s->phase = SLOT_IDLE;
        (void) pthread_mutex_lock(&c->mutex);
        s->token = NULL;
        (void) pthread_mutex_unlock(&c->mutex);
        /* The main thread waits for RESUMED now, which must come even if no look-up sees the pause before its end. */
        if (result->outcome == LOCK_PAUSED && !s->paused) {
                s->paused = coordinator_allocate(1, 1);
                c->pauses_usec = 0;
        }
        coordinator_emit(c, (CoordinatorEvent){ .type = COORDINATOR_NOT_TAKEN,
                                                .task = task,
                                                .outcome = result->outcome,
                                                .wait_usec = result->wait_usec,
                                                .by_hand = result->endless,
                                                .text = TAKE_PTR(result->holder) });
}

/* A key of a wrong type is in the way until somebody deletes it. That is an answer, like a lock held by somebody else:
 * the task must not keep its slot for it. */
static void refused(Coordinator *c, size_t task, const Error *e) {
        LockTakeResult result = {
                .outcome = LOCK_BROKEN,
                .wait_usec = min_usec(c->tasks[task].interval_usec, BROKEN_RETRY_MAX_USEC),
                .endless = true,
                .holder = strdup(error_text(e)),
        };

        not_taken(c, task, &result);
}

int contact_settle(Coordinator *c, size_t task) {
        Slot *s = &c->slots[task];
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        contact_begin(c);
        if (s->left_result[0])
                r = lock_end(c->redis, &c->identity, &c->tasks[task], s->left_uuid, s->left_result, c->io, NULL, &e);
        else
                r = lock_undo(c->redis, &c->identity, &c->tasks[task], s->left_uuid, c->io, &e);
        if (!contact_end(c, s, r, &e)) {
                s->next_usec = clock_monotonic_usec() + c->reconnect_delay_usec;
                if (!is_broken_key(r, &e))
                        return r == -EBADMSG ? -EIO : r;
                if (s->phase == SLOT_WANTED)
                        refused(c, task, &e);
                return r;
        }
        s->left_uuid[0] = s->left_result[0] = '\0';
        return 0;
}

void contact_take(Coordinator *c, size_t task) {
        _cleanup_(lock_take_result_done) LockTakeResult result = { 0 };
        Slot *s = &c->slots[task];
        _cleanup_error_ Error e = ERROR_INIT;
        char uuid[UUID_TEXT_SIZE];
        uint64_t sent;
        int r;

        (void) random_uuid(uuid);
        contact_begin(c);
        sent = clock_monotonic_usec();
        r = lock_take(c->redis, &c->identity, &c->tasks[task], uuid, s->run_id, s->flags, c->io, &result, &e);
        if (!contact_end(c, s, r, &e)) {
                /* RETRY: it was not sent or refused as a whole; else it may have been executed */
                if (e.kind != ERROR_RETRY)
                        (void) memcpy(s->left_uuid, uuid, sizeof(uuid));
                s->left_result[0] = '\0';
                s->next_usec = clock_monotonic_usec() + c->reconnect_delay_usec;
                if (is_broken_key(r, &e))
                        refused(c, task, &e);
                return;
        }
        s->complained = false;
        if (result.outcome == LOCK_TAKEN)
                taken(c, task, &result, sent);
        else
                not_taken(c, task, &result);
}

void contact_renew(Coordinator *c, size_t task) {
        const uint64_t period = coordinator_renew_period(&c->tasks[task]), sent = clock_monotonic_usec();
        LockRenewOutcome outcome = LOCK_LOST;
        Slot *s = &c->slots[task];
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        contact_begin(c);
        r = lock_renew(c->redis, &c->identity, &c->tasks[task], s->uuid, s->run_id, s->started_usec, c->io, &outcome,
                       &e);
        /* before contact_end(), which looks whether it came in time */
        if (r >= 0 && outcome != LOCK_LOST)
                confirm(c, task, sent);
        if (!contact_end(c, s, r, &e)) {
                s->next_usec = clock_monotonic_usec() + min_usec(period, c->reconnect_delay_usec);
                return;
        }
        s->next_usec = sent + period;
        if (outcome == LOCK_LOST) {
                s->lost = true;
                cancel_run(c, task, "its lock is held by somebody else");
        }
}

void contact_end_run(Coordinator *c, size_t task, const char *result, bool tell) {
        const LockTask *t = &c->tasks[task];
        Slot *s = &c->slots[task];
        _cleanup_error_ Error e = ERROR_INIT;
        uint64_t wait = 0;
        int r = -EAGAIN;

        if (!tell) { /* else coordinator_end() did */
                (void) pthread_mutex_lock(&c->mutex);
                s->active = false;
                s->token = NULL;
                (void) pthread_mutex_unlock(&c->mutex);
        }
        s->phase = SLOT_IDLE;
        if (clock_monotonic_usec() >= c->contact_usec) {
                contact_begin(c);
                r = lock_end(c->redis, &c->identity, t, s->uuid, result, c->io, &wait, &e);
                (void) contact_end(c, s, r, &e);
        }
        if (r < 0) {
                /* done at the next contact; until then the interval is reckoned by our own clock */
                const uint64_t now = clock_monotonic_usec(), due = s->taken_usec + t->interval_usec;

                wait = due > now ? due - now : 0;
                (void) memcpy(s->left_uuid, s->uuid, sizeof(s->left_uuid));
                (void) snprintf(s->left_result, sizeof(s->left_result), "%s", result);
                s->next_usec = c->contact_usec;
                if (e.kind == ERROR_NEVER)
                        s->next_usec = now + c->reconnect_delay_usec;
        }
        if (tell)
                coordinator_emit(c, (CoordinatorEvent){ .type = COORDINATOR_ENDED, .task = task, .wait_usec = wait });
}

static void note_pause(Coordinator *c, size_t task, char *text) {
        Slot *s = &c->slots[task];

        if (str_eq(s->paused, text)) {
                free(text);
                return;
        }
        free(s->paused);
        s->paused = text;
        coordinator_emit(c, (CoordinatorEvent){ .type = text ? COORDINATOR_PAUSED : COORDINATOR_RESUMED,
                                                .task = task,
                                                .text = text ? strdup(text) : NULL });
}

void contact_look_up_pauses(Coordinator *c) {
        _cleanup_free_ char **texts = coordinator_allocate(c->n_tasks, sizeof(*texts));
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        if (c->n_tasks == 0) {
                c->pauses_usec = USEC_INFINITY;
                return;
        }
        contact_begin(c);
        r = lock_keep_paused(c->redis, &c->identity, c->tasks, c->n_tasks, c->io, texts, &e);
        c->pauses_usec = clock_monotonic_usec() + PAUSES_PERIOD_USEC;
        if (!contact_end(c, NULL, r, &e))
                return;
        for (size_t i = 0; i < c->n_tasks; i++)
                note_pause(c, i, texts[i]);
}

static int request_one(Coordinator *c, const Command *command, size_t task, Error *reterr) {
        if (task >= c->n_tasks)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "no task %zu", task);
        if (command->type == COMMAND_PAUSE)
                return lock_pause(c->redis, &c->identity, &c->tasks[task], command->who, command->reason,
                                  command->until_usec, c->io, reterr);
        return lock_resume(c->redis, &c->identity, &c->tasks[task], c->io, NULL, reterr);
}

void contact_request(Coordinator *c, const Command *command) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *document = NULL;
        int r = 0;

        if (command->type == COMMAND_FLEET) {
                contact_begin(c);
                r = lock_fleet_status(c->redis, &c->identity, c->tasks, c->n_tasks, c->io, &document, &e);
                (void) contact_end(c, NULL, r, &e);
        }
        for (size_t i = 0; i < command->n_tasks; i++) {
                _cleanup_error_ Error one = ERROR_INIT;
                bool broken;
                int failed;

                contact_begin(c);
                failed = request_one(c, command, command->tasks[i], &one);
                if (failed != -EINVAL)
                        (void) contact_end(c, &c->slots[command->tasks[i]], failed, &one);
                broken = is_broken_key(failed, &one);
                if (failed < 0 && r >= 0) {
                        r = failed;
                        error_move(&e, &one);
                }
                /* a key of a wrong type is one task's; without a server the others are no better off */
                if (failed < 0 && !broken)
                        break;
        }
        if (command->type != COMMAND_FLEET)
                c->pauses_usec = 0; /* PAUSED and RESUMED follow at once */
        coordinator_emit(c, (CoordinatorEvent){ .type = COORDINATOR_DONE,
                                                .serial = command->serial,
                                                .text = r < 0 ? strdup(error_text(&e)) : NULL,
                                                .document = document });
}
