/* roundtable-kafka-mock: librdkafka's mock cluster in a process of its own, for `roundtable dev` and the tests.
 *
 * It prints one line `bootstrap HOST:PORT` and stays until SIGTERM, SIGINT or its parent's death. Commands come by
 * standard input or by the control socket, one a line, each answered by one line, `ok` or `error: …`:
 *   topic NAME N          creates a topic with N partitions
 *   topic-error NAME CODE every request about this topic fails (0: no more)
 *   down, up              all brokers close their connections and refuse new ones; back
 *   error CODE COUNT      the next COUNT produce requests fail
 *   rtt MS                every answer takes that long
 * CODE is Kafka's number or librdkafka's name (NOT_LEADER_FOR_PARTITION).
 *
 * It is a test double: about 5 MB a partition, of which the oldest go silently; nothing on disk; no log-in, TLS or
 * rights; no de-duplication, so that an idempotent producer's retries may show twice; no topic administration by
 * clients (topics that are written to unasked have 4 partitions); transactions are accepted and not honoured. What
 * depends on these is tried with a real broker in tests/kafka. */

#include <errno.h>
#include <getopt.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/util.h"
#include "workers/kafka_relay.h"
#include "workers/worker_protocol.h"

#define API_KEY_PRODUCE 0
#define MAX_COMMAND 4096
#define MAX_ERRORS 100000

typedef struct Client Client;

typedef struct Mock {
        rd_kafka_t *rk;
        rd_kafka_mock_cluster_t *cluster;
        int brokers;
        sd_event *event;
        KafkaRelay *relay;
        Client *clients;
} Mock;

/* Somebody who gives commands: standard input, or a connection to the control socket. */
struct Client {
        Mock *mock;
        Client *next;
        int in, out;
        sd_event_source *source;
        Buffer input;
};

/* The deployment's topics with their partition counts. */
static const struct {
        const char *name;
        int partitions;
} default_topics[] = {
        { "to-ender", 1 },
        { "to-vulcan", 210 },
        { "to-websockets-orderbooks", 1 },
        { "to-websockets-subaccounts", 3 },
        { "to-websockets-trades", 1 },
        { "to-websockets-markets", 1 },
        { "to-websockets-candles", 1 },
        { "to-websockets-block-height", 1 },
};

static bool parse_number(const char *text, long min, long max, int *ret) {
        char *end;
        long v;

        if (str_empty(text))
                return false;
        errno = 0;
        v = strtol(text, &end, 10);
        if (errno != 0 || *end || v < min || v > max)
                return false;
        *ret = (int) v;
        return true;
}

static bool parse_code(const char *text, rd_kafka_resp_err_t *ret) {
        const struct rd_kafka_err_desc *descriptions;
        size_t n;
        int code;

        if (parse_number(text, -1, 1000, &code)) {
                *ret = (rd_kafka_resp_err_t) code;
                return true;
        }
        rd_kafka_get_err_descs(&descriptions, &n);
        for (size_t i = 0; i < n; i++)
                if (str_eq(descriptions[i].name, text)) {
                        *ret = descriptions[i].code;
                        return true;
                }
        return false;
}

static const char *command_topic(Mock *m, const char *name, const char *count) {
        rd_kafka_resp_err_t e;
        int partitions;

        if (str_empty(name) || !parse_number(count, 1, 10000, &partitions))
                return "error: topic NAME PARTITIONS";
        e = rd_kafka_mock_topic_create(m->cluster, name, partitions, m->brokers < 3 ? m->brokers : 3);
        return e == RD_KAFKA_RESP_ERR_NO_ERROR ? "ok" : "error: the topic exists or cannot be made";
}

static const char *command_topic_error(Mock *m, const char *name, const char *text) {
        rd_kafka_resp_err_t code;

        if (str_empty(name) || !parse_code(text, &code))
                return "error: topic-error NAME CODE";
        rd_kafka_mock_topic_set_error(m->cluster, name, code);
        return "ok";
}

static const char *command_down_up(Mock *m, bool up) {
        for (int i = 1; i <= m->brokers; i++)
                if ((up ? rd_kafka_mock_broker_set_up : rd_kafka_mock_broker_set_down)(m->cluster, i) !=
                    RD_KAFKA_RESP_ERR_NO_ERROR)
                        return "error: no such broker";
        return "ok";
}

static const char *command_error(Mock *m, const char *text, const char *count) {
        rd_kafka_resp_err_t code;
        int n;

        if (!parse_code(text, &code) || !parse_number(count, 1, MAX_ERRORS, &n))
                return "error: error CODE COUNT";
        for (int i = 0; i < n; i++)
                rd_kafka_mock_push_request_errors_array(m->cluster, API_KEY_PRODUCE, 1, &code);
        return "ok";
}

