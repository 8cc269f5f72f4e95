#pragma once

/* Which task of a worker is to blame when the worker keeps dying of faults. Pure logic: no clock, no process.
 *
 * Deaths that count: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT, a missed watchdog, the kernel's OOM kill; never
 * a SIGKILL or SIGTERM from outside. A death is charged to every task that was running, or to the watchdog's culprit
 * alone. Two charges against one task: the worker runs one task at a time. Three, with exactly one task running: that
 * task is quarantined for the cool-down, and what was charged to the others, who were only present, is forgotten. */

#include <sys/types.h>

#include "common/util.h"

#define QUARANTINE_SERIAL_DEATHS 2
#define QUARANTINE_DEATHS 3
#define QUARANTINE_MAX_TASKS 256

typedef struct QuarantineTask {
        char *name;
        unsigned deaths;
        uint64_t until_usec; /* realtime; 0: not quarantined */
        char *reason;
} QuarantineTask;

typedef struct Quarantine {
        QuarantineTask *tasks;
        size_t n_tasks;
        uint64_t last_death_usec;
        bool serial;
} Quarantine;

void quarantine_done(Quarantine *q);
/* Whether a death by this signal counts at all (`watchdog`: we killed it for a missed watchdog; `oom`: the kernel did).
 */
bool quarantine_counts(int signal, bool watchdog, bool oom);
/* A counted death. `running` is the comma-separated list of running tasks, `culprit` the watchdog's or NULL. Returns
 * the task that is quarantined by it (borrowed), or NULL. Realtime clock. */
const char *quarantine_death(Quarantine *q, const char *running, const char *culprit, const char *reason,
                             uint64_t cooldown_usec, uint64_t now_usec);
/* Ends what has cooled down. Call before each start of the worker. */
void quarantine_expire(Quarantine *q, uint64_t cooldown_usec, uint64_t now_usec);
