#pragma once

/* When each task runs: pure logic over instants the caller passes in, no I/O, no thread, no clock of its own.
 *
 *   delayed/waiting --due--> queued (no lock) --slot--> taking --taken--> running --0, error--> ending --> waiting
 *                                                          `--not taken--> waiting      `--TASK_MORE--> queued (locked)
 *
 * A slot is reserved before the lock is taken, so that no lock is ever held by a task that cannot run. A task that has
 * more to do gives its slot back and queues behind those waiting, while its locks are renewed. Tasks are indices. */

#include "common/manifest.h"
#include "common/util.h"

typedef struct Scheduler Scheduler;

typedef enum TaskState {
        TASK_STATE_DISABLED,
        TASK_STATE_DELAYED, /* its start delay is not over */
        TASK_STATE_WAITING,
        TASK_STATE_TAKING, /* has a slot, asks for its lock */
        TASK_STATE_QUEUED,
        TASK_STATE_RUNNING,
        TASK_STATE_ENDING, /* its lock is being released */
        TASK_STATE_PAUSED,
        TASK_STATE_QUARANTINED,
} TaskState;
const char *task_state_to_string(TaskState state);

typedef struct SchedulerTask {
        const char *name; /* borrowed */
        TaskClass class;
        bool enabled;
        uint64_t start_delay_usec;
        uint64_t quarantined_until_usec; /* in the scheduler's clock; 0: not */
} SchedulerTask;

typedef struct SchedulerOptions {
        unsigned slots; /* exactly as many bodies run at once; at least 1 */
        double jitter_fraction;
        double (*random)(void *userdata); /* uniform in [0,1) */
        void *userdata;
        const SchedulerTask *tasks; /* copied */
        size_t n_tasks;
        uint64_t now_usec;
} SchedulerOptions;

typedef enum SchedulerActionType {
        SCHEDULER_TAKE,    /* ask for the lock with `flags` */
        SCHEDULER_ABANDON, /* give up asking; answered by scheduler_not_taken() or, if it was too late,
                              scheduler_taken() */
        SCHEDULER_RUN,     /* run the body; scheduler_returned() follows */
        SCHEDULER_END,    /* release the lock; scheduler_ended() follows. cancelled tells whether the run was stopped */
        SCHEDULER_CAPPED, /* due, but no slot is free: once per waiting */
} SchedulerActionType;

typedef struct SchedulerAction {
        SchedulerActionType type;
        size_t task;
        bool force; /* TAKE: R does not matter (triggered) */
        bool ignore_pause;
        bool first;     /* RUN: the first slice of the run */
        bool cancelled; /* END */
} SchedulerAction;

/* Returns 0 or -ENOMEM. */
int scheduler_new(const SchedulerOptions *options, Scheduler **ret);
Scheduler *scheduler_free(Scheduler *s);
DEFINE_CLEANUP(Scheduler, scheduler_free)

/* What is to be done now; call until false. The state has changed already: the caller must do it. */
bool scheduler_next(Scheduler *s, uint64_t now_usec, SchedulerAction *ret);
/* When scheduler_next() must be called again at the latest if nothing happens; USEC_INFINITY: never. */
uint64_t scheduler_due_usec(const Scheduler *s);

void scheduler_taken(Scheduler *s, size_t task);
/* paused: by somebody in the fleet; until a resume it is looked up at least every 10 s. */
void scheduler_not_taken(Scheduler *s, size_t task, uint64_t wait_usec, bool paused, uint64_t now_usec);
/* The body came back. more: it has another slice; goes on only if nothing was asked for meanwhile. */
void scheduler_returned(Scheduler *s, size_t task, bool more);
void scheduler_ended(Scheduler *s, size_t task, uint64_t wait_usec, uint64_t now_usec);

typedef enum SchedulerVerdict {
        SCHEDULER_OK,
        SCHEDULER_NOT_RUNNING,
        SCHEDULER_BUSY, /* runs already */
        SCHEDULER_DISABLED,
        SCHEDULER_IS_PAUSED,
        SCHEDULER_IS_QUARANTINED,
        SCHEDULER_DRAINING,
} SchedulerVerdict;
/* force: although it is paused. While its lock is being asked for, the run that comes of that is the answer, and a
 * refusal is asked again at once. While a run ends (its locks are given back), the next one follows. */
SchedulerVerdict scheduler_trigger(Scheduler *s, size_t task, bool force, uint64_t now_usec);
/* Between slices it takes effect here; SCHEDULER_OK with *ret_body true: the caller must cancel the running body. */
SchedulerVerdict scheduler_cancel(Scheduler *s, size_t task, bool *ret_body);
/* Told by the fleet. A body that runs is not touched, a chain of slices stops before the next one. */
void scheduler_paused(Scheduler *s, size_t task);
void scheduler_resumed(Scheduler *s, size_t task, uint64_t wait_usec, uint64_t now_usec);
/* No new run starts from here on. */
void scheduler_drain(Scheduler *s);
/* Whether no lock is held or asked for. */
bool scheduler_idle(const Scheduler *s);

TaskState scheduler_state(const Scheduler *s, size_t task);
bool scheduler_has_lock(const Scheduler *s, size_t task);
/* 0 when it waits for something else than time. */
uint64_t scheduler_task_due_usec(const Scheduler *s, size_t task);

/* wait(R) of the loop engine: p plus jitter of ceil(U * (p * fraction) + 1) milliseconds; 0 stays 0. */
uint64_t scheduler_wait_usec(uint64_t wait_usec, double fraction, double u);
