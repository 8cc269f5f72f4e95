/* Recording and killing at failpoints; see the header. The counter table is small and linear: tests only. */

#include "common/failpoint.h"
#include "common/util.h"

static _Thread_local char current_task[64];

void failpoint_set_task(const char *task) {
        size_t length = task ? strlen(task) : 0;

        if (length >= sizeof(current_task))
                length = sizeof(current_task) - 1;
        if (length > 0)
                memcpy(current_task, task, length);
        current_task[length] = '\0';
}

#ifdef ROUNDTABLE_TESTING

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#define MAX_POINTS 4096

static struct {
        char *name;
        unsigned count;
} points[MAX_POINTS];
static size_t n_points;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Call with the mutex held. Returns how often the point was passed, this time included; 0 when the table is full. */
static unsigned count_point(const char *name) {
        for (size_t i = 0; i < n_points; i++)
                if (str_eq(points[i].name, name))
                        return ++points[i].count;
        if (n_points >= MAX_POINTS)
                return 0;
        points[n_points].name = strdup(name);
        if (!points[n_points].name)
                return 0;
        return points[n_points++].count = 1;
}

/* O_EXCL makes the kill happen once, also when the process is started again. */
static bool claim_once(void) {
        const char *once = getenv("ROUNDTABLE_FAILPOINT_ONCE");
        int fd;

        if (str_empty(once))
                return true;
        fd = open(once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
                return false;
        (void) close_fd(fd);
        return true;
}

static void record(const char *point) {
        const char *file = getenv("ROUNDTABLE_FAILPOINT_RECORD");
        _cleanup_close_ int fd = -EBADF;
        char line[512];
        int n;

        if (str_empty(file))
                return;
        fd = open(file, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0666);
        n = snprintf(line, sizeof(line), "%s\n", point);
        /* A recording with a hole would let a point go unkilled: die loudly instead. */
        if (fd < 0 || n < 0 || (size_t) n >= sizeof(line) || write(fd, line, (size_t) n) != n) {
                (void) fprintf(stderr, "failpoint: cannot record %s in %s: %m\n", point, file);
                abort();
        }
}

void failpoint_hit(const char *client, const char *call, const char *phase) {
        const char *kill_at = getenv("ROUNDTABLE_FAILPOINT_KILL");
        char name[256], point[300];
        unsigned count;

        if (!current_task[0])
                return; /* not inside a run: the coordinator, admin */
        (void) snprintf(name, sizeof(name), "%s:%s.%s:%s", current_task, client, call ? call : "?", phase);
        (void) pthread_mutex_lock(&mutex);
        count = count_point(name);
        (void) snprintf(point, sizeof(point), "%s#%u", name, count);
        record(point);
        (void) pthread_mutex_unlock(&mutex);
        if (str_eq(kill_at, point) && claim_once())
                (void) raise(SIGKILL);
}

#endif
