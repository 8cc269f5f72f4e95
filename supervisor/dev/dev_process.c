/* Children of `roundtable dev`. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "build_paths.h"
#include "common/clock.h"
#include "supervisor/dev/dev_internal.h"

char *dev_program(const char *name) {
        static const char *const places[] = { "", "/../workers", "/../libexec/roundtable" };
        char own[PATH_MAX], *slash;
        ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

        if (n > 0) {
                own[n] = '\0';
                slash = strrchr(own, '/');
                if (slash)
                        *slash = '\0';
                for (size_t i = 0; i < ELEMENTSOF(places); i++) {
                        char *path = str_printf("%s%s/%s", own, places[i], name);

                        if (!path || access(path, X_OK) >= 0)
                                return path;
                        free(path);
                }
        }
        return str_printf("%s/%s", ROUNDTABLE_LIBEXECDIR, name);
}

/* Between fork and exec; only this thread exists. */
static void child(const Dev *d, pid_t parent, const char *name, const char *const *argv, int stdout_fd, bool logged) {
        char path[PATH_MAX + 64];
        sigset_t none;
        int fd;

        (void) setpgid(0, 0);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(127);
        (void) sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void) dup2(fd, STDIN_FILENO);
        if (logged) {
                (void) snprintf(path, sizeof(path), "%s/%s.log", d->state, name);
                fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
                if (fd >= 0) {
                        (void) dup2(fd, STDERR_FILENO);
                        (void) dup2(stdout_fd >= 0 ? stdout_fd : fd, STDOUT_FILENO);
                }
        }
        (void) execvp(argv[0], (char *const *) argv);
        dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
        _exit(127);
}

int dev_spawn(Dev *d, DevProcess *p, const char *const *argv, int stdout_fd, Error *reterr) {
        pid_t parent = getpid(), pid = fork();

        if (pid < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot start %s: %s", p->name, strerror(errno));
        if (pid == 0)
                child(d, parent, p->name, argv, stdout_fd, true);
        p->pid = pid;
        return 0;
}

/* Collects who ended; names the first of our processes among them. */
static int reap(Dev *d, Error *reterr) {
        int status, r = 0;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                for (size_t i = 0; i < DEV_PROCESSES; i++)
                        if (d->processes[i].pid == pid) {
                                d->processes[i].pid = 0;
                                r = error_set(reterr, ERROR_NEVER, -ECHILD, "%s ended with %s %d", d->processes[i].name,
                                              WIFEXITED(status) ? "status" : "signal",
                                              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
                                error_set_hint(reterr, "see %s/%s.log", d->state, d->processes[i].name);
                        }
        return r;
}

int dev_wait(Dev *d, int msec, Error *reterr) {
        struct pollfd p = { .fd = d->signals, .events = POLLIN };
        struct signalfd_siginfo info;
        int r = poll(&p, 1, msec);

        if (r > 0 && read(d->signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGCHLD)
                d->interrupted = true;
        if (d->interrupted)
                return error_set(reterr, ERROR_CANCELED, -EINTR, "interrupted");
        return reap(d, reterr);
}

int dev_run(Dev *d, const char *name, const char *const *argv, Error *reterr) {
        pid_t parent = getpid(), pid = fork();
        bool asked = false;
        int status;

        if (pid < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot start %s: %s", name, strerror(errno));
        if (pid == 0)
                child(d, parent, name, argv, -1, str_eq(name, "initdb"));
        for (;;) {
                struct pollfd p = { .fd = d->signals, .events = POLLIN };
                struct signalfd_siginfo info;
                pid_t ended = waitpid(pid, &status, WNOHANG);

                if (ended == pid)
                        break;
                if (ended < 0)
                        return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", name, strerror(errno));
                if (poll(&p, 1, 1000) > 0 && read(d->signals, &info, sizeof(info)) == sizeof(info) &&
                    info.ssi_signo != SIGCHLD) {
                        /* a second Ctrl-C does not wait for it any longer */
                        (void) kill(pid, asked ? SIGKILL : SIGTERM);
                        asked = d->interrupted = true;
                }
        }
        if (d->interrupted)
                return error_set(reterr, ERROR_CANCELED, -EINTR, "interrupted");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return error_set(reterr, ERROR_NEVER, -EIO, "%s failed with %s %d", name,
                                 WIFEXITED(status) ? "status" : "signal",
                                 WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
        return 0;
}

static void stop(DevProcess *p) {
        uint64_t end = clock_monotonic_usec() + p->stop_seconds * USEC_PER_SEC;

        if (p->pid <= 0)
                return;
        (void) kill(p->pid, SIGCONT);
        (void) kill(p->pid, p->stop_signal);
        while (waitpid(p->pid, NULL, WNOHANG) == 0) {
                if (clock_monotonic_usec() > end) {
                        fprintf(stderr, "dev: %s does not stop; killing it\n", p->name);
                        (void) kill(p->pid, SIGKILL);
                        (void) waitpid(p->pid, NULL, 0);
                        break;
                }
                (void) poll(NULL, 0, 10);
        }
        p->pid = 0;
}

void dev_stop_all(Dev *d) {
        for (size_t i = DEV_PROCESSES; i-- > 0;)
                stop(d->processes + i);
}
