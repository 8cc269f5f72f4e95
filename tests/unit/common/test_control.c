/* The control protocol: server and client, and the peers that misbehave. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/control.h"

typedef struct Fixture {
        sd_event *event;
        ControlServer *server;
        char directory[64];
        char path[96];
        pthread_t thread;
        _Atomic(ControlRequest *) parked; /* set by the server's thread, awaited by the tests */
        int handled;
        bool parked_answered;
        ControlPeer peer;
} Fixture;

static Fixture f;

static void handler(ControlRequest *request, const json_t *message, const ControlPeer *peer, void *userdata) {
        const char *verb = json_string_value(json_object_get(message, "verb"));

        (void) userdata;
        f.handled++;
        f.peer = *peer;
        if (str_eq(verb, "echo"))
                control_reply(request, json_pack("{s:O}", "text", json_object_get(message, "text")));
        else if (str_eq(verb, "park"))
                f.parked = request;
        else if (str_eq(verb, "release")) {
                control_reply(f.parked, json_pack("{s:s}", "text", "late"));
                f.parked_answered = true;
                control_reply(request, NULL);
        } else if (str_eq(verb, "exit")) {
                control_reply(request, NULL);
                sd_event_exit(f.event, 0);
        } else
                control_reply_error(request, 2, "try echo", "unknown verb %s", verb);
}

static void *serve(void *p) {
        (void) p;
        sd_event_loop(f.event);
        return NULL;
}

static void setup(void) {
        _cleanup_error_ Error e = ERROR_INIT;

        snprintf(f.directory, sizeof f.directory, "/tmp/rt-control-XXXXXX");
        cr_assert_not_null(mkdtemp(f.directory));
        snprintf(f.path, sizeof f.path, "%s/control", f.directory);
        cr_assert_geq(sd_event_new(&f.event), 0);
        cr_assert_eq(control_server_new(f.event, f.path, 0600, handler, NULL, &f.server, &e), 0, "%s", error_text(&e));
        cr_assert_eq(pthread_create(&f.thread, NULL, serve, NULL), 0);
}

static int call(const char *verb, json_t **ret) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *request = json_pack("{s:s, s:s}", "verb", verb, "text", "hello");
        int r = control_call(f.path, request, 20 * USEC_PER_SEC, ret, &e);

        json_decref(request);
        return r;
}

static void teardown(void) {
        json_t *reply = NULL;

        cr_assert_eq(call("exit", &reply), 0);
        json_decref(reply);
        pthread_join(f.thread, NULL);
        control_server_free(f.server);
        sd_event_unref(f.event);
        cr_assert_eq(access(f.path, F_OK), -1, "the socket is left behind");
        rmdir(f.directory);
}

TestSuite(control, .init = setup, .fini = teardown, .timeout = 60);

static int connect_raw(void) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(a.sun_path, sizeof a.sun_path, "%s", f.path);
        cr_assert_eq(connect(fd, (struct sockaddr *) &a, sizeof a), 0);
        return fd;
}

static void send_text(int fd, const char *text) {
        cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}

static json_t *read_line(int fd) {
        _cleanup_buffer_ Buffer b = { 0 };
        char c;

        while (recv(fd, &c, 1, 0) == 1 && c != '\n')
                buffer_append(&b, &c, 1);
        return b.length > 0 ? json_loads(b.data, 0, NULL) : NULL;
}

Test(control, answers_with_ok_and_fields) {
        json_t *reply = NULL;

        cr_assert_eq(call("echo", &reply), 0);
        cr_assert(json_is_true(json_object_get(reply, "ok")));
        cr_assert_str_eq(json_string_value(json_object_get(reply, "text")), "hello");
        cr_assert_eq(json_integer_value(json_object_get(reply, "protocol")), 1);
        json_decref(reply);
}

Test(control, error_reply_carries_code_and_hint) {
        json_t *reply = NULL;

        cr_assert_eq(call("nonsense", &reply), 0);
        cr_assert(json_is_false(json_object_get(reply, "ok")));
        cr_assert_eq(json_integer_value(json_object_get(reply, "code")), 2);
        cr_assert_str_eq(json_string_value(json_object_get(reply, "error")), "unknown verb nonsense");
        cr_assert_str_eq(json_string_value(json_object_get(reply, "hint")), "try echo");
        json_decref(reply);
}

