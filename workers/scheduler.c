/* The state machine of a worker's tasks. Times, randomness and events come in; actions go out. */

#include <assert.h>
#include <math.h>

#include "workers/scheduler.h"

#define PAUSE_LOOKUP_USEC (10 * USEC_PER_SEC)
/* A lock that was held and has no time to live when asked: it went in between, but never spin. */
#define SHORTEST_RETRY_USEC (10 * USEC_PER_MSEC)

typedef enum Phase { IDLE, QUEUED, TAKING, RUN_READY, RUNNING, END_READY, ENDING } Phase;

typedef struct Task {
        TaskClass class;
        bool enabled;
        uint64_t quarantined_until;
        Phase phase;
        bool delayed; /* IDLE: in its start delay */
        bool paused;
        uint64_t due;    /* IDLE */
        uint64_t ticket; /* QUEUED: place in the queue */
        bool locked;     /* its locks are held */
        bool slot;       /* it has a slot */
        bool capped_told;
        bool force, ignore_pause;       /* of a trigger; until taken or refused */
        bool again, again_ignore_pause; /* triggered while TAKING, END_READY or ENDING: asked again behind it */
        bool abandon, abandon_told;
        bool first; /* no slice has run yet */
        bool stop;  /* no further slice; the run ends as cancelled if it had more to do */
        bool cancelled;
} Task;

struct Scheduler {
        Task *tasks;
        size_t n;
        unsigned slots, used, used_long;
        double jitter_fraction;
        double (*random)(void *userdata);
        void *userdata;
        uint64_t tickets;
        bool draining;
};

const char *task_state_to_string(TaskState state) {
        static const char *const names[] = {
                [TASK_STATE_DISABLED] = "disabled",       [TASK_STATE_DELAYED] = "delayed",
                [TASK_STATE_WAITING] = "waiting",         [TASK_STATE_TAKING] = "taking",
                [TASK_STATE_QUEUED] = "queued",           [TASK_STATE_RUNNING] = "running",
                [TASK_STATE_ENDING] = "ending",           [TASK_STATE_PAUSED] = "paused",
                [TASK_STATE_QUARANTINED] = "quarantined",
        };
        return names[state];
}

