#pragma once

/* The worker's state, shared by worker.c (life), worker_tasks.c (runs), worker_watch.c (watchdog) and worker_control.c
 * (verbs). The loop's thread owns all of it but what stands under `mutex`. */

#include <pthread.h>
#include <systemd/sd-event.h>

#include "common/control.h"
#include "workers/coordinator.h"
#include "workers/executor.h"
#include "workers/progress.h"
#include "workers/run_record.h"
#include "workers/scheduler.h"
#include "workers/server_state.h"
#include "workers/worker.h"

typedef struct Worker Worker;
typedef struct ControlWait ControlWait;

typedef struct WorkerTask {
        Worker *worker;
        const TaskSpec *spec;
        TaskClass class; /* by settings */
        size_t index;
        bool enabled;
        uint64_t interval_usec, max_run_usec;
        TaskRun run;
        CancelToken *token;
        char run_id[UUID_TEXT_SIZE]; /* of the lock that is asked for or held */
        ExecutorJob job;
        int returned;     /* what the body returned; handed over by the executor */
        bool in_body;     /* between submit and return */
        RunRecord record; /* the executor's while in_body, but for run_id and started */
        TaskKept kept;    /* of the run; the executor's while in_body */
        bool has_run, has_last;
        /* what status tells of the last run */
        char last_run_id[UUID_TEXT_SIZE];
        uint64_t last_started_usec, last_duration_usec, last_items_failed;
        RunResult last_result;
        char *last_error;
        uint64_t runs, failures;
        char *paused;   /* by whom and why */
        char *obstacle; /* the key that somebody must delete before the task can run, or NULL */
        /* under Worker.mutex */
        Progress progress;
        uint64_t progress_told_usec; /* monotonic: when the journal was last told */
} WorkerTask;

struct Worker {
        const WorkerStart *start;
        const char *family;
        WorkerTask *tasks;
        size_t n_tasks, n_tokens;
        unsigned slots;
        sd_event *event;
        sd_event_source *schedule_timer, *tick_timer, *stop_timer;
        Scheduler *scheduler;
        Coordinator *coordinator;
        Executor *executor;
        ServerStates *servers;
        ControlServer *control;
        gid_t read_group, admin_group; /* (gid_t) -1: there is no such group */
        uid_t runtime_uid;             /* whose runtime directory it is: the supervisor's */
        ControlWait *waits;            /* requests that wait for the coordinator */
        Metrics *metrics;
        PgPool *postgres;
        TaskServices services;
        TaskConnections *connections; /* by slot */
        uint64_t tick_usec, stop_timeout_usec, hung_usec, progress_usec;
        bool watchdog, hung, draining, delayed_told;
        enum { STOP_NONE, STOP_WAIT, STOP_CANCELLED, STOP_RELEASE } stop;
        pthread_mutex_t mutex;
        KafkaProducer *kafka;
};

/* worker_tasks.c */
int worker_tasks_new(Worker *w, Error *reterr);
void worker_tasks_done(Worker *w);
/* Does what the scheduler wants done now and arms its timer. Call after anything happened. */
void worker_pump(Worker *w);
void worker_on_coordinator(Worker *w);
void worker_on_executor(Worker *w);
size_t worker_bodies(const Worker *w); /* how many run */

/* worker.c */
void worker_drain(Worker *w, const char *why);

/* worker_watch.c */
int worker_watch_start(Worker *w);
void worker_watch_tell_delays(Worker *w, bool always);
uint64_t worker_tunable_usec(const char *name, uint64_t usec);

/* worker_control.c */
int worker_control_open(Worker *w, Error *reterr);
void worker_control_close(Worker *w);
/* The coordinator answered a request of ours. */
void worker_control_done(Worker *w, const CoordinatorEvent *e);
/* worker_status.c: new reference or NULL. `fleet` borrowed, may be NULL. */
json_t *worker_status_to_json(Worker *w, const json_t *fleet);
