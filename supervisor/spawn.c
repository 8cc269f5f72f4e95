/* Fork and exec of a worker. The child inherits nothing but what workers/worker_protocol.h names: three standard
 * descriptors, the hand-over socket, a scrubbed environment. Between fork and exec only what is safe there is called.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "supervisor/supervisor.h"
#include "workers/worker_protocol.h"

#define MAX_ENVIRONMENT 64

typedef struct Environment {
        char *items[MAX_ENVIRONMENT + 1];
        size_t n;
} Environment;

static void environment_done(Environment *e) {
        for (size_t i = 0; i < e->n; i++)
                free(e->items[i]);
}

static int environment_add(Environment *e, char *item) {
        if (!item || e->n >= MAX_ENVIRONMENT) {
                free(item);
                return -ENOMEM;
        }
        e->items[e->n++] = item;
        return 0;
}

static int environment_build(const WorkerProcess *w, Environment *e) {
        static const char *const kept[] = { "PATH", "LANG", "LC_ALL", "TZ", "JOURNAL_STREAM" };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(kept) && r >= 0; i++)
                if (getenv(kept[i]))
                        r = environment_add(e, str_printf("%s=%s", kept[i], getenv(kept[i])));
        if (r >= 0)
                r = environment_add(e, str_printf("NOTIFY_SOCKET=%s", w->supervisor->notify_path));
        if (r >= 0)
                r = environment_add(e, str_printf("WATCHDOG_USEC=%" PRIu64, w->watchdog_usec));
#ifdef ROUNDTABLE_TESTING
        /* Failpoints, injected clocks; and where sanitizers and coverage write. */
        for (char **p = environ; *p && r >= 0; p++)
                if (strncmp(*p, "ROUNDTABLE_", 11) == 0 || strncmp(*p, "ASAN_", 5) == 0 ||
                    strncmp(*p, "UBSAN_", 6) == 0 || strncmp(*p, "LSAN_", 5) == 0 || strncmp(*p, "TSAN_", 5) == 0)
                        r = environment_add(e, strdup(*p));
#endif
        return r;
}

_Noreturn static void child_fail(const char *what) {
        (void) !write(STDERR_FILENO, what, strlen(what));
        _exit(EXIT_CODE_FAILED);
}

_Noreturn static void child(const char *path, char *const *argv, char *const *envp, pid_t parent, int handover_fd,
                            int cgroup_fd) {
        struct sigaction standard = { .sa_handler = SIG_DFL };
        sigset_t none;
        int null;

        if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                child_fail("roundtable: cannot set up a worker process\n");
        /* The parent may have died before the prctl: then nobody would ever send that signal. */
        if (getppid() != parent)
                _exit(EXIT_CODE_FAILED);
        if (cgroup_fd >= 0 && write(cgroup_fd, "0", 1) < 0)
                child_fail("roundtable: cannot move a worker into its control group\n");
        for (int i = 1; i < NSIG; i++)
                (void) sigaction(i, &standard, NULL); /* fails for SIGKILL, SIGSTOP and libc's own */
        sigemptyset(&none);
        if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                child_fail("roundtable: cannot reset a worker's signals\n");
        null = open("/dev/null", O_RDONLY);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0)
                child_fail("roundtable: cannot open /dev/null\n");
        if (handover_fd == WORKER_HANDOVER_FD) {
                if (fcntl(handover_fd, F_SETFD, 0) < 0)
                        child_fail("roundtable: cannot pass a worker's hand-over socket\n");
        } else if (dup2(handover_fd, WORKER_HANDOVER_FD) < 0)
                child_fail("roundtable: cannot pass a worker's hand-over socket\n");
        if (close_range(WORKER_HANDOVER_FD + 1, ~0U, 0) < 0)
                child_fail("roundtable: cannot close descriptors\n");
        execve(path, argv, envp);
        child_fail("roundtable: cannot execute the worker program\n");
}

pid_t worker_spawn(WorkerProcess *w, int *ret_fd, Error *reterr) {
        char *argv[] = { w->supervisor->worker_path, (char *) "--family", (char *) w->manifest->name,
                         (char *) "--supervised", NULL };
        _cleanup_(environment_done) Environment environment = { 0 };
        _cleanup_close_ int cgroup_fd = -EBADF, ours = -EBADF, theirs = -EBADF;
        int pair[2];
        pid_t pid, parent = getpid();
        int r;

        if (environment_build(w, &environment) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "cannot make a worker's environment");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot make a hand-over socket: %m");
        ours = pair[0];
        theirs = pair[1];
        if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot set up a hand-over socket: %m");
        r = worker_sandbox_send(w, ours, reterr);
        if (r < 0)
                return r;
        cgroup_fd = cgroup_open_worker(w);
        pid = fork();
        if (pid < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot fork: %m");
        if (pid == 0)
                child(w->supervisor->worker_path, argv, environment.items, parent, theirs, cgroup_fd);
        *ret_fd = take_fd(&ours);
        return pid;
}
