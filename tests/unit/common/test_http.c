/* The HTTP client against a small server of this test that misbehaves as the path asks. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/http.h"

static int listener = -EBADF;
static uint16_t port;
static pthread_barrier_t meeting; /* of three requests, which are under way at once or never */

static void send_text(int fd, const char *s) {
        (void) send(fd, s, strlen(s), MSG_NOSIGNAL);
}

/* Returns when the client has gone. */
static void await_end(int fd) {
        char c[256];

        while (recv(fd, c, sizeof(c), 0) > 0)
                ;
}

static void answer(int fd, const char *head) {
        if (strstr(head, "/ok"))
                send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        else if (strstr(head, "/busy"))
                send_text(fd,
                          "HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy");
        else if (strstr(head, "/redirect"))
                send_text(fd,
                          "HTTP/1.1 302 F\r\nLocation: /redirect\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        else if (strstr(head, "/file"))
                send_text(fd, "HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\nConnection: "
                              "close\r\n\r\n");
        else if (strstr(head, "/short"))
                send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhello");
        else if (strstr(head, "/middle")) {
                send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
                await_end(fd);
        } else if (strstr(head, "/meet")) {
                (void) pthread_barrier_wait(&meeting);
                send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nmet");
        } else if (strstr(head, "/silent"))
                await_end(fd);
        else if (strstr(head, "/endless")) {
                char block[4096];

                memset(block, 'x', sizeof(block));
                send_text(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
                        ;
        }
        /* anything else: closed without a word */
}

static void *serve_one(void *data) {
        int fd = (int) (intptr_t) data;
        char head[2048];
        ssize_t n;

        n = recv(fd, head, sizeof(head) - 1, 0);
        if (n > 0) {
                head[n] = '\0';
                answer(fd, head);
        }
        (void) shutdown(fd, SHUT_WR);
        (void) close(fd);
        return NULL;
}

static void *serve(void *unused) {
        (void) unused;
        for (;;) {
                int fd = accept(listener, NULL, NULL);
                pthread_t thread;

                if (fd < 0)
                        return NULL;
                if (pthread_create(&thread, NULL, serve_one, (void *) (intptr_t) fd) == 0)
                        (void) pthread_detach(thread);
        }
}

static pthread_t server;

static void start(void) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof(a);

        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(listener, (struct sockaddr *) &a, sizeof(a)), 0);
        cr_assert_eq(listen(listener, 16), 0);
        cr_assert_eq(getsockname(listener, (struct sockaddr *) &a, &length), 0);
        port = ntohs(a.sin_port);
        cr_assert_eq(pthread_barrier_init(&meeting, NULL, 3), 0);
        cr_assert_eq(pthread_create(&server, NULL, serve, NULL), 0);
}

static void stop(void) {
        (void) shutdown(listener, SHUT_RDWR);
        (void) pthread_join(server, NULL);
        (void) close(listener);
}

TestSuite(http, .init = start, .fini = stop);

static int get(const char *path, HttpRequest request, CancelToken *token, HttpResponse *ret, Error *e) {
        _cleanup_(http_client_freep) HttpClient *c = NULL;
        char url[256];

        (void) snprintf(url, sizeof(url), "http://user:pass@127.0.0.1:%u%s?key=topsecret", port, path);
        request.name = "test.get";
        request.url = url;
        cr_assert_eq(http_client_new(&c), 0);
        return http_perform(c, &request, token, ret, e);
}

static void expect_failure(const char *path, HttpRequest request, int r, ErrorKind kind) {
        _cleanup_(http_response_done) HttpResponse response = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(get(path, request, NULL, &response, &e), r, "%s: %s", path, error_text(&e));
        cr_assert_eq(e.kind, kind, "%s: %s", path, error_text(&e));
        cr_assert(strstr(error_text(&e), "127.0.0.1"), "%s", error_text(&e));
        cr_assert_null(strstr(error_text(&e), "secret"));
        cr_assert_null(strstr(error_text(&e), "pass"));
}

