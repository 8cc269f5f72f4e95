/* A host of the fleet reduced to its locks: takes, renews and ends the lock of one task for ever, and writes what its
 * runs do as lines "<host> <run> <event> <monotonic usec>". One thread: the body of a run is a wait between renewals.
 *
 *   lock-agent URL SERVICE TASK HOST INTERVAL_MS TTL_MS EXTENDED(0|1) RUN_MS LOG [DEAD_INSTANCE …]
 * Its instance is its HOST. */

#include <fcntl.h>
#include <math.h>
#include <stdio.h>

#include "common/lock.h"

typedef struct Agent {
        RedisConn *conn;
        LockIdentity identity;
        LockTask task;
        uint64_t run_usec, renew_usec;
        uint64_t confirmed_for_usec; /* how long after a renewal the run may go on without another one */
        int log;
} Agent;

static void fail(const char *what, const Error *e) {
        (void) fprintf(stderr, "lock-agent: %s: %s\n", what, error_text(e));
}

static void wait_usec(uint64_t usec) {
        (void) cancel_token_poll(NULL, -1, 0, usec);
}

static void write_event(const Agent *a, const char *run_id, const char *event) {
        char line[256];
        int n = snprintf(line, sizeof(line), "%s %s %s %llu\n", a->identity.host, run_id, event,
                         (unsigned long long) clock_monotonic_usec());

        if (write(a->log, line, (size_t) n) != n) {
                perror("lock-agent: write");
                exit(1);
        }
}

/* The body; ends early when the lock is lost or not confirmed in time. */
static const char *run_body(Agent *a, const char *uuid, const char *run_id, int64_t started_usec, uint64_t confirmed) {
        const uint64_t end = clock_monotonic_usec() + a->run_usec;

        for (uint64_t now = clock_monotonic_usec(); now < end; now = clock_monotonic_usec()) {
                const uint64_t left = end - now, asked = now + (left < a->renew_usec ? left : a->renew_usec);
                _cleanup_error_ Error e = ERROR_INIT;
                LockRenewOutcome outcome;

                wait_usec(asked - now);
                if (asked >= end)
                        break;
                now = clock_monotonic_usec();
                if (lock_renew(a->conn, &a->identity, &a->task, uuid, run_id, started_usec, NULL, &outcome, &e) < 0)
                        fail("renew", &e);
                else if (outcome == LOCK_LOST)
                        return "cancelled";
                else
                        confirmed = now;
                if (clock_monotonic_usec() >= confirmed + a->confirmed_for_usec)
                        return "cancelled";
        }
        return "ok";
}

/* One pass; returns how long to wait. */
static uint64_t pass(Agent *a) {
        _cleanup_(lock_take_result_done) LockTakeResult taken = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        char uuid[UUID_TEXT_SIZE], run_id[UUID_TEXT_SIZE];
        const uint64_t asked = clock_monotonic_usec();
        const char *result;
        uint64_t left = 0;

        (void) random_uuid(uuid);
        (void) random_uuid(run_id);
        if (lock_take(a->conn, &a->identity, &a->task, uuid, run_id, 0, NULL, &taken, &e) < 0) {
                fail("take", &e);
                while (lock_undo(a->conn, &a->identity, &a->task, uuid, NULL, &e) < 0)
                        wait_usec(20 * USEC_PER_MSEC);
                return 0;
        }
        if (taken.outcome != LOCK_TAKEN)
                return taken.outcome == LOCK_PAUSED ? 100 * USEC_PER_MSEC : taken.wait_usec;
        write_event(a, run_id, "begin");
        result = run_body(a, uuid, run_id, taken.started_usec, asked);
        write_event(a, run_id, str_eq(result, "ok") ? "end" : "cancelled");
        if (lock_end(a->conn, &a->identity, &a->task, uuid, result, NULL, &left, &e) < 0)
                fail("end", &e);
        return left;
}

int main(int argc, char *argv[]) {
        Agent a = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        uint64_t shorter;
        bool cleared;

        if (argc < 10) {
                (void) fprintf(stderr, "usage: lock-agent URL SERVICE TASK HOST INTERVAL_MS TTL_MS EXTENDED RUN_MS LOG"
                                       " [DEAD_INSTANCE …]\n");
                return 2;
        }
        a.identity = (LockIdentity){ argv[2], argv[4], "agent", argv[4] };
        a.task = (LockTask){ argv[3], strtoull(argv[5], NULL, 10) * USEC_PER_MSEC,
                             strtoull(argv[6], NULL, 10) * USEC_PER_MSEC, str_eq(argv[7], "1") };
        a.run_usec = strtoull(argv[8], NULL, 10) * USEC_PER_MSEC;
        /* R must not expire between renewals either; without an E of originals it is what keeps them out */
        shorter = a.task.interval_usec < a.task.extended_ttl_usec ? a.task.interval_usec : a.task.extended_ttl_usec;
        a.renew_usec = shorter / 3;
        a.confirmed_for_usec = (a.task.original_extended ? a.task.extended_ttl_usec : shorter) / 3 * 2;
        a.log = open(argv[9], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (a.log < 0 || redis_conn_new(argv[1], argv[4], 2 * USEC_PER_SEC, NULL, NULL, &a.conn, &e) < 0) {
                fail("start", &e);
                return 1;
        }
        if (argc > 10 && lock_clear_dead(a.conn, &a.identity, &a.task, (const char *const *) argv + 10,
                                         (size_t) argc - 10, NULL, &cleared, &e) < 0) {
                fail("clear", &e);
                return 1;
        }
        for (;;) {
                const uint64_t left = pass(&a);

                if (left > 0)
                        wait_usec(left + (uint64_t) ceil(random_fraction() * (double) left * 0.05) + USEC_PER_MSEC);
        }
}
