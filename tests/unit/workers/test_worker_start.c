/* The worker's side of the hand-over, the lock file and the states of servers. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "workers/handover.h"
#include "workers/registry.h"
#include "workers/server_state.h"
#include "workers/worker_lock_file.h"
#include "workers/worker_protocol.h"

static const FamilyManifest *manifest(void) {
        return family_manifest_find("testing");
}

/* A hand-over as a supervisor makes it. */
static json_t *document(void) {
        const FamilyManifest *const manifests[] = { manifest(), NULL };
        SettingsSource source = { .conf_dir = "/nonexistent" };
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        _cleanup_settings_ Settings *s = NULL;

        cr_assert_eq(settings_load(&source, manifests, &s, &problems), 0);
        return json_pack("{s:i, s:o, s:s, s:[s,s], s:s, s:s, s:{s:I}, s:b, s:{s:{s:I,s:s}}, s:s, s:n}", "protocol",
                         WORKER_PROTOCOL, "settings", settings_to_worker_json(s, manifest()), "instance", "me",
                         "dead_instances", "one", "two", "runtime_dir", "/run/x", "host", "here", "start_delay_usec",
                         "testing_rows", (json_int_t) 5000, "serial", 1, "quarantined", "testing_abort", "until_usec",
                         (json_int_t) 77, "reason", "crashed", "log_target", "json", "memory");
}

static size_t task_index(const char *name) {
        size_t i = 0;

        while (!str_eq(manifest()->tasks[i].name, name))
                i++;
        return i;
}

static void check_start(const WorkerStart *s) {
        cr_assert_str_eq(s->instance, "me");
        cr_assert_str_eq(s->host, "here");
        cr_assert_str_eq(s->runtime_dir, "/run/x");
        cr_assert_eq(s->n_dead, 2);
        cr_assert_str_eq(s->dead_instances[1], "two");
        cr_assert_null(s->dead_instances[2]);
        cr_assert(s->serial && s->supervised);
        cr_assert_eq(s->log_target, LOG_TARGET_JSON);
        cr_assert_eq(s->tasks[task_index("testing_rows")].start_delay_usec, 5000);
        cr_assert_eq(s->tasks[task_index("testing_abort")].quarantined_until_usec, 77);
        cr_assert_str_eq(s->tasks[task_index("testing_abort")].quarantine_reason, "crashed");
        cr_assert_eq(s->tasks[task_index("testing_hang")].start_delay_usec, 0);
}

Test(worker_start, a_document_is_understood) {
        _cleanup_(worker_start_done) WorkerStart s = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *d = document();

        cr_assert_eq(worker_start_from_json(manifest(), d, &s, &e), 0, "%s", error_text(&e));
        check_start(&s);
        json_decref(d);
}

Test(worker_start, what_is_missing_or_wrong_is_refused) {
        static const struct {
                const char *key, *value; /* JSON; NULL: removed */
        } cases[] = {
                { "protocol", "1" },
                { "protocol", NULL },
                { "settings", NULL },
                { "settings", "{\"family\":\"market\",\"values\":{}}" },
                { "instance", "\"\"" },
                { "instance", "3" },
                { "host", NULL },
                { "runtime_dir", NULL },
                { "dead_instances", "[1]" },
                { "start_delay_usec", "{\"testing_rows\":-1}" },
                { "quarantined", "{\"testing_rows\":{\"until_usec\":-5}}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(worker_start_done) WorkerStart s = { 0 };
                _cleanup_error_ Error e = ERROR_INIT;
                json_t *d = document();

                if (cases[i].value)
                        cr_assert_eq(
                                json_object_set_new(d, cases[i].key, json_loads(cases[i].value, JSON_DECODE_ANY, NULL)),
                                0);
                else
                        cr_assert_eq(json_object_del(d, cases[i].key), 0);
                cr_assert_lt(worker_start_from_json(manifest(), d, &s, &e), 0, "%s %s", cases[i].key, cases[i].value);
                cr_assert(!str_empty(error_text(&e)));
                json_decref(d);
        }
}

/* The other end of the socket is this process; the worker's end has to have its number. */
static int open_handover(void) {
        int pair[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        if (pair[0] == WORKER_HANDOVER_FD) {
                pair[0] = dup(pair[0]);
                cr_assert_geq(pair[0], 0);
        }
        if (pair[1] != WORKER_HANDOVER_FD) {
                cr_assert_eq(dup2(pair[1], WORKER_HANDOVER_FD), WORKER_HANDOVER_FD);
                (void) close(pair[1]);
        }
        return pair[0];
}

static void send_handover(int fd, const char *text) {
        union {
                char buffer[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *) "{\"protocol\":1}", .iov_len = 14 };
        struct msghdr h = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
        };
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);
        int memory = memfd_create("test", MFD_CLOEXEC);

        cr_assert_geq(memory, 0);
        cr_assert_eq(write(memory, text, strlen(text)), (ssize_t) strlen(text));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof memory);
        memcpy(CMSG_DATA(c), &memory, sizeof memory);
        cr_assert_gt(sendmsg(fd, &h, 0), 0);
        (void) close(memory);
}

