#pragma once

/* The whole contract between supervisor and worker. A new worker program is written from this file alone.
 *
 * 1. Start. The supervisor execs
 *        roundtable-worker --family FAMILY --supervised
 *    with descriptor WORKER_HANDOVER_FD (one end of a SOCK_SEQPACKET socketpair), $NOTIFY_SOCKET (the supervisor's own
 *    path socket), $WATCHDOG_USEC, and an otherwise scrubbed environment (PATH, LANG, TZ, JOURNAL_STREAM when stderr
 *    is unchanged, ROUNDTABLE_* in test builds). No settings and no secret is in the environment.
 * 2. Sandbox and hello. One packet of the supervisor's is there from the start, with what the worker must know to make
 *    itself safe, none of it secret:
 *        {"protocol":WORKER_PROTOCOL,"sandbox":"auto|required|off","open_files":N,
 *         "read_paths":["/files/that/settings/name",…],"write_paths":["/run/roundtable"]}
 *    The worker enters its sandbox (oom_score_adj, rlimits, PR_SET_DUMPABLE=0, NO_NEW_PRIVS, Landlock, seccomp), or
 *    exits 78 when one is required that the system does not have, then sends one packet
 *        {"protocol":WORKER_PROTOCOL,"family":"market","pid":N,"version":"…","landlock":ABI,"seccomp":true}
 * 3. Handover. Only then the supervisor answers with one packet (memfd passed by SCM_RIGHTS, holding the JSON text,
 *    because it may exceed a datagram):
 *        {"protocol":WORKER_PROTOCOL,
 *         "settings": <settings_to_worker_json>,
 *         "instance":"<random id>", "dead_instances":["…"],
 *         "runtime_dir":"/run/roundtable", "host":"…",
 *         "start_delay_usec":{"market_updater":N,…},   remaining, 0 when none
 *         "serial":false,                               one task at a time (quarantine watch)
 *         "quarantined":{"market_updater":{"until_usec":N,"reason":"…"}},
 *         "log_target":"journal|json|console", "memory": null}
 *    and closes its end. A worker that gets no valid handover in 10 s exits 78.
 * 4. Ready. Settings valid, control socket open, lock file held, timers armed: READY=1. Never a server's reachability.
 * 5. Notify fields, each datagram by sd_pid_notify semantics (sender identified by SCM_CREDENTIALS):
 *        READY=1, STOPPING=1, STATUS=one line, WATCHDOG=1
 *        WATCHDOG=trigger              the worker itself asks to be replaced (a task did not return); preceded by
 * CULPRIT X_ROUNDTABLE_RUNNING=a,b      the tasks whose bodies run now; sent before a body starts and after it returned
 *        X_ROUNDTABLE_CULPRIT=task     the task that did not return 30 s past its deadline
 *        X_ROUNDTABLE_DUE=task=N,…     remaining start delay per task, so that a replacement goes on with it
 *        X_ROUNDTABLE_HEALTH=ok|text   which server is missing ("postgres-primary: connection refused"); for `status`
 * 6. Stop. SIGTERM (or verb drain): takes no new lock, lets running tasks finish for worker.stop_timeout, cancels the
 *    rest, releases locks, flushes Kafka, exits 0. SIGABRT from the watchdog kills at once.
 *    Exit codes: 0 drained, 1 failed, 75 another worker of the family runs (the holder is named), 78 bad settings.
 * 7. Control. It listens on <runtime_dir>/worker-<family>.sock (common/control.h). Verbs:
 *        status     -> {"worker": <WorkerStatus>}
 *        trigger    {"task":…, "force":bool}           run now, same path and locks; reply when it was queued
 *        cancel     {"task":…}                         cancels the running run; reply names it
 *        pause      {"tasks":[…]|"all","who":…,"reason":…,"until_usec":N|0}   fleet-wide
 *        resume     {"tasks":[…]|"all","who":…}
 *        log-level  {"level":"debug"}
 *        drain      {}
 *    <WorkerStatus> = {"family","pid","version","instance","state":"starting|running|draining","serial":bool,
 *      "servers":{"postgres-primary":{"ok":bool,"since_usec":N,"error":text|null},"postgres-replica","redis","kafka"},
 *      "tasks":[{"name","enabled","class","interval_usec","state":"disabled|delayed|waiting|queued|running|paused|
 *         quarantined","next_usec":N realtime|0,"run":{"run_id","started_usec","done","total",
 *         "rate":units a second, 0 unknown,"end_usec":expected, 0 unknown,"progress":text|null}|null,
 *         "last":{"run_id","started_usec","duration_usec","result":"ok|failed|cancelled","error":text|null,
 *                 "items_failed":N}|null,
 *         "runs":N,"failures":N,"obstacle":which key must be deleted before it can run|null,
 *         "fleet":<lock_fleet_status entry>|null}]}
 * 8. Lock file. <runtime_dir>/worker-<family>.lock, flock held for the process's life, text "pid unit". */

#define WORKER_PROTOCOL 2
#define WORKER_HANDOVER_FD 3
#define WORKER_HELLO_TIMEOUT_USEC (10 * 1000000ULL)
#define WORKER_READY_TIMEOUT_USEC (30 * 1000000ULL)

#define NOTIFY_RUNNING "X_ROUNDTABLE_RUNNING="
#define NOTIFY_CULPRIT "X_ROUNDTABLE_CULPRIT="
#define NOTIFY_DUE "X_ROUNDTABLE_DUE="
#define NOTIFY_HEALTH "X_ROUNDTABLE_HEALTH="

/* Exit codes, everywhere (design, section 2). */
#define EXIT_CODE_OK 0
#define EXIT_CODE_FAILED 1
#define EXIT_CODE_USAGE 2
#define EXIT_CODE_TRY_AGAIN 75
#define EXIT_CODE_CONFIG 78
