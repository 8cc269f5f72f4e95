/* Metrics: datagrams byte for byte, through a real socket. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "common/metrics_format.h"

/* The C library's, counted. */
static atomic_int look_ups;

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict ret) {
        int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

        *(void **) &real = dlsym(RTLD_NEXT, "getaddrinfo");
        (void) atomic_fetch_add(&look_ups, 1);
        return real(node, service, hints, ret);
}

static int listen_udp(uint16_t *ret_port) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof(a);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        cr_assert_geq(fd, 0);
        cr_assert_eq(bind(fd, (struct sockaddr *) &a, sizeof(a)), 0);
        cr_assert_eq(getsockname(fd, (struct sockaddr *) &a, &length), 0);
        *ret_port = ntohs(a.sin_port);
        return fd;
}

static bool receive(int fd, char *buf, size_t size, int msec) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        if (poll(&p, 1, msec) <= 0)
                return false;
        n = recv(fd, buf, size - 1, 0);
        cr_assert_geq(n, 0);
        buf[n] = '\0';
        return true;
}

/* Until the resolver has an address datagrams go nowhere: repeated until the first arrives, then nothing is lost. */
static void warm_up(Metrics *m, int fd) {
        char buf[512];

        for (int i = 0; i < 1000; i++) {
                metrics_count(m, "warm", 1, NULL, 0);
                if (receive(fd, buf, sizeof(buf), 10)) {
                        while (receive(fd, buf, sizeof(buf), 50))
                                ;
                        return;
                }
        }
        cr_assert_fail("no datagram in 10 s");
}

static void expect(int fd, const char *expected) {
        char buf[1024];

        cr_assert(receive(fd, buf, sizeof(buf), 5000), "nothing instead of %s", expected);
        cr_assert_str_eq(buf, expected);
}

#define GLOBALS "|#NODE_ENV:production,SERVICE_NAME:roundtable"

Test(metrics, datagrams_are_the_originals) {
        const MetricsTags globals = { .node_env = "production", .service_name = "roundtable" };
        const MetricTag own[] = { { "taskName", "demo-task" } };
        Metrics *m = NULL;
        uint16_t port;
        int fd = listen_udp(&port);

        cr_assert_eq(metrics_new_for("localhost", port, &globals, &m), 0);
        warm_up(m, fd);
        metrics_gauge(m, "loops.demo-task.started", 1, NULL, 0);
        expect(fd, "roundtable.loops.demo-task.started:1|g" GLOBALS);
        metrics_gauge(m, "loops.duration_ratio", 0.1325, own, 1);
        expect(fd, "roundtable.loops.duration_ratio:0.1325|g" GLOBALS ",taskName:demo-task");
        metrics_timing(m, "loops.demo-task.timing", 53, NULL, 0);
        expect(fd, "roundtable.loops.demo-task.timing:53|ms" GLOBALS);
        metrics_count(m, "c", -2, NULL, 0);
        expect(fd, "roundtable.c:-2|c" GLOBALS);
        metrics_distribution(m, "d", 1e-7, NULL, 0);
        expect(fd, "d:1e-7|d" GLOBALS);
        metrics_gauge(m, "g", 1e21, NULL, 0);
        expect(fd, "roundtable.g:1e+21|g" GLOBALS);
        metrics_gauge(m, "g", __builtin_nan(""), NULL, 0);
        expect(fd, "roundtable.g:NaN|g" GLOBALS);
        metrics_gauge(m, "_pnl_tick_create_count", 2, NULL, 0);
        expect(fd, "roundtable_pnl_tick_create_count:2|g" GLOBALS);
        metrics_free(m);
        (void) close(fd);
}

static void expect_format(const MetricsTags *globals, const MetricTag *tags, size_t n, const char *expected) {
        _cleanup_buffer_ Buffer b = { 0 };

        cr_assert_eq(metrics_format(&b, globals, false, "n", "1", "c", tags, n), 0);
        cr_assert_str_eq(b.data, expected);
}

Test(metrics, tags_in_order_sanitised_and_overriding) {
        const MetricTag dirty[] = { { "a:b|", "c@d,e" }, { "second", "2" } };
        const MetricTag override[] = { { "x", "1" }, { "NODE_ENV", "mine" } };
        const MetricTag env[] = { { "env", "own" } };
        const MetricsTags datadog = { .node_env = "a:b",
                                      .service_name = "s",
                                      .entity_id = "id,1",
                                      .env = "prod",
                                      .service = "",
                                      .version = "1:2" };

        expect_format(&(MetricsTags){ .service_name = "s" }, NULL, 0, "s.n:1|c|#NODE_ENV:null,SERVICE_NAME:s");
        expect_format(&(MetricsTags){ .node_env = "p", .service_name = "s" }, dirty, 2,
                      "s.n:1|c|#NODE_ENV:p,SERVICE_NAME:s,a_b_:c_d_e,second:2");
        expect_format(&(MetricsTags){ .node_env = "p", .service_name = "s" }, override, 2,
                      "s.n:1|c|#SERVICE_NAME:s,x:1,NODE_ENV:mine");
        expect_format(&datadog, NULL, 0,
                      "s.n:1|c|#NODE_ENV:a:b,SERVICE_NAME:s,dd.internal.entity_id:id_1,env:prod,version:1_2");
        expect_format(&datadog, env, 1,
                      "s.n:1|c|#NODE_ENV:a:b,SERVICE_NAME:s,dd.internal.entity_id:id_1,version:1_2,env:own");
}

Test(metrics, environment_test_sends_nothing) {
        const MetricsTags globals = { .node_env = "test", .service_name = "s" };
        Metrics *m = NULL;
        char buf[64];
        uint16_t port;
        int fd = listen_udp(&port);

        cr_assert_eq(metrics_new_for("127.0.0.1", port, &globals, &m), 0);
        metrics_count(m, "x", 1, NULL, 0);
        metrics_count(NULL, "x", 1, NULL, 0);
        cr_assert_not(receive(fd, buf, sizeof(buf), 100));
        metrics_free(m);
        (void) close(fd);
}

static void *count_many(void *userdata) {
        for (int i = 0; i < 100; i++)
                metrics_count(userdata, "many", 1, NULL, 0);
        return NULL;
}

Test(metrics, a_name_is_looked_up_once_for_many_datagrams) {
        const MetricsTags globals = { .service_name = "s" };
        Metrics *m = NULL;
        char buf[512];
        uint16_t port;
        int fd = listen_udp(&port);

        cr_assert_eq(metrics_new_for("localhost", port, &globals, &m), 0);
        warm_up(m, fd);
        for (int i = 0; i < 100; i++) {
                metrics_count(m, "c", i, NULL, 0);
                cr_assert(receive(fd, buf, sizeof(buf), 10000));
        }
        cr_assert_eq(atomic_load(&look_ups), 2); /* as an address in digits, and as a name */
        metrics_free(m);
        (void) close(fd);
}

Test(metrics, threads_share_one_and_nobody_needs_an_agent) {
        const MetricsTags globals = { .service_name = "s" };
        pthread_t threads[4];
        Metrics *m = NULL;
        uint16_t port;
        int fd = listen_udp(&port);

        (void) close(fd); /* nobody listens: refusals come back as errors of later sends */
        cr_assert_eq(metrics_new_for("127.0.0.1", port, &globals, &m), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, count_many, m), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                (void) pthread_join(threads[i], NULL);
        metrics_free(m);
}