int scheduler_new(const SchedulerOptions *options, Scheduler **ret) {
        _cleanup_(scheduler_freep) Scheduler *s = calloc(1, sizeof(*s));

        assert(options->slots > 0);
        if (!s)
                return -ENOMEM;
        s->tasks = calloc(options->n_tasks + 1, sizeof(*s->tasks));
        if (!s->tasks)
                return -ENOMEM;
        s->n = options->n_tasks;
        s->slots = options->slots;
        s->jitter_fraction = options->jitter_fraction;
        s->random = options->random;
        s->userdata = options->userdata;
        for (size_t i = 0; i < s->n; i++) {
                const SchedulerTask *t = &options->tasks[i];

                s->tasks[i] = (Task){
                        .class = t->class,
                        .enabled = t->enabled,
                        .quarantined_until = t->quarantined_until_usec,
                        .delayed = t->start_delay_usec > 0,
                        .due = options->now_usec + t->start_delay_usec,
                };
                if (s->tasks[i].due < t->quarantined_until_usec)
                        s->tasks[i].due = t->quarantined_until_usec;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

Scheduler *scheduler_free(Scheduler *s) {
        if (!s)
                return NULL;
        free(s->tasks);
        free(s);
        return NULL;
}

uint64_t scheduler_wait_usec(uint64_t wait_usec, double fraction, double u) {
        uint64_t msec, jitter;

        if (wait_usec == 0)
                return 0;
        msec = (wait_usec + USEC_PER_MSEC - 1) / USEC_PER_MSEC;
        jitter = (uint64_t) ceil(u * ((double) msec * fraction) + 1);
        return (msec + jitter) * USEC_PER_MSEC;
}

static void wait_from(Scheduler *s, Task *t, uint64_t wait_usec, uint64_t now) {
        t->phase = IDLE;
        t->due = now + scheduler_wait_usec(wait_usec, s->jitter_fraction, s->random(s->userdata));
}

static void slot_give(Scheduler *s, Task *t) {
        if (!t->slot)
                return;
        t->slot = false;
        s->used--;
        s->used_long -= t->class == TASK_LONG;
}

static void slot_take(Scheduler *s, Task *t) {
        t->slot = true;
        s->used++;
        s->used_long += t->class == TASK_LONG;
}

/* With two or more slots one is kept for short tasks. */
static bool slot_free_for(const Scheduler *s, const Task *t) {
        if (s->used >= s->slots)
                return false;
        return t->class == TASK_SHORT || s->slots == 1 || s->used_long < s->slots - 1;
}

static void enqueue(Scheduler *s, Task *t) {
        t->phase = QUEUED;
        t->ticket = ++s->tickets;
        t->capped_told = false;
}

/* The first in the queue that may have a slot; with one slot that is the first. */
static Task *first_admissible(Scheduler *s) {
        Task *best = NULL;

        for (size_t i = 0; i < s->n; i++) {
                Task *t = &s->tasks[i];

                if (t->phase == QUEUED && slot_free_for(s, t) && (!best || t->ticket < best->ticket))
                        best = t;
        }
        return best;
}

static void enqueue_due(Scheduler *s, uint64_t now) {
        for (;;) {
                Task *earliest = NULL;

                /* in the order in which they became due */
                for (size_t i = 0; i < s->n; i++) {
                        Task *t = &s->tasks[i];

                        if (t->enabled && t->phase == IDLE && t->due <= now && (!earliest || t->due < earliest->due))
                                earliest = t;
                }
                if (!earliest)
                        return;
                earliest->delayed = false;
                earliest->quarantined_until = 0;
                enqueue(s, earliest);
        }
}

static bool action(Scheduler *s, Task *t, SchedulerActionType type, SchedulerAction *ret) {
        *ret = (SchedulerAction){ .type = type, .task = (size_t) (t - s->tasks) };
        return true;
}

/* What does not need a slot. */
static bool next_of_task(Scheduler *s, Task *t, SchedulerAction *ret) {
        switch (t->phase) {
        case TAKING:
                if (!t->abandon || t->abandon_told)
                        return false;
                t->abandon_told = true;
                return action(s, t, SCHEDULER_ABANDON, ret);
        case RUN_READY:
                t->phase = RUNNING;
                (void) action(s, t, SCHEDULER_RUN, ret);
                ret->first = t->first;
                t->first = false;
                return true;
        case END_READY:
                t->phase = ENDING;
                (void) action(s, t, SCHEDULER_END, ret);
                ret->cancelled = t->cancelled;
                return true;
        default:
                return false;
        }
}

bool scheduler_next(Scheduler *s, uint64_t now, SchedulerAction *ret) {
        Task *t;

        if (!s->draining)
                enqueue_due(s, now);
        for (size_t i = 0; i < s->n; i++)
                if (next_of_task(s, &s->tasks[i], ret))
                        return true;
        t = first_admissible(s);
        if (t) {
                slot_take(s, t);
                if (t->locked) {
                        t->phase = RUN_READY;
                        return next_of_task(s, t, ret);
                }
                t->phase = TAKING;
                t->abandon = t->abandon_told = false;
                (void) action(s, t, SCHEDULER_TAKE, ret);
                ret->force = t->force;
                ret->ignore_pause = t->ignore_pause;
                return true;
        }
        for (size_t i = 0; i < s->n; i++) {
                t = &s->tasks[i];
                if (t->phase != QUEUED || t->locked || t->paused || t->capped_told)
                        continue;
                t->capped_told = true;
                return action(s, t, SCHEDULER_CAPPED, ret);
        }
        return false;
}

uint64_t scheduler_due_usec(const Scheduler *s) {
        uint64_t due = USEC_INFINITY;

        for (size_t i = 0; i < s->n && !s->draining; i++)
                if (s->tasks[i].enabled && s->tasks[i].phase == IDLE && s->tasks[i].due < due)
                        due = s->tasks[i].due;
        return due;
}

/* A trigger that came while the lock was asked for in the ordinary way, which was refused. */
static void trigger_again(Task *t, uint64_t now) {
        if (!t->again)
                return;
        t->again = false;
        if (t->paused && !t->again_ignore_pause)
                return;
        t->force = true;
        t->ignore_pause = t->again_ignore_pause;
        t->due = now;
}

void scheduler_taken(Scheduler *s, size_t task) {
        Task *t = &s->tasks[task];

        assert(t->phase == TAKING);
        t->locked = true;
        t->force = t->ignore_pause = false;
        t->again = t->again && t->abandon;
        t->first = true;
        t->stop = t->cancelled = false;
        if (t->abandon || s->draining) {
                /* the answer crossed the abandon: nothing has run */
                slot_give(s, t);
                t->cancelled = true;
                t->phase = END_READY;
        } else
                t->phase = RUN_READY;
}

void scheduler_not_taken(Scheduler *s, size_t task, uint64_t wait_usec, bool paused, uint64_t now) {
        Task *t = &s->tasks[task];

        assert(t->phase == TAKING);
        slot_give(s, t);
        t->force = t->ignore_pause = false;
        t->paused = paused;
        if (paused) {
                t->phase = IDLE;
                t->due = now + PAUSE_LOOKUP_USEC;
        } else
                wait_from(s, t, wait_usec < SHORTEST_RETRY_USEC ? SHORTEST_RETRY_USEC : wait_usec, now);
        trigger_again(t, now);
}

static void end(Scheduler *s, Task *t, bool cancelled) {
        slot_give(s, t);
        t->cancelled = cancelled;
        t->phase = END_READY;
}

void scheduler_returned(Scheduler *s, size_t task, bool more) {
        Task *t = &s->tasks[task];

        assert(t->phase == RUNNING);
        if (!more || t->stop || t->paused || s->draining) {
                end(s, t, more);
                return;
        }
        slot_give(s, t);
        enqueue(s, t);
}

void scheduler_ended(Scheduler *s, size_t task, uint64_t wait_usec, uint64_t now) {
        Task *t = &s->tasks[task];

        assert(t->phase == ENDING);
        t->locked = false;
        wait_from(s, t, wait_usec, now);
        trigger_again(t, now);
}

/* The run is over but for its locks. */
static bool is_ending(const Task *t) {
        return t->phase == END_READY || t->phase == ENDING;
}

SchedulerVerdict scheduler_trigger(Scheduler *s, size_t task, bool force, uint64_t now) {
        Task *t = &s->tasks[task];

        if (s->draining)
                return SCHEDULER_DRAINING;
        if (!t->enabled)
                return SCHEDULER_DISABLED;
        if (t->locked && !is_ending(t))
                return SCHEDULER_BUSY;
        if (t->quarantined_until > now)
                return SCHEDULER_IS_QUARANTINED;
        if (t->paused && !force)
                return SCHEDULER_IS_PAUSED;
        if (is_ending(t)) {
                /* the body was back before the trigger came: another run is meant */
                t->again_ignore_pause = force || (t->again && t->again_ignore_pause);
                t->again = true;
                return SCHEDULER_OK;
        }
        if (t->phase == TAKING) {
                /* asked again while a trigger's own take is under way: that one is the answer */
                t->again = !t->force || (force && !t->ignore_pause);
                t->again_ignore_pause = force;
                return SCHEDULER_OK;
        }
        t->force = true;
        t->ignore_pause = force;
        t->delayed = false;
        if (t->phase == IDLE)
                t->due = now;
        return SCHEDULER_OK;
}

SchedulerVerdict scheduler_cancel(Scheduler *s, size_t task, bool *ret_body) {
        Task *t = &s->tasks[task];

        *ret_body = false;
        switch (t->phase) {
        case RUN_READY:
                end(s, t, true);
                return SCHEDULER_OK;
        case RUNNING:
                t->stop = true;
                *ret_body = true;
                return SCHEDULER_OK;
        case QUEUED:
                if (!t->locked)
                        return SCHEDULER_NOT_RUNNING;
                end(s, t, true);
                return SCHEDULER_OK;
        default:
                return SCHEDULER_NOT_RUNNING;
        }
}

void scheduler_paused(Scheduler *s, size_t task) {
        Task *t = &s->tasks[task];

        /* a forced run of a paused task is what somebody wanted */
        if (t->paused)
                return;
        t->paused = true;
        if (t->phase == QUEUED && t->locked)
                end(s, t, true);
}

void scheduler_resumed(Scheduler *s, size_t task, uint64_t wait_usec, uint64_t now) {
        Task *t = &s->tasks[task];

        if (!t->paused)
                return;
        t->paused = false;
        if (t->phase != IDLE || t->delayed || t->quarantined_until > now)
                return;
        wait_from(s, t, wait_usec, now);
}

void scheduler_drain(Scheduler *s) {
        s->draining = true;
        for (size_t i = 0; i < s->n; i++) {
                Task *t = &s->tasks[i];

                if (t->phase == TAKING)
                        t->abandon = true;
                else if (t->phase == RUN_READY || (t->phase == QUEUED && t->locked))
                        end(s, t, true);
                else if (t->phase == QUEUED) {
                        t->phase = IDLE;
                        t->due = 0;
                }
        }
}

bool scheduler_idle(const Scheduler *s) {
        for (size_t i = 0; i < s->n; i++)
                if (s->tasks[i].locked || s->tasks[i].phase == TAKING)
                        return false;
        return true;
}

TaskState scheduler_state(const Scheduler *s, size_t task) {
        const Task *t = &s->tasks[task];

        if (!t->enabled)
                return TASK_STATE_DISABLED;
        switch (t->phase) {
        case RUN_READY:
        case RUNNING:
                return TASK_STATE_RUNNING;
        case END_READY:
        case ENDING:
                return TASK_STATE_ENDING;
        case QUEUED:
                return t->paused && !t->locked ? TASK_STATE_PAUSED : TASK_STATE_QUEUED;
        case TAKING:
                return t->paused ? TASK_STATE_PAUSED : TASK_STATE_TAKING;
        case IDLE:
                break;
        }
        if (t->quarantined_until > 0)
                return TASK_STATE_QUARANTINED;
        if (t->paused)
                return TASK_STATE_PAUSED;
        return t->delayed ? TASK_STATE_DELAYED : TASK_STATE_WAITING;
}

bool scheduler_has_lock(const Scheduler *s, size_t task) {
        return s->tasks[task].locked;
}

uint64_t scheduler_task_due_usec(const Scheduler *s, size_t task) {
        const Task *t = &s->tasks[task];

        return t->enabled && t->phase == IDLE && !s->draining ? t->due : 0;
}