/* In a child: descriptor 3 may be the test runner's. */
static void in_child(void (*body)(void)) {
        pid_t pid = fork();
        int status;

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                body();
                _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child ended with %d", status);
}

static void take_good(void) {
        WorkerOptions options = { .manifest = manifest(), .supervised = true };
        WorkerStart s = { 0 };
        Error e = ERROR_INIT;
        char hello[512];
        json_t *d = document(), *h;
        char *text = json_dumps(d, JSON_COMPACT);
        int fd = open_handover();
        ssize_t n;

        send_handover(fd, text);
        if (worker_start_from_supervisor(&options, &(WorkerHello){ 4, true }, &s, &e) < 0 || !str_eq(s.instance, "me"))
                _exit(1);
        n = recv(fd, hello, sizeof hello, 0);
        h = n > 0 ? json_loadb(hello, (size_t) n, 0, NULL) : NULL;
        if (json_integer_value(json_object_get(h, "protocol")) != WORKER_PROTOCOL ||
            json_integer_value(json_object_get(h, "pid")) != getpid() ||
            json_integer_value(json_object_get(h, "landlock")) != 4 || !json_is_true(json_object_get(h, "seccomp")) ||
            !str_eq(json_string_value(json_object_get(h, "family")), "testing"))
                _exit(2);
        if (fcntl(WORKER_HANDOVER_FD, F_GETFD) >= 0)
                _exit(3); /* left open */
}

static void take_garbage(void) {
        WorkerOptions options = { .manifest = manifest(), .supervised = true };
        WorkerStart s = { 0 };
        Error e = ERROR_INIT;
        int fd = open_handover();

        send_handover(fd, "{\"protocol\":1");
        if (worker_start_from_supervisor(&options, &(WorkerHello){ 0 }, &s, &e) != -EBADMSG)
                _exit(1);
}

static void take_nothing(void) {
        WorkerOptions options = { .manifest = manifest(), .supervised = true };
        WorkerStart s = { 0 };
        Error e = ERROR_INIT;

        (void) close(open_handover());
        if (worker_start_from_supervisor(&options, &(WorkerHello){ 0 }, &s, &e) >= 0)
                _exit(1);
}

static void send_text(int fd, const char *text) {
        cr_assert_eq(send(fd, text, strlen(text), 0), (ssize_t) strlen(text));
}

static void take_confinement(void) {
        _cleanup_(worker_confinement_done) WorkerConfinement c = { 0 };
        Error e = ERROR_INIT;
        int fd = open_handover();

        send_text(fd, "{\"protocol\":2,\"sandbox\":\"required\",\"open_files\":99,\"read_paths\":[\"/a\",\"/b\"],"
                      "\"write_paths\":[\"/c\"]}");
        if (worker_confinement_receive(&c, &e) < 0)
                _exit(1);
        if (!str_eq(c.sandbox, "required") || c.open_files != 99 || !str_eq(c.read_paths[1], "/b") || c.read_paths[2] ||
            !str_eq(c.write_paths[0], "/c") || c.write_paths[1])
                _exit(2);
}

