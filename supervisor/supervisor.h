#pragma once

/* The supervisor: one process, one thread, one event loop; a WorkerProcess per family. Structs are open inside this
 * folder, owned by Supervisor, and touched from the loop only. */

#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "common/control.h"
#include "common/settings.h"
#include "supervisor/instances.h"
#include "supervisor/notify_message.h"
#include "supervisor/quarantine.h"

/* Event priorities: what a worker said comes before the news of its death, else its last words are lost. */
#define PRIORITY_NOTIFY (SD_EVENT_PRIORITY_NORMAL - 8)
#define PRIORITY_HANDOVER (SD_EVENT_PRIORITY_NORMAL - 4)

#define WORKER_FAILED_STARTS_GIVEN_UP 3
/* What systemd grants a drain beyond supervisor.stop_timeout. */
#define SYSTEMD_MARGIN_USEC (15 * USEC_PER_SEC)
#define WORKER_KILL_DELAY_USEC (5 * USEC_PER_SEC)
#define WORKER_HEALTHY_USEC (60 * USEC_PER_SEC)
#define WORKER_OWN_UNIT_RETRY_USEC (30 * USEC_PER_SEC)

typedef struct Supervisor Supervisor;

typedef enum WorkerState {
        WORKER_DISABLED, /* by settings */
        WORKER_STARTING, /* a process without READY=1 yet */
        WORKER_READY,
        WORKER_DRAINING, /* told to stop */
        WORKER_KILLING,  /* hung, or not ready in time */
        WORKER_WAITING,  /* no process; the back-off runs */
        WORKER_REFUSED,  /* no process; exit 78: not before the next reload */
        WORKER_OWN_UNIT, /* no process of ours; exit 75: another worker of the family runs; looked at again */
} WorkerState;

typedef struct TaskDelay {
        const char *task;  /* the manifest's */
        uint64_t due_usec; /* monotonic */
} TaskDelay;

typedef struct WorkerProcess {
        Supervisor *supervisor;
        const FamilyManifest *manifest;
        WorkerState state;
        json_t *settings; /* what the process was given; NULL without one */
        TaskDelay *delays;
        size_t n_delays;
        Quarantine quarantine;
        char instance[INSTANCE_TEXT_SIZE];

        pid_t pid; /* 0 without a process */
        int handover_fd;
        sd_event_source *child, *handover;
        sd_event_source *timer;    /* READY time-out, watchdog's kill, stop time-out or back-off, by state */
        sd_event_source *watchdog; /* only while READY */
        uint64_t watchdog_usec;
        json_t *dead_instances; /* until the handover */
        json_t *hello;

        /* what it told by notify; reset with each process */
        char *status, *running, *culprit, *health;
        bool hung;
        bool start_again; /* after the drain (reload) */

        unsigned failed_starts; /* in a row */
        unsigned step;          /* of the back-off */
        unsigned restarts;
        uint64_t ready_usec;      /* monotonic; 0 before */
        uint64_t started_usec;    /* realtime */
        uint64_t next_start_usec; /* realtime, while waiting */
        uint64_t oom_kills;
        char *last_exit;
} WorkerProcess;

struct Supervisor {
        sd_event *event;
        const char *conf_dir, *env_dir; /* of the command line; may be NULL */
        char *runtime_dir, *state_dir, *host;
        char *worker_path;
        const char *const *families; /* of --family; NULL: all */
        bool foreground;
        bool system_service;           /* its own uid may not change things */
        gid_t read_group, admin_group; /* (gid_t) -1: there is no such group */
        int lock_fd;
        int cgroup_fd; /* our delegated group, or negative */
        Settings *settings;
        Instances instances;
        WorkerProcess *workers;
        size_t n_workers;
        int notify_fd;
        char *notify_path;
        sd_event_source *notify;
        uint64_t notify_dropped;
        ControlServer *control;
        char *warnings;           /* about the settings in force, as a person reads them; NULL: none */
        ControlRequest **reloads; /* unanswered */
        size_t n_reloads;
        uint64_t started_usec; /* realtime */
        bool announced;        /* READY=1 sent */
        bool stopping;
        int exit_code;
};