Test(control, knows_the_peer) {
        json_t *reply = NULL;

        cr_assert_eq(call("echo", &reply), 0);
        json_decref(reply);
        cr_assert_eq(f.peer.pid, getpid());
        cr_assert_eq(f.peer.uid, getuid());
        cr_assert_eq(f.peer.gid, getgid());
}

Test(control, mode_does_not_depend_on_the_umask) {
        struct stat st;

        cr_assert_eq(stat(f.path, &st), 0);
        cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(control, half_lines_are_put_together) {
        int fd = connect_raw();
        json_t *reply;

        send_text(fd, "{\"protocol\":1,\"ve");
        reply = NULL;
        cr_assert_eq(call("echo", &reply), 0); /* another peer is served meanwhile */
        json_decref(reply);
        send_text(fd, "rb\":\"echo\",\"text\":\"x\"}\n");
        reply = read_line(fd);
        cr_assert_str_eq(json_string_value(json_object_get(reply, "text")), "x");
        json_decref(reply);
        close(fd);
}

Test(control, several_requests_on_one_connection_are_answered_in_order) {
        int fd = connect_raw();

        send_text(fd, "{\"protocol\":1,\"verb\":\"echo\",\"text\":\"a\"}\n{\"protocol\":1,\"verb\":\"echo\",\"text\":"
                      "\"b\"}\n");
        shutdown(fd, SHUT_WR); /* a peer that says it is done still gets its answers */
        for (const char *t = "ab"; *t; t++) {
                json_t *reply = read_line(fd);

                cr_assert_eq(json_string_value(json_object_get(reply, "text"))[0], *t);
                json_decref(reply);
        }
        cr_assert_null(read_line(fd));
        close(fd);
}

Test(control, garbage_is_refused_and_the_connection_goes_on) {
        static const char *const bad[] = { "\n",
                                           "nonsense\n",
                                           "[]\n",
                                           "{}\n",
                                           "{\"protocol\":\"1\",\"verb\":\"echo\"}\n",
                                           "{\"protocol\":1}\n",
                                           "{\"protocol\":1,\"verb\":7}\n",
                                           "{\"protocol\":1,\"protocol\":1,\"verb\":\"echo\"}\n",
                                           "\"\xff\xfe\"\n" };
        int fd = connect_raw();
        json_t *reply;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                send_text(fd, bad[i]);
                reply = read_line(fd);
                cr_assert(json_is_false(json_object_get(reply, "ok")), "%s", bad[i]);
                json_decref(reply);
        }
        send_text(fd, "{\"protocol\":1,\"verb\":\"echo\",\"text\":\"z\"}\n");
        reply = read_line(fd);
        cr_assert(json_is_true(json_object_get(reply, "ok")));
        json_decref(reply);
        cr_assert_eq(f.handled, 1);
        close(fd);
}

Test(control, another_protocol_is_named) {
        int fd = connect_raw();
        json_t *reply;

        send_text(fd, "{\"protocol\":2,\"verb\":\"echo\"}\n");
        reply = read_line(fd);
        cr_assert_eq(json_integer_value(json_object_get(reply, "protocol")), 1);
        cr_assert_eq(json_integer_value(json_object_get(reply, "code")), 1);
        cr_assert_not_null(strstr(json_string_value(json_object_get(reply, "error")), "protocol 2"));
        json_decref(reply);
        close(fd);
}

Test(control, too_long_a_line_ends_the_connection) {
        _cleanup_free_ char *data = malloc(CONTROL_MAX_LINE + 65536);
        int fd = connect_raw();
        json_t *reply;

        memset(data, 'x', CONTROL_MAX_LINE + 65536);
        /* The server may close before all of it is sent. */
        (void) send(fd, data, CONTROL_MAX_LINE + 65536, MSG_NOSIGNAL);
        reply = read_line(fd);
        cr_assert(json_is_false(json_object_get(reply, "ok")));
        json_decref(reply);
        cr_assert_null(read_line(fd));
        close(fd);
}

