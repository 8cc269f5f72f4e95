#pragma once

/* Between coordinator.c, which is called by the main thread and keeps both queues, and coordinator_thread.c, which
 * talks to Redis. The mutex guards what is marked so and is never held during I/O. */

#include <pthread.h>

#include "workers/coordinator.h"

#define COORDINATOR_RUN_ID_SIZE 64
#define COORDINATOR_RESULT_SIZE 16

typedef enum CommandType {
        COMMAND_TAKE,
        COMMAND_ABANDON,
        COMMAND_END,
        COMMAND_PAUSE,
        COMMAND_RESUME,
        COMMAND_FLEET,
} CommandType;

typedef struct Command {
        struct Command *next;
        CommandType type;
        size_t task;
        unsigned flags;
        char run_id[COORDINATOR_RUN_ID_SIZE];
        char result[COORDINATOR_RESULT_SIZE];
        size_t *tasks; /* pause, resume */
        size_t n_tasks;
        char *who, *reason;
        uint64_t until_usec, serial;
} Command;
void command_free(Command *c);

typedef struct EventNode {
        struct EventNode *next;
        CoordinatorEvent event;
} EventNode;

typedef enum SlotPhase {
        SLOT_IDLE,
        SLOT_WANTED, /* a take is being tried */
        SLOT_HELD,   /* taken; coordinator_end() is to come */
} SlotPhase;

/* One per task. */
typedef struct Slot {
        /* guarded by the mutex: the run that the main thread knows of */
        bool active;                /* between TAKEN and coordinator_end() */
        bool cancelled;             /* for ever: this run starts no COMMIT any more */
        uint64_t commit_until_usec; /* monotonic */
        CancelToken *token;         /* of the run; the thread touches it only while active */

        /* the thread's own */
        SlotPhase phase;
        unsigned flags;
        char run_id[COORDINATOR_RUN_ID_SIZE];
        char uuid[UUID_TEXT_SIZE];
        int64_t started_usec; /* server time */
        uint64_t taken_usec;  /* monotonic */
        uint64_t next_usec;   /* monotonic: the next renewal or attempt */
        bool lost;            /* somebody else's: not renewed any more */
        /* What must be done at the next contact before anything else for the task: undo (result empty) or end. */
        char left_uuid[UUID_TEXT_SIZE];
        char left_result[COORDINATOR_RESULT_SIZE];
        char *paused;    /* text of the last PAUSED event, NULL when it is not paused */
        bool complained; /* that a key of the task is of a wrong type, since its last take */
} Slot;

struct Coordinator {
        LockIdentity identity;
        LockTask *tasks;
        Slot *slots;
        size_t n_tasks;
        char **dead;
        size_t n_dead;
        uint64_t reconnect_delay_usec, reconnect_error_threshold;
        Metrics *metrics;

        pthread_t thread;
        bool started;
        pthread_mutex_t mutex;
        int command_fd, event_fd, finished_fd;
        Command *commands, **commands_tail; /* guarded */
        EventNode *events, **events_tail;   /* guarded */
        uint64_t stop_usec;                 /* guarded; monotonic, 0: go on */
        uint64_t serial;                    /* the main thread's */

        CancelToken *io; /* bounds one exchange with Redis */

        /* the thread's own */
        RedisConn *redis;
        bool reachable_known, reachable, dead_cleared;
        uint64_t contact_usec; /* monotonic: not before, after a failure */
        uint64_t attempts;     /* that failed since Redis last answered */
        uint64_t pauses_usec;  /* monotonic: the next look-up */
        char *complaint;       /* last error that was not the connection's */
};

void coordinator_emit(Coordinator *c, CoordinatorEvent event); /* takes text and document */
Command *coordinator_next_command(Coordinator *c);
void *coordinator_thread(void *userdata);
/* Memory for queues: a worker without any is better replaced, which gives its locks back, than left half working. */
void *coordinator_allocate(size_t n, size_t size);

/* coordinator_contact.c: one exchange each. */
void contact_begin(Coordinator *c);
/* Looks at the outcome of an exchange (about one task, or `slot` NULL), reports changes of state. True: it succeeded.
 */
bool contact_end(Coordinator *c, Slot *slot, int r, const Error *e);
bool contact_clear_dead(Coordinator *c);
/* What is left over from before. 0, or -EBADMSG for a key of a wrong type, or another negative errno. */
int contact_settle(Coordinator *c, size_t task);
void contact_take(Coordinator *c, size_t task);
void contact_renew(Coordinator *c, size_t task);
void contact_end_run(Coordinator *c, size_t task, const char *result, bool tell);
void contact_look_up_pauses(Coordinator *c);
void contact_request(Coordinator *c, const Command *command);
/* Cancels runs that were not confirmed in time; returns when the next one would be. */
uint64_t contact_check_confirmations(Coordinator *c);
uint64_t coordinator_renew_period(const LockTask *task);
