#pragma once

/* How a worker learns what to do: from its supervisor (worker_protocol.h, 2 and 3), or, started by hand, from the files
 * and variables the supervisor would have read. */

#include "common/log.h"
#include "common/settings.h"

typedef struct WorkerOptions {
        const FamilyManifest *manifest;
        bool supervised;
        const char *conf_dir, *env_dir; /* stand-alone only; may be NULL */
} WorkerOptions;

typedef struct WorkerStartTask {
        uint64_t start_delay_usec;
        uint64_t quarantined_until_usec; /* realtime; 0: not */
        char *quarantine_reason;
} WorkerStartTask;

typedef struct WorkerStart {
        const FamilyManifest *manifest;
        Settings *settings;
        char *instance, *host, *runtime_dir;
        char **dead_instances; /* NULL-terminated */
        size_t n_dead;
        bool supervised, serial;
        LogTarget log_target;
        WorkerStartTask *tasks; /* as the manifest's */
        size_t n_tasks;
} WorkerStart;
void worker_start_done(WorkerStart *s);

/* The supervisor's first packet: how this worker confines itself. */
typedef struct WorkerConfinement {
        char *sandbox; /* "auto", "required" or "off" */
        int64_t open_files;
        char **read_paths, **write_paths; /* NULL-terminated */
} WorkerConfinement;
void worker_confinement_done(WorkerConfinement *c);

/* Waits for that packet. 0, or negative errno with reterr; then *ret is not written. */
int worker_confinement_receive(WorkerConfinement *ret, Error *reterr);

/* What the hello says of the sandbox. */
typedef struct WorkerHello {
        int landlock;
        bool seccomp;
} WorkerHello;

/* Sends the hello and waits for the hand-over; the descriptor is closed. 0 or negative errno with reterr. */
int worker_start_from_supervisor(const WorkerOptions *options, const WorkerHello *hello, WorkerStart *ret,
                                 Error *reterr);
/* The document alone: what worker_start_from_supervisor() does with the text it got. `document` is borrowed. */
int worker_start_from_json(const FamilyManifest *manifest, const json_t *document, WorkerStart *ret, Error *reterr);
/* Problems of the settings are printed on stderr. Returns an exit code (worker_protocol.h). */
int worker_start_from_files(const WorkerOptions *options, WorkerStart *ret);