Test(http, complete_answers_whatever_their_status) {
        _cleanup_(http_response_done) HttpResponse ok = { 0 }, busy = { 0 }, moved = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(get("/ok", (HttpRequest){ 0 }, NULL, &ok, &e), 0, "%s", error_text(&e));
        cr_assert_eq(ok.status, 200);
        cr_assert_str_eq(ok.body.data, "hello");
        cr_assert_eq(get("/busy", (HttpRequest){ .method = "POST", .body = "{}", .body_length = 2 }, NULL, &busy, &e),
                     0);
        cr_assert_eq(busy.status, 503);
        cr_assert_eq(busy.retry_after_usec, 7 * USEC_PER_SEC);
        cr_assert_eq(get("/redirect", (HttpRequest){ 0 }, NULL, &moved, &e), 0);
        cr_assert_eq(moved.status, 302);
}

Test(http, failures_have_their_kind_and_keep_secrets) {
        expect_failure("/redirect", (HttpRequest){ .max_redirects = 3 }, -ELOOP, ERROR_NEVER);
        expect_failure("/file", (HttpRequest){ .max_redirects = 3 }, -EINVAL, ERROR_NEVER);
        expect_failure("/endless", (HttpRequest){ .max_body = 10000 }, -EMSGSIZE, ERROR_NEVER);
        expect_failure("/short", (HttpRequest){ 0 }, -ECONNRESET, ERROR_UNCERTAIN);
        expect_failure("/closed", (HttpRequest){ 0 }, -ECONNRESET, ERROR_UNCERTAIN);
        expect_failure("/silent", (HttpRequest){ .timeout_usec = 100000 }, -ETIMEDOUT, ERROR_UNCERTAIN);
}

Test(http, nobody_listening_means_nothing_happened) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof(a);
        uint16_t real = port;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* bound but not listening: refuses for as long as we hold it */
        cr_assert_eq(bind(fd, (struct sockaddr *) &a, sizeof(a)), 0);
        cr_assert_eq(getsockname(fd, (struct sockaddr *) &a, &length), 0);
        port = ntohs(a.sin_port);
        expect_failure("/ok", (HttpRequest){ 0 }, -ECONNREFUSED, ERROR_RETRY);
        port = real;
        (void) close(fd);
}

static void *cancel_soon(void *token) {
        (void) poll(NULL, 0, 50);
        cancel_token_cancel(token, CANCEL_REQUEST);
        return NULL;
}

Test(http, cancel_ends_an_answer_in_its_middle) {
        _cleanup_(http_response_done) HttpResponse response = { 0 };
        _cleanup_cancel_token_ CancelToken *token = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        pthread_t thread;

        cr_assert_eq(cancel_token_new(&token), 0);
        cr_assert_eq(pthread_create(&thread, NULL, cancel_soon, token), 0);
        cr_assert_eq(get("/middle", (HttpRequest){ 0 }, token, &response, &e), -ECANCELED);
        cr_assert_eq(e.kind, ERROR_CANCELED);
        (void) pthread_join(thread, NULL);
}

Test(http, deadline_ends_a_silent_server) {
        _cleanup_(http_response_done) HttpResponse response = { 0 };
        _cleanup_cancel_token_ CancelToken *token = NULL;
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(cancel_token_new(&token), 0);
        cancel_token_set_deadline(token, clock_monotonic_usec() + 100 * USEC_PER_MSEC);
        cr_assert_eq(get("/silent", (HttpRequest){ 0 }, token, &response, &e), -ETIMEDOUT);
        cr_assert_eq(e.kind, ERROR_CANCELED);
}

/* Fills requests for the paths, whose URLs are the caller's to free. */
static void make_requests(size_t n, const char *const *paths, HttpRequest *requests) {
        for (size_t i = 0; i < n; i++) {
                requests[i].name = "test.all";
                requests[i].url = str_printf("http://127.0.0.1:%u%s", port, paths[i]);
        }
}

