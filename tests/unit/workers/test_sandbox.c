/* The sandbox, each time in a child of its own: what it forbids is really forbidden, what a worker needs still works.
 */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "workers/sandbox_internal.h"

/* A secret beside an allowed directory. Not in /tmp: test builds with a sanitizer may write there. */
typedef struct Place {
        char root[64], allowed[80], runtime[80], secret[80];
} Place;

static void write_file(const char *path) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        cr_assert_geq(fd, 0, "%s: %m", path);
        cr_assert_eq(write(fd, "x", 1), 1);
}

static Place place_new(void) {
        Place p = { .root = "/var/tmp/roundtable-sandbox-XXXXXX" };

        cr_assert(mkdtemp(p.root), "%m");
        (void) snprintf(p.allowed, sizeof(p.allowed), "%s/allowed", p.root);
        (void) snprintf(p.runtime, sizeof(p.runtime), "%s/runtime", p.root);
        (void) snprintf(p.secret, sizeof(p.secret), "%s/secret", p.root);
        cr_assert_eq(mkdir(p.runtime, 0700), 0);
        write_file(p.allowed);
        write_file(p.secret);
        return p;
}

static void place_done(Place *p) {
        char path[PATH_MAX];

        (void) snprintf(path, sizeof(path), "%s/made", p->runtime);
        (void) unlink(path);
        (void) unlink(p->allowed);
        (void) unlink(p->secret);
        (void) rmdir(p->runtime);
        (void) rmdir(p->root);
}
#define _place_ _cleanup_(place_done)

/* What a child finds wrong goes to stderr and makes it exit 1; exit 77: this kernel has no Landlock. */
#define CHECK(condition)                                                                                               \
        do {                                                                                                           \
                if (!(condition)) {                                                                                    \
                        (void) fprintf(stderr, "%s:%d: %s (errno %d)\n", __func__, __LINE__, #condition, errno);       \
                        _exit(1);                                                                                      \
                }                                                                                                      \
        } while (false)

static void in_child(void (*body)(const Place *), const Place *p) {
        int status;
        pid_t pid;

        (void) fflush(NULL);
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
                body(p);
                _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status), "the child died by signal %d", WTERMSIG(status));
        if (WEXITSTATUS(status) == 77)
                cr_skip("this kernel has no Landlock");
        cr_assert_eq(WEXITSTATUS(status), 0);
}

static SandboxReport enter(const Place *p, const char *mode) {
        const char *const read_paths[] = { p->allowed, "/nonexistent/ca.pem", NULL };
        const char *const write_paths[] = { p->runtime, NULL };
        SandboxOptions options = {
                .mode = mode, .read_paths = read_paths, .write_paths = write_paths, .open_files = 128
        };
        _cleanup_error_ Error e = ERROR_INIT;
        SandboxReport report = { 0 };

        if (sandbox_enter(&options, &report, &e) < 0) {
                (void) fprintf(stderr, "%s\n", error_text(&e));
                _exit(1);
        }
        return report;
}

/* 0 or -errno of opening. */
static int try_open(const char *path, int flags) {
        _cleanup_close_ int fd = open(path, flags | O_CLOEXEC, 0600);

        return fd < 0 ? -errno : 0;
}

static void files_body(const Place *p) {
        SandboxReport report = enter(p, "auto");
        char path[PATH_MAX];

        if (report.landlock_abi == 0)
                _exit(77);
        CHECK(try_open(p->secret, O_RDONLY) == -EACCES);
        CHECK(try_open(p->secret, O_WRONLY) == -EACCES);
        CHECK(try_open(p->root, O_RDONLY | O_DIRECTORY) == -EACCES);
        CHECK(try_open("/etc/shadow", O_RDONLY) == -EACCES || access("/etc/shadow", F_OK) < 0);
        CHECK(try_open("/etc/default", O_RDONLY | O_DIRECTORY) == -EACCES || access("/etc/default", F_OK) < 0);
        CHECK(try_open(p->allowed, O_RDONLY) == 0);
        CHECK(try_open(p->allowed, O_WRONLY) == -EACCES);
        CHECK(unlink(p->allowed) < 0 && errno == EACCES);
        /* the runtime directory: lock file and socket come and go */
        (void) snprintf(path, sizeof(path), "%s/made", p->runtime);
        CHECK(try_open(path, O_RDWR | O_CREAT) == 0);
        CHECK(unlink(path) == 0);
        CHECK(try_open("/etc/nsswitch.conf", O_RDONLY) == 0 || access("/etc/nsswitch.conf", F_OK) < 0);
        CHECK(try_open("/usr/share/zoneinfo/UTC", O_RDONLY) == 0 || access("/usr/share/zoneinfo/UTC", F_OK) < 0);
        CHECK(try_open("/proc/self/stat", O_RDONLY) == 0);
        CHECK(try_open("/dev/null", O_RDWR) == 0);
        CHECK(try_open("/dev/urandom", O_RDONLY) == 0);
        sandbox_report_done(&report);
}