static const char *command_rtt(Mock *m, const char *text) {
        int msec;

        if (!parse_number(text, 0, 3600 * 1000, &msec))
                return "error: rtt MILLISECONDS";
        for (int i = 1; i <= m->brokers; i++)
                if (rd_kafka_mock_broker_set_rtt(m->cluster, i, msec) != RD_KAFKA_RESP_ERR_NO_ERROR)
                        return "error: no such broker";
        return "ok";
}

static const char *run_command(Mock *m, char *line) {
        char *state = NULL;
        const char *verb = strtok_r(line, " \t\r", &state);
        const char *first = strtok_r(NULL, " \t\r", &state);
        const char *second = strtok_r(NULL, " \t\r", &state);

        if (str_eq(verb, "topic"))
                return command_topic(m, first, second);
        if (str_eq(verb, "topic-error"))
                return command_topic_error(m, first, second);
        if (str_eq(verb, "down") || str_eq(verb, "up"))
                return command_down_up(m, str_eq(verb, "up"));
        if (str_eq(verb, "error"))
                return command_error(m, first, second);
        if (str_eq(verb, "rtt"))
                return command_rtt(m, first);
        return "error: topic NAME N | topic-error NAME CODE | down | up | error CODE COUNT | rtt MS";
}

static Client *client_free(Client *c) {
        if (!c)
                return NULL;
        for (Client **i = &c->mock->clients; *i; i = &(*i)->next)
                if (*i == c) {
                        *i = c->next;
                        break;
                }
        sd_event_source_disable_unref(c->source);
        if (c->in > STDERR_FILENO)
                (void) close_fd(c->in);
        buffer_done(&c->input);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(Client, client_free)

/* An answer nobody reads is dropped: the mock must not hang on its tester. */
static void client_answer(Client *c, const char *answer) {
        char line[256];
        int n = snprintf(line, sizeof(line), "%s\n", answer);

        if (c->in == STDIN_FILENO)
                (void) !write(c->out, line, (size_t) n);
        else
                (void) send(c->out, line, (size_t) n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int on_client(_unused_ sd_event_source *source, int fd, _unused_ uint32_t events, void *userdata) {
        Client *c = userdata;
        char data[512];
        ssize_t n;
        char *newline;

        n = read(fd, data, sizeof(data));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0 || c->input.length > MAX_COMMAND || buffer_append(&c->input, data, (size_t) n) < 0) {
                (void) client_free(c);
                return 0;
        }
        while ((newline = memchr(c->input.data, '\n', c->input.length))) {
                *newline = '\0';
                client_answer(c, run_command(c->mock, c->input.data));
                buffer_consume(&c->input, (size_t) (newline - c->input.data) + 1);
        }
        return 0;
}

static int client_new(Mock *m, int in, int out) {
        _cleanup_(client_freep) Client *c = NULL;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->mock = m;
        c->in = STDIN_FILENO; /* the caller's to close unless all went well */
        r = sd_event_add_io(m->event, &c->source, in, EPOLLIN, on_client, c);
        if (r < 0)
                return r;
        c->in = in;
        c->out = out;
        c->next = m->clients;
        m->clients = TAKE_PTR(c); /* until its end of file, or ours */
        return 0;
}

static int on_control(_unused_ sd_event_source *source, int fd, _unused_ uint32_t events, void *userdata) {
        int client;

        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client >= 0 && client_new(userdata, client, client) < 0)
                (void) close_fd(client);
        return 0;
}

static int control_listen(Mock *m, const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        (void) unlink(path);
        if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, SOMAXCONN) < 0)
                return -errno;
        return sd_event_add_io(m->event, NULL, take_fd(&fd), EPOLLIN, on_control, m); /* open until we exit */
}

static int cluster_start(Mock *m) {
        rd_kafka_conf_t *conf = rd_kafka_conf_new();
        char text[512];

        /* the hosting client itself has no bootstrap servers, which it would warn about */
        (void) rd_kafka_conf_set(conf, "log.configuration.warnings", "false", text, sizeof(text));
        (void) rd_kafka_conf_set(conf, "log_level", "4", text, sizeof(text));
        m->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
        if (!m->rk) {
                rd_kafka_conf_destroy(conf);
                (void) fprintf(stderr, "roundtable-kafka-mock: %s\n", text);
                return -EIO;
        }
        m->cluster = rd_kafka_mock_cluster_new(m->rk, m->brokers);
        return m->cluster ? 0 : -EIO;
}