static void free_requests(size_t n, const HttpRequest *requests, HttpOutcome *outcomes) {
        for (size_t i = 0; i < n; i++) {
                free((char *) requests[i].url);
                http_outcome_done(outcomes + i);
        }
}

Test(http, several_requests_are_under_way_at_once_and_one_does_not_end_the_others) {
        static const char *const paths[] = { "/meet", "/closed", "/meet", "/busy", "/endless", "/meet", "/silent" };
        HttpRequest requests[ELEMENTSOF(paths)] = { [4] = { .max_body = 10000 }, [6] = { .timeout_usec = 100000 } };
        static const int expected[] = { 0, -ECONNRESET, 0, 0, -EMSGSIZE, 0, -ETIMEDOUT };
        _cleanup_(http_client_freep) HttpClient *c = NULL;
        HttpOutcome outcomes[ELEMENTSOF(paths)];

        cr_assert_eq(http_client_new(&c), 0);
        for (int round = 0; round < 2; round++) {
                make_requests(ELEMENTSOF(paths), paths, requests);
                cr_assert_eq(http_perform_all(c, ELEMENTSOF(paths), requests, NULL, outcomes), 0);
                for (size_t i = 0; i < ELEMENTSOF(paths); i++)
                        cr_assert_eq(outcomes[i].result, expected[i], "%s: %s", paths[i],
                                     error_text(&outcomes[i].error));
                cr_assert_str_eq(outcomes[5].response.body.data, "met");
                cr_assert_eq(outcomes[3].response.status, 503);
                free_requests(ELEMENTSOF(paths), requests, outcomes);
        }
        cr_assert_eq(http_perform_all(c, 0, NULL, NULL, NULL), 0);
}

Test(http, cancel_ends_all_and_keeps_what_is_over) {
        static const char *const paths[] = { "/ok", "/silent", "/middle" };
        HttpRequest requests[ELEMENTSOF(paths)] = { 0 };
        _cleanup_(http_client_freep) HttpClient *c = NULL;
        _cleanup_cancel_token_ CancelToken *token = NULL;
        HttpOutcome outcomes[ELEMENTSOF(paths)];

        cr_assert_eq(http_client_new(&c), 0);
        cr_assert_eq(cancel_token_new(&token), 0);
        /* the first is over long before: it answers at once */
        cancel_token_set_deadline(token, clock_monotonic_usec() + 2 * USEC_PER_SEC);
        make_requests(ELEMENTSOF(paths), paths, requests);
        cr_assert_eq(http_perform_all(c, ELEMENTSOF(paths), requests, token, outcomes), -ETIMEDOUT);
        cr_assert_eq(outcomes[0].result, 0);
        for (size_t i = 1; i < ELEMENTSOF(paths); i++) {
                cr_assert_eq(outcomes[i].result, -ETIMEDOUT);
                cr_assert_eq(outcomes[i].error.kind, ERROR_CANCELED);
        }
        free_requests(ELEMENTSOF(paths), requests, outcomes);
}

Test(http, urls_that_nobody_on_the_way_can_read) {
        static const char *const good[] = { "https://a.example",      "HTTPS://a.example/x", "http://127.0.0.1:80",
                                            "http://127.9.9.9",       "http://[::1]:8080/",  "http://localhost",
                                            "http://user@LOCALHOST/", "http://127.1/" };
        static const char *const bad[] = { "http://a.example",
                                           "http://127.0.0.1.a.example",
                                           "http://localhost.a.example",
                                           "http://128.0.0.1",
                                           "http://[::2]",
                                           "http://127.0.0.1@a.example/",
                                           "ftp://127.0.0.1",
                                           "file:///x",
                                           "",
                                           "127.0.0.1",
                                           "http://" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                cr_assert(http_url_is_confidential(good[i]), "%s", good[i]);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                cr_assert_not(http_url_is_confidential(bad[i]), "%s", bad[i]);
}