Test(sandbox, files_not_named_are_denied) {
        _place_ Place p = place_new();

        in_child(files_body, &p);
}

/* The number behind "name:" in /proc/self/status, or -1. */
static int status_number(const char *name) {
        FILE *f = fopen("/proc/self/status", "re");
        char line[256];
        int value = -1;

        if (!f)
                return -1;
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
                        value = (int) strtol(line + strlen(name) + 1, NULL, 10);
        (void) fclose(f);
        return value;
}

static void process_body(const Place *p) {
        SandboxReport report = enter(p, "auto");
        struct rlimit limit;
        char score[16] = "";
        _cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

        CHECK(status_number("NoNewPrivs") == 1);
        CHECK(report.seccomp && status_number("Seccomp") == 2);
        CHECK(strstr(report.text, "seccomp"));
        CHECK(fd >= 0 && read(fd, score, sizeof(score) - 1) > 0 && strtol(score, NULL, 10) >= 200);
        CHECK(prctl(PR_GET_DUMPABLE) == (SANDBOX_SANITIZED ? 1 : 0));
        CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 128 && limit.rlim_max == 128);
        CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
        /* as root these would get past the kernel's own checks */
        CHECK(mount("none", p->runtime, "tmpfs", 0, NULL) < 0 && errno == EPERM);
        CHECK(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0) < 0 && errno == EPERM);
        CHECK(syscall(SYS_keyctl, 0, 0, 0, 0, 0) < 0 && errno == EPERM);
        CHECK(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) < 0 && errno == EPERM);
        CHECK(SANDBOX_SANITIZED || (syscall(SYS_ptrace, 0, 0, 0, 0) < 0 && errno == EPERM));
        sandbox_report_done(&report);
}

Test(sandbox, process_has_given_up_its_powers) {
        _place_ Place p = place_new();

        in_child(process_body, &p);
}

static void off_body(const Place *p) {
        SandboxReport report = enter(p, "off");

        CHECK(report.landlock_abi == 0 && !report.seccomp);
        CHECK(try_open(p->secret, O_RDONLY) == 0);
        CHECK(status_number("NoNewPrivs") == 1);
        CHECK(strstr(report.text, "secrets are not separated"));
        sandbox_report_done(&report);
}

Test(sandbox, off_leaves_files_alone_but_not_privileges) {
        _place_ Place p = place_new();

        in_child(off_body, &p);
}

/* A process that can have no descriptor stands for a kernel that refuses. */
static void required_body(const Place *p) {
        SandboxOptions options = { .mode = "required" };
        _cleanup_error_ Error e = ERROR_INIT;
        SandboxReport report = { 0 };
        struct rlimit none = { 0, 0 };

        (void) p;
        CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
        CHECK(sandbox_enter(&options, &report, &e) < 0);
        CHECK(e.kind == ERROR_NEVER && e.hint && strstr(error_text(&e), "required"));
        /* the same in auto mode is no failure, and is told */
        options.mode = "auto";
        CHECK(sandbox_enter(&options, &report, NULL) == 0);
        CHECK(report.landlock_abi == 0 && report.seccomp && strstr(report.text, "no Landlock"));
        sandbox_report_done(&report);
        error_done(&e);
        e = ERROR_INIT;
}

Test(sandbox, required_refuses_where_auto_goes_on) {
        _place_ Place p = place_new();

        in_child(required_body, &p);
}
