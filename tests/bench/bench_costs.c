/* What the service itself costs: a notification to the supervisor, and the locks of a run. Prints JSON: for each
 * operation the microseconds of p50 and p99.   bench-costs REDIS-URL COUNT */

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "common/lock.h"

typedef struct Times {
        const char *name;
        uint64_t *nsec;
        size_t n;
} Times;

static uint64_t now_nsec(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000 + (uint64_t) t.tv_nsec;
}

static int compare(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void print_times(const Times *t, bool last) {
        qsort(t->nsec, t->n, sizeof(*t->nsec), compare);
        (void) printf("\"%s\": [%.1f, %.1f]%s", t->name, (double) t->nsec[t->n / 2] / 1000,
                      (double) t->nsec[t->n * 99 / 100] / 1000, last ? "" : ", ");
}

static void fail(const char *what, const Error *e) {
        (void) fprintf(stderr, "bench-costs: %s: %s\n", what, error_text(e));
        exit(1);
}

/* To a socket of our own, each datagram taken out before the next, as the supervisor's loop does. */
static void measure_notify(Times *t, size_t n) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char buffer[256];
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/bench-costs-%d", (int) getpid());
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            setenv("NOTIFY_SOCKET", address.sun_path, 1) < 0) {
                perror("bench-costs: notify socket");
                exit(1);
        }
        for (size_t i = 0; i < n; i++) {
                uint64_t start = now_nsec();

                if (sd_notify(0, "WATCHDOG=1") <= 0 || recv(fd, buffer, sizeof(buffer), 0) <= 0)
                        exit(1);
                t->nsec[i] = now_nsec() - start;
        }
        t->n = n;
        (void) unlink(address.sun_path);
        (void) close(fd);
}

static void measure_locks(RedisConn *c, Times *take, Times *renew, Times *end, size_t n) {
        const LockIdentity id = { "bench", "host", "bench", "instance" };
        const LockTask task = { "bench_costs", 60 * USEC_PER_SEC, 60 * USEC_PER_SEC, true };

        for (size_t i = 0; i < n; i++) {
                LockTakeResult taken = { 0 };
                LockRenewOutcome renewed;
                char uuid[UUID_TEXT_SIZE];
                _cleanup_error_ Error e = ERROR_INIT;
                uint64_t wait_usec, start = now_nsec();

                if (lock_take(c, &id, &task, random_uuid(uuid), "run", LOCK_IGNORE_R, NULL, &taken, &e) < 0)
                        fail("take", &e);
                if (taken.outcome != LOCK_TAKEN) {
                        (void) fprintf(stderr, "bench-costs: the lock is not free\n");
                        exit(1);
                }
                take->nsec[i] = now_nsec() - start;
                start = now_nsec();
                if (lock_renew(c, &id, &task, uuid, "run", taken.started_usec, NULL, &renewed, &e) < 0)
                        fail("renew", &e);
                renew->nsec[i] = now_nsec() - start;
                start = now_nsec();
                if (lock_end(c, &id, &task, uuid, "ok", NULL, &wait_usec, &e) < 0)
                        fail("end", &e);
                end->nsec[i] = now_nsec() - start;
                lock_take_result_done(&taken);
        }
        take->n = renew->n = end->n = n;
}

int main(int argc, char **argv) {
        const char *url = argc > 1 ? argv[1] : "";
        size_t n = argc > 2 ? (size_t) strtoul(argv[2], NULL, 10) : 0;
        Times times[] = { { .name = "notify" }, { .name = "take" }, { .name = "renew" }, { .name = "end" } };
        _cleanup_error_ Error e = ERROR_INIT;
        RedisConn *c = NULL;

        if (n == 0) {
                (void) fprintf(stderr, "usage: bench-costs REDIS-URL COUNT\n");
                return 2;
        }
        for (size_t i = 0; i < ELEMENTSOF(times); i++)
                if (!(times[i].nsec = calloc(n, sizeof(uint64_t))))
                        return 1;
        if (redis_conn_new(url, "bench", 0, NULL, NULL, &c, &e) < 0)
                fail(url, &e);
        measure_notify(&times[0], n);
        measure_locks(c, &times[1], &times[2], &times[3], n);
        redis_conn_free(c);
        (void) printf("{");
        for (size_t i = 0; i < ELEMENTSOF(times); i++) {
                print_times(&times[i], i + 1 == ELEMENTSOF(times));
                free(times[i].nsec);
        }
        (void) printf("}\n");
        return 0;
}
