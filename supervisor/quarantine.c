/* See quarantine.h. */

#include <signal.h>

#include "supervisor/quarantine.h"

void quarantine_done(Quarantine *q) {
        for (size_t i = 0; i < q->n_tasks; i++) {
                free(q->tasks[i].name);
                free(q->tasks[i].reason);
        }
        free(q->tasks);
        *q = (Quarantine){ 0 };
}

bool quarantine_counts(int signal, bool watchdog, bool oom) {
        if (watchdog || oom)
                return true;
        return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE || signal == SIGSYS ||
               signal == SIGABRT;
}

static QuarantineTask *quarantine_task(Quarantine *q, const char *name, size_t length) {
        QuarantineTask *tasks;
        char *copy;

        for (size_t i = 0; i < q->n_tasks; i++)
                if (strlen(q->tasks[i].name) == length && memcmp(q->tasks[i].name, name, length) == 0)
                        return &q->tasks[i];
        /* The names come from the worker, which may be out of its mind. */
        if (q->n_tasks >= QUARANTINE_MAX_TASKS)
                return NULL;
        copy = strndup(name, length);
        tasks = copy ? realloc(q->tasks, (q->n_tasks + 1) * sizeof *tasks) : NULL;
        if (!tasks) {
                free(copy);
                return NULL;
        }
        q->tasks = tasks;
        tasks[q->n_tasks] = (QuarantineTask){ .name = copy };
        return &tasks[q->n_tasks++];
}

static void quarantine_forget_charges(Quarantine *q) {
        for (size_t i = 0; i < q->n_tasks; i++)
                q->tasks[i].deaths = 0;
        q->serial = false;
}

void quarantine_expire(Quarantine *q, uint64_t cooldown_usec, uint64_t now_usec) {
        for (size_t i = 0; i < q->n_tasks; i++)
                if (q->tasks[i].until_usec <= now_usec)
                        q->tasks[i].until_usec = 0;
        if (q->last_death_usec > 0 && now_usec >= q->last_death_usec && now_usec - q->last_death_usec >= cooldown_usec)
                quarantine_forget_charges(q);
}

const char *quarantine_death(Quarantine *q, const char *running, const char *culprit, const char *reason,
                             uint64_t cooldown_usec, uint64_t now_usec) {
        const char *list = str_empty(culprit) ? running : culprit;
        size_t n = 0, last = 0;

        quarantine_expire(q, cooldown_usec, now_usec);
        q->last_death_usec = now_usec;
        for (const char *p = list; p && *p;) {
                size_t length = strcspn(p, ",");
                QuarantineTask *t = length > 0 ? quarantine_task(q, p, length) : NULL;

                if (t) {
                        last = (size_t) (t - q->tasks);
                        t->deaths++;
                        n++;
                        if (t->deaths >= QUARANTINE_SERIAL_DEATHS)
                                q->serial = true;
                }
                p += length;
                p += *p == ',';
        }
        if (n != 1 || q->tasks[last].deaths < QUARANTINE_DEATHS)
                return NULL;
        quarantine_forget_charges(q);
        q->tasks[last].until_usec = now_usec + cooldown_usec;
        free(q->tasks[last].reason);
        q->tasks[last].reason = reason ? strdup(reason) : NULL;
        return q->tasks[last].name;
}
