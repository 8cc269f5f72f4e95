#pragma once

/* What the tests of the coordinator share: a service name of their own on the suite's Redis, or their own Redis. */

#include <criterion/criterion.h>
#include <poll.h>

#include "workers/coordinator.h"

#define WAIT_USEC (20 * USEC_PER_SEC)
#define HOUR (3600 * USEC_PER_SEC)

typedef struct Fixture {
        const char *url;
        char service[64];
        RedisConn *redis;
        /* a server of the test's own, to be frozen */
        pid_t server;
        char directory[32], own_url[64];
} Fixture;
void fixture_init(Fixture *f);
/* Another server on the same service name; with it the test may do what it likes. */
void fixture_init_own(Fixture *f);
void fixture_done(Fixture *f);
#define _cleanup_fixture_ _cleanup_(fixture_done)

void server_start(Fixture *f);
void server_kill(Fixture *f);
/* Returns when the server has stopped: kill() alone returns while it may still answer. */
void freeze(Fixture *f);
void thaw(Fixture *f);

/* New string. */
char *text(const char *format, const char *a, const char *b);
redisReply *run(RedisConn *c, size_t argc, const char *const *argv);
#define RUN(c, ...)                                                                                                    \
        run(c, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *const[]){ __VA_ARGS__ })
bool exists(Fixture *f, const char *task, const char *suffix);
#define R_KEY "task_timeouts"
#define E_KEY "task_extended_timeouts"

/* of 30 s, with a lock of a minute; and of an hour */
extern const LockTask one_task[1], long_task[1];

/* `dead`: the instance of a predecessor, or NULL. The patient one waits for so long for an answer of Redis. */
Coordinator *start(const Fixture *f, const char *instance, const LockTask *tasks, size_t n, const char *dead);
Coordinator *start_patient(const Fixture *f, const char *instance, const LockTask *tasks, size_t n, const char *dead,
                           uint64_t command_timeout_usec);

/* One that takes `one_task` and dies: its instance is "dead". */
void leave_lock_of_the_dead(Fixture *f);

/* The next event that is of `type`; others are dropped. False after the time is over. */
bool wait_event_for(Coordinator *c, CoordinatorEventType type, uint64_t usec, CoordinatorEvent *ret);
CoordinatorEvent wait_event(Coordinator *c, CoordinatorEventType type);
void expect_event(Coordinator *c, CoordinatorEventType type);
CoordinatorEvent wait_any_event(Coordinator *c);