/* "NAME:PARTITIONS" */
static int add_topic(Mock *m, const char *argument) {
        const char *colon = strrchr(argument, ':');
        _cleanup_free_ char *name = NULL;
        const char *answer;

        name = colon ? strndup(argument, (size_t) (colon - argument)) : NULL;
        answer = command_topic(m, name, colon ? colon + 1 : NULL);
        if (str_eq(answer, "ok"))
                return 0;
        (void) fprintf(stderr, "roundtable-kafka-mock: --topic %s: %s\n", argument, answer);
        return -EINVAL;
}

static int relay_start(Mock *m, int port) {
        const char *bootstraps = rd_kafka_mock_cluster_bootstraps(m->cluster);
        int target;
        _cleanup_free_ char *first = strndup(bootstraps, strcspn(bootstraps, ","));
        const char *colon = first ? strrchr(first, ':') : NULL;

        if (!colon || !parse_number(colon + 1, 1, 65535, &target))
                return -EIO;
        return kafka_relay_new(m->event, (uint16_t) port, (uint16_t) target, &m->relay);
}

static int mock_run(Mock *m, int port, const char *control) {
        int r;

        r = relay_start(m, port);
        if (r >= 0 && control)
                r = control_listen(m, control);
        if (r < 0) {
                (void) fprintf(stderr, "roundtable-kafka-mock: cannot listen: %s\n", strerror(-r));
                return r;
        }
        r = client_new(m, STDIN_FILENO, STDOUT_FILENO);
        if (r < 0 && r != -EPERM) /* /dev/null and files cannot be polled, and hold no commands */
                return r;
        (void) printf("bootstrap 127.0.0.1:%u\n", kafka_relay_port(m->relay));
        if (fflush(stdout) != 0)
                return -errno;
        return sd_event_loop(m->event);
}

static int block_signals(sd_event *event) {
        sigset_t set;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        /* without a handler sd-event ends the loop */
        if (sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL) < 0)
                return -EIO;
        return sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}

static int usage(FILE *f, int status) {
        (void) fputs("roundtable-kafka-mock [--port N] [--brokers N] [--control PATH] [--topic NAME:PARTITIONS ...]\n"
                     "A test double, no broker: it keeps about 5 MB a partition in memory and has no security.\n",
                     f);
        return status;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                { "port", required_argument, NULL, 'p' },    { "brokers", required_argument, NULL, 'b' },
                { "control", required_argument, NULL, 'c' }, { "topic", required_argument, NULL, 't' },
                { "help", no_argument, NULL, 'h' },          { 0 },
        };
        _cleanup_free_ const char **topics = NULL;
        const char *control = NULL;
        pid_t parent = getppid();
        Mock mock = { .brokers = 1 };
        size_t n_topics = 0;
        int port = 0, o, r;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                return EXIT_CODE_FAILED; /* it died in between */
        topics = calloc((size_t) argc, sizeof(*topics));
        if (!topics)
                return EXIT_CODE_FAILED;
        while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                bool good = true;

                if (o == 'p')
                        good = parse_number(optarg, 0, 65535, &port);
                else if (o == 'b')
                        good = parse_number(optarg, 1, 16, &mock.brokers);
                else if (o == 'c')
                        control = optarg;
                else if (o == 't')
                        topics[n_topics++] = optarg;
                else if (o == 'h')
                        return usage(stdout, EXIT_CODE_OK);
                else
                        return usage(stderr, EXIT_CODE_USAGE);
                if (!good)
                        return usage(stderr, EXIT_CODE_USAGE);
        }
        if (optind < argc)
                return usage(stderr, EXIT_CODE_USAGE);
        r = sd_event_new(&mock.event);
        if (r >= 0)
                r = block_signals(mock.event);
        if (r >= 0)
                r = cluster_start(&mock); /* its threads inherit the signal mask */
        for (size_t i = 0; i < n_topics && r >= 0; i++)
                r = add_topic(&mock, topics[i]);
        for (size_t i = 0; i < ELEMENTSOF(default_topics) && n_topics == 0 && r >= 0; i++)
                if (rd_kafka_mock_topic_create(mock.cluster, default_topics[i].name, default_topics[i].partitions, 1) !=
                    RD_KAFKA_RESP_ERR_NO_ERROR)
                        r = -EIO;
        if (r >= 0)
                r = mock_run(&mock, port, control);
        if (control)
                (void) unlink(control);
        while (mock.clients)
                (void) client_free(mock.clients);
        (void) kafka_relay_free(mock.relay);
        if (mock.cluster)
                rd_kafka_mock_cluster_destroy(mock.cluster);
        if (mock.rk)
                rd_kafka_destroy(mock.rk);
        sd_event_unref(mock.event);
        return r < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