static void take_bad_confinement(void) {
        static const char *const packets[] = {
                "{\"protocol\":1,\"sandbox\":\"auto\",\"open_files\":9,\"read_paths\":[],\"write_paths\":[]}",
                "{\"protocol\":2,\"sandbox\":\"maybe\",\"open_files\":9,\"read_paths\":[],\"write_paths\":[]}",
                "{\"protocol\":2,\"sandbox\":\"auto\",\"open_files\":0,\"read_paths\":[],\"write_paths\":[]}",
                "{\"protocol\":2,\"sandbox\":\"auto\",\"open_files\":9,\"read_paths\":[3],\"write_paths\":[]}",
                "{\"protocol\":2,\"sandbox\":\"auto\",\"open_files\":9",
        };
        int fd = open_handover();

        for (size_t i = 0; i < ELEMENTSOF(packets); i++) {
                WorkerConfinement c = { 0 };
                Error e = ERROR_INIT;

                send_text(fd, packets[i]);
                if (worker_confinement_receive(&c, &e) >= 0 || c.sandbox || e.kind != ERROR_NEVER)
                        _exit((int) i + 1);
                error_done(&e);
        }
        (void) close(fd);
        if (worker_confinement_receive(&(WorkerConfinement){ 0 }, NULL) >= 0)
                _exit(50);
}

Test(worker_start, learns_of_its_sandbox) {
        in_child(take_confinement);
}

Test(worker_start, refuses_a_sandbox_it_does_not_understand) {
        in_child(take_bad_confinement);
}

Test(worker_start, takes_the_memory_file) {
        in_child(take_good);
}

Test(worker_start, refuses_what_is_not_json) {
        in_child(take_garbage);
}

Test(worker_start, notices_a_supervisor_that_is_gone) {
        in_child(take_nothing);
}

Test(worker_start, the_lock_file_names_its_holder) {
        char directory[] = "/tmp/lock-file-XXXXXX";
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_free_ char *path = NULL, *pid = str_printf("%d", (int) getpid());
        int first, second;

        cr_assert_not_null(mkdtemp(directory));
        path = str_printf("%s/worker-testing.lock", directory);
        first = worker_lock_file_open(directory, "testing", &e);
        cr_assert_geq(first, 0, "%s", error_text(&e));
        second = worker_lock_file_open(directory, "testing", &e);
        cr_assert_eq(second, -EBUSY);
        cr_assert_not_null(strstr(error_text(&e), pid), "%s", error_text(&e));
        (void) close(first);
        second = worker_lock_file_open(directory, "testing", &e);
        cr_assert_geq(second, 0, "a lock of nobody is in the way");
        (void) close(second);
        (void) unlink(path);
        (void) rmdir(directory);
}

static size_t changes;
static char health[512];

static void on_health(const char *text, void *userdata) {
        (void) userdata;
        changes++;
        (void) snprintf(health, sizeof health, "%s", text);
}

Test(worker_start, servers_are_told_once_per_change) {
        _cleanup_error_ Error e = ERROR_INIT, cancelled = ERROR_INIT;
        ServerStates *s = NULL;
        json_t *j;

        log_init("test", LOG_TARGET_NONE, LOG_LEVEL_EMERG);
        cr_assert_eq(server_states_new(on_health, NULL, &s), 0);
        (void) error_set(&e, ERROR_RETRY, -ECONNREFUSED, "connection\nrefused");
        (void) error_set(&cancelled, ERROR_CANCELED, -ECANCELED, "cancelled");
        server_states_report(s, SERVER_REDIS, NULL);
        cr_assert_eq(changes, 0);
        server_states_report(s, SERVER_REDIS, &cancelled);
        cr_assert_eq(changes, 0, "a cancelled call says nothing");
        server_states_report(s, SERVER_REDIS, &e);
        server_states_report(s, SERVER_REDIS, &e);
        cr_assert_eq(changes, 1);
        cr_assert_str_eq(health, "redis: connection refused");
        cr_assert_not(server_states_ok(s, SERVER_REDIS));
        server_states_report(s, SERVER_KAFKA, &e);
        cr_assert_str_eq(health, "redis: connection refused; kafka: connection refused");
        j = server_states_to_json(s);
        cr_assert_eq(json_object_size(j), SERVER_COUNT);
        cr_assert(json_is_false(json_object_get(json_object_get(j, "redis"), "ok")));
        cr_assert(json_is_null(json_object_get(json_object_get(j, "postgres-replica"), "error")));
        json_decref(j);
        server_states_report(s, SERVER_REDIS, NULL);
        server_states_report(s, SERVER_KAFKA, NULL);
        cr_assert_str_eq(health, "ok");
        cr_assert_eq(changes, 4);
        (void) server_states_free(s);
}
