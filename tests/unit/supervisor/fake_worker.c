/* A worker that does no work, for the tests of the supervisor: speaks workers/worker_protocol.h and misbehaves as the
 * file $ROUNDTABLE_TEST_FAKE says, one word: ok, no-hello, no-ready, crash-start, segv, hang, exit75, exit78, late75
 * and late78 (exit when told to stop before they are ready), slow-stop (takes three seconds to end), ask (asks the
 * supervisor for its status and for a reload, and leaves the answers in $ROUNDTABLE_TEST_FAKE.answers). The file is
 * read at each start, so a test changes it between two. What was handed over is left in $ROUNDTABLE_TEST_FAKE.handover.
 */

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "workers/worker_protocol.h"

static volatile sig_atomic_t stop;

static void on_term(int signal) {
        (void) signal;
        stop = 1;
}

/* The first packet, left in $ROUNDTABLE_TEST_FAKE.sandbox. */
static void take_sandbox(const char *path) {
        char packet[4096], *out = NULL;
        ssize_t n = recv(WORKER_HANDOVER_FD, packet, sizeof packet, 0);
        json_t *sandbox = n > 0 ? json_loadb(packet, (size_t) n, 0, NULL) : NULL;

        if (!sandbox || asprintf(&out, "%s.sandbox", path) < 0 || json_dump_file(sandbox, out, 0) < 0)
                _exit(8);
        json_decref(sandbox);
        free(out);
}

static void say_hello(const char *family, int protocol) {
        char packet[256];
        int n = snprintf(
                packet, sizeof packet,
                "{\"protocol\":%d,\"family\":\"%s\",\"pid\":%d,\"version\":\"test\",\"landlock\":0,\"seccomp\":false}",
                protocol, family, (int) getpid());

        if (send(WORKER_HANDOVER_FD, packet, (size_t) n, 0) != n)
                _exit(3);
}

static json_t *take_handover(void) {
        union {
                char buffer[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control;
        char packet[256];
        struct iovec iov = { .iov_base = packet, .iov_len = sizeof packet };
        struct msghdr h = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
        };
        int fd;

        if (recvmsg(WORKER_HANDOVER_FD, &h, 0) <= 0 || !CMSG_FIRSTHDR(&h))
                _exit(4);
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof fd);
        return json_loadfd(fd, 0, NULL);
}

/* One request over the control socket beside $NOTIFY_SOCKET; the answer is appended to `out`. */
static void ask(const char *verb, FILE *out) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *notify = getenv("NOTIFY_SOCKET");
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char text[65536];
        ssize_t n;

        if (!notify || fd < 0)
                _exit(9);
        (void) snprintf(address.sun_path, sizeof address.sun_path, "%.*s/control",
                        (int) (strrchr(notify, '/') - notify), notify);
        (void) snprintf(text, sizeof text, "{\"protocol\":1,\"verb\":\"%s\"}\n", verb);
        if (connect(fd, (struct sockaddr *) &address, sizeof address) < 0 || write(fd, text, strlen(text)) < 0)
                _exit(10);
        while ((n = read(fd, text, sizeof text)) > 0) {
                (void) fwrite(text, 1, (size_t) n, out);
                if (text[n - 1] == '\n')
                        break;
        }
        (void) close(fd);
}

static void ask_all(const char *path) {
        char name[256], fresh[256];
        FILE *f;

        (void) snprintf(name, sizeof name, "%s.answers", path);
        (void) snprintf(fresh, sizeof fresh, "%s.new", path);
        f = fopen(fresh, "we");
        if (!f)
                _exit(11);
        ask("status", f);
        ask("reload", f);
        if (fclose(f) != 0 || rename(fresh, name) < 0)
                _exit(12);
}

static void read_word(const char *path, char word[static 32]) {
        FILE *f = fopen(path, "re");

        if (!f || fscanf(f, "%31s", word) != 1)
                _exit(5);
        (void) fclose(f);
}

int main(int argc, char **argv) {
        const char *path = getenv("ROUNDTABLE_TEST_FAKE");
        char word[32], *out = NULL;
        json_t *handover;

        if (argc != 4 || !path)
                return 2;
        (void) signal(SIGTERM, on_term);
        read_word(path, word);
        if (strcmp(word, "crash-start") == 0)
                return 1;
        if (strcmp(word, "exit75") == 0)
                return EXIT_CODE_TRY_AGAIN;
        if (strcmp(word, "exit78") == 0)
                return EXIT_CODE_CONFIG;
        while (strcmp(word, "no-hello") == 0 && !stop)
                (void) usleep(10000);
        take_sandbox(path);
        say_hello(argv[2], strcmp(word, "other-version") == 0 ? WORKER_PROTOCOL - 1 : WORKER_PROTOCOL);
        handover = take_handover();
        if (!handover || asprintf(&out, "%s.handover", path) < 0 || json_dump_file(handover, out, 0) < 0)
                return 6;
        json_decref(handover);
        free(out);
        while (strcmp(word, "no-ready") == 0 && !stop)
                (void) usleep(10000);
        if (strncmp(word, "late", 4) == 0) {
                while (!stop)
                        (void) usleep(10000);
                return (int) strtol(word + 4, NULL, 10);
        }
        if (sd_notify(0, "READY=1\nSTATUS=fake\nX_ROUNDTABLE_HEALTH=ok\nX_ROUNDTABLE_RUNNING=one,two") < 0)
                return 7;
        if (strcmp(word, "ask") == 0)
                ask_all(path);
        if (strcmp(word, "segv") == 0) {
                (void) signal(SIGSEGV, SIG_DFL);
                (void) raise(SIGSEGV);
        }
        while (strcmp(word, "hang") == 0)
                (void) usleep(10000);
        while (!stop) {
                (void) sd_notify(0, "WATCHDOG=1");
                (void) usleep(50000);
        }
        if (strcmp(word, "slow-stop") == 0)
                (void) sleep(3);
        return 0;
}