Test(control, silent_connections_do_not_lock_others_out) {
        int fds[CONTROL_MAX_CONNECTIONS + 10];
        json_t *reply = NULL;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = connect_raw();
        cr_assert_eq(call("echo", &reply), 0);
        json_decref(reply);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
}

Test(control, request_outlives_its_peer) {
        int fd = connect_raw();
        json_t *reply = NULL;

        send_text(fd, "{\"protocol\":1,\"verb\":\"park\"}\n");
        while (!f.parked)
                usleep(1000);
        close(fd);
        cr_assert_eq(call("echo", &reply), 0);
        json_decref(reply);
        reply = NULL;
        cr_assert_eq(call("release", &reply), 0);
        json_decref(reply);
        cr_assert(f.parked_answered);
}

Test(control, answer_may_come_later) {
        int fd = connect_raw();
        json_t *reply = NULL;

        send_text(fd, "{\"protocol\":1,\"verb\":\"park\"}\n{\"protocol\":1,\"verb\":\"echo\",\"text\":\"next\"}\n");
        while (!f.parked)
                usleep(1000);
        cr_assert_eq(call("release", &reply), 0);
        json_decref(reply);
        reply = read_line(fd);
        cr_assert_str_eq(json_string_value(json_object_get(reply, "text")), "late");
        json_decref(reply);
        reply = read_line(fd);
        cr_assert_str_eq(json_string_value(json_object_get(reply, "text")), "next");
        json_decref(reply);
        close(fd);
}

Test(control, client_gives_up_at_its_timeout) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *request = json_pack("{s:s}", "verb", "park"), *reply = NULL;

        cr_assert_eq(control_call(f.path, request, 50 * USEC_PER_MSEC, &reply, &e), -ETIMEDOUT);
        cr_assert_eq(e.kind, ERROR_UNCERTAIN);
        cr_assert_null(reply);
        json_decref(request);
        cr_assert_eq(call("release", &reply), 0);
        json_decref(reply);
}

Test(control_client, says_when_nobody_listens) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *request = json_pack("{s:s}", "verb", "status"), *reply = NULL;

        cr_assert_eq(control_call("/nonexistent/control", request, USEC_PER_SEC, &reply, &e), -ENOENT);
        cr_assert_not_null(strstr(error_text(&e), "/nonexistent/control"));
        json_decref(request);
}

typedef struct AsyncResult {
        sd_event *event;
        int r;
        int calls;
        json_t *reply;
} AsyncResult;

static void on_async(int r, json_t *reply, const Error *e, void *userdata) {
        AsyncResult *a = userdata;

        (void) e;
        a->calls++;
        a->r = r;
        a->reply = json_incref(reply);
        sd_event_exit(a->event, 0);
}

Test(control, asynchronous_call_is_answered_once) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *request = json_pack("{s:s, s:s}", "verb", "echo", "text", "async");
        AsyncResult a = { 0 };
        ControlCall *c = NULL;

        cr_assert_geq(sd_event_new(&a.event), 0);
        cr_assert_eq(control_call_start(a.event, f.path, request, 20 * USEC_PER_SEC, on_async, &a, &c, &e), 0);
        json_decref(request);
        sd_event_loop(a.event);
        cr_assert_eq(a.calls, 1);
        cr_assert_eq(a.r, 0);
        cr_assert_str_eq(json_string_value(json_object_get(a.reply, "text")), "async");
        json_decref(a.reply);
        sd_event_unref(a.event);
}

Test(control, asynchronous_call_times_out) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *request = json_pack("{s:s}", "verb", "park"), *reply = NULL;
        AsyncResult a = { 0 };
        ControlCall *c = NULL;

        cr_assert_geq(sd_event_new(&a.event), 0);
        cr_assert_eq(control_call_start(a.event, f.path, request, 50 * USEC_PER_MSEC, on_async, &a, &c, &e), 0);
        json_decref(request);
        sd_event_loop(a.event);
        cr_assert_eq(a.r, -ETIMEDOUT);
        sd_event_unref(a.event);
        cr_assert_eq(call("release", &reply), 0);
        json_decref(reply);
}