typedef struct SupervisorOptions {
        const char *conf_dir, *env_dir;      /* as settings_process_source() */
        const char *runtime_dir, *state_dir; /* NULL: from the settings */
        const char *const *families;         /* NULL-terminated, or NULL */
        bool foreground;
} SupervisorOptions;

/* Runs until told to stop. Returns the exit code. */
int supervisor_run(const SupervisorOptions *options);
/* Called after every change of a worker: READY=1, STATUS=, answers to reloads, the end. */
void supervisor_workers_changed(Supervisor *s);
void supervisor_stop(Supervisor *s, int exit_code);
/* A drain begins: systemd is to wait for as long as the settings let it last, whatever TimeoutStopSec= (for a reload
 * TimeoutStartSec=) of the unit is. */
void supervisor_extend_timeout(const Supervisor *s);
WorkerProcess *supervisor_find_worker(Supervisor *s, const char *family);
WorkerProcess *supervisor_find_pid(Supervisor *s, pid_t pid);
/* Loads the settings as this supervisor was told to; as settings_load(). */
int supervisor_load_settings(const Supervisor *s, Settings **ret, SettingsProblems *problems);
/* In test builds $ROUNDTABLE_TEST_<name>_USEC instead of `usec`. */
uint64_t supervisor_tunable_usec(const char *name, uint64_t usec);

/* worker_process.c */
int worker_process_init(WorkerProcess *w, Supervisor *s, const FamilyManifest *manifest);
void worker_process_done(WorkerProcess *w);
void worker_process_start(WorkerProcess *w);
/* Drains it; afterwards it is started again or not. */
void worker_process_stop(WorkerProcess *w, bool start_again);
void worker_process_kill(WorkerProcess *w);
void worker_process_notified(WorkerProcess *w, const NotifyMessage *m);
bool worker_process_enabled(const WorkerProcess *w);
/* Ready, disabled or given up on: the start of the service need not wait for it. */
bool worker_process_settled(const WorkerProcess *w);
const char *worker_state_to_string(WorkerState state);
/* handover.c */
/* Before the fork: puts the packet about the sandbox where the new process finds it. `fd` is our end. */
int worker_sandbox_send(const WorkerProcess *w, int fd, Error *reterr);
int worker_handover_send(WorkerProcess *w, Error *reterr);
/* spawn.c: fork and exec. On success the pid, and *ret_fd is our end of the hand-over socket. */
pid_t worker_spawn(WorkerProcess *w, int *ret_fd, Error *reterr);
/* notify_socket.c */
int notify_socket_open(Supervisor *s, Error *reterr);
void notify_socket_close(Supervisor *s);
/* control_socket.c */
int control_socket_open(Supervisor *s, Error *reterr);
/* status.c: asks the workers and answers. */
void status_reply(Supervisor *s, ControlRequest *request);
/* reload.c */
void reload_request(Supervisor *s, ControlRequest *request, bool dry_run); /* NULL request: SIGHUP */
void reload_check_answers(Supervisor *s);
/* Answers those that wait with 75: the service stops, and nobody will see the workers settle. */
void reload_abandon(Supervisor *s);
/* forward.c: hands a request on to the workers it is about, and answers with what they answered. */
void forward_request(Supervisor *s, ControlRequest *request, const json_t *message, uid_t uid);
/* cgroup.c: all harmless without delegation. */
void cgroup_setup(Supervisor *s);
/* A descriptor of the worker's cgroup.procs, or negative. */
int cgroup_open_worker(const WorkerProcess *w);
uint64_t cgroup_oom_kills(const WorkerProcess *w);
/* program_path.c: finds `name` beside the running program, in the build tree or where it is installed. New string. */
char *program_path(const char *name, bool helper);
