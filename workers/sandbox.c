/* The sandbox. Order matters: oom_score_adj cannot be written any more once the process is not dumpable, and Landlock
 * and seccomp need NO_NEW_PRIVS where the process has no privileges. */

#include <fcntl.h>
#include <limits.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "workers/sandbox.h"

#define OOM_SCORE "200"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Younger than Debian 12's kernel headers. */
#define ACCESS_FS_TRUNCATE (1ULL << 14) /* ABI 3 */
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ULL << 1)

typedef struct Ruleset {
        uint64_t handled_access_fs, handled_access_net, scoped;
} Ruleset;

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_WRITE                                                                                             \
        (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |    \
         LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |          \
         LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |       \
         LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FS_RUNTIME                                                                                           \
        (FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                          \
         LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | ACCESS_FS_TRUNCATE)
#define FS_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | ACCESS_FS_TRUNCATE)

/* Not among them: /etc/roundtable, /etc/default, credentials, state directories, homes. Sockets of servers need no rule,
 * connecting is not a file access for Landlock. */
static const char *const readable[] = {
        /* names, users */
        "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/services", "/etc/protocols",
        "/etc/gai.conf", "/etc/passwd", "/etc/group", "/etc/hostname", "/etc/machine-id", "/run/systemd/resolve",
        "/run/systemd/userdb", "/run/nscd", "/var/lib/sss",
        /* TLS */
        "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/ca-certificates.conf", "/etc/krb5.conf",
        /* time */
        "/etc/localtime", "/etc/timezone",
        /* libraries and their data: name service modules are loaded late */
        "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/lib", "/lib64", "/usr/lib", "/usr/lib64",
        "/usr/share", "/usr/local/lib", "/usr/local/share",
        "/proc", "/sys/devices/system/cpu", "/sys/fs/cgroup", "/dev/urandom", "/dev/random",
};

static int add_path(int ruleset, const char *path, uint64_t access, uint64_t handled) {
        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
        struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = access & handled };
        struct stat st;

        /* what this system does not have needs no rule */
        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                rule.allowed_access &= FS_FILE;
        return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

#ifdef ROUNDTABLE_TESTING
/* Test builds write where the test says: failpoints, and the reports of sanitizers. */
static int add_test_paths(int ruleset, uint64_t handled) {
        static const char *const names[] = { "ROUNDTABLE_FAILPOINT_RECORD", "ROUNDTABLE_FAILPOINT_ONCE" };
        int r = SANITIZED ? add_path(ruleset, "/tmp", FS_RUNTIME, handled) : 0;

        for (size_t i = 0; i < ELEMENTSOF(names) && r >= 0; i++) {
                const char *value = getenv(names[i]), *slash = value ? strrchr(value, '/') : NULL;
                _cleanup_free_ char *directory = slash ? strndup(value, (size_t) (slash - value)) : NULL;

                if (directory && *directory)
                        r = add_path(ruleset, directory, FS_RUNTIME, handled);
        }
        return r;
}
#endif

/* Returns the ABI in force, 0 when the kernel has none. */
static int enter_landlock(const SandboxPaths *paths) {
        Ruleset attributes = { .handled_access_fs = FS_READ | FS_WRITE | LANDLOCK_ACCESS_FS_EXECUTE };
        size_t size = sizeof(uint64_t);
        _cleanup_close_ int ruleset = -EBADF;
        int abi, r = 0;

        abi = (int) syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (abi < 0)
                return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ? 0 : -errno;
        if (abi >= 3)
                attributes.handled_access_fs |= ACCESS_FS_TRUNCATE;
        if (abi >= 6) {
                attributes.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
                size = sizeof(attributes);
        }
        ruleset = (int) syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
        if (ruleset < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(readable) && r >= 0; i++)
                r = add_path(ruleset, readable[i], FS_READ | LANDLOCK_ACCESS_FS_EXECUTE, attributes.handled_access_fs);
        for (const char *const *f = paths->files; f && *f && r >= 0; f++)
                r = add_path(ruleset, *f, FS_READ, attributes.handled_access_fs);
        if (r >= 0)
                r = add_path(ruleset, "/dev/null", FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE, attributes.handled_access_fs);
        if (r >= 0 && paths->runtime_dir)
                r = add_path(ruleset, paths->runtime_dir, FS_RUNTIME, attributes.handled_access_fs);
#ifdef ROUNDTABLE_TESTING
        if (r >= 0)
                r = add_test_paths(ruleset, attributes.handled_access_fs);
#endif
        if (r < 0)
                return r;
        return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : abi;
}

/* A deny-list: the libraries of the clients may need any of the others. */
static int enter_seccomp(void) {
        static const int denied[] = {
#if !SANITIZED
                /* the leak checker traces its own process, reports are made readable by another program */
                SCMP_SYS(ptrace), SCMP_SYS(execve), SCMP_SYS(execveat),
#endif
                SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),
                SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(move_mount),
                SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(unshare), SCMP_SYS(setns),
                SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(open_by_handle_at),
                SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
                SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct),
                SCMP_SYS(quotactl), SCMP_SYS(add_key), SCMP_SYS(keyctl), SCMP_SYS(request_key), SCMP_SYS(settimeofday),
                SCMP_SYS(clock_settime), SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex), SCMP_SYS(sethostname),
                SCMP_SYS(setdomainname), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(syslog), SCMP_SYS(vhangup),
        };
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int r = filter ? 0 : -ENOMEM;

        for (size_t i = 0; i < ELEMENTSOF(denied) && r >= 0; i++) {
                /* negative numbers: not of this architecture */
                if (denied[i] < 0)
                        continue;
                r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
        }
        if (r >= 0)
                r = seccomp_load(filter);
        if (filter)
                seccomp_release(filter);
        return r;
}

static int set_oom_score(void) {
        _cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        /* a worker goes before the supervisor does; where /proc is not ours to write that is no reason to fail */
        if (fd < 0)
                return -errno;
        return write(fd, OOM_SCORE, strlen(OOM_SCORE)) < 0 ? -errno : 0;
}

int sandbox_enter(const char *mode, const SandboxPaths *paths, Sandbox *ret, Error *reterr) {
        bool required = str_eq(mode, "required");
        Sandbox s = { 0 };
        int r;

        (void) set_oom_score();
        if (setrlimit(RLIMIT_CORE, &(struct rlimit) { 0, 0 }) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot forbid core dumps: %m");
#if !SANITIZED
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot forbid being traced: %m");
#endif
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot give up new privileges: %m");
        if (str_eq(mode, "off")) {
                *ret = s;
                return 0;
        }
        s.landlock = enter_landlock(paths);
        if (s.landlock < 0 || (required && s.landlock == 0)) {
                r = s.landlock < 0 ? s.landlock : -EOPNOTSUPP;
                if (required) {
                        (void) error_set(reterr, ERROR_NEVER, r, "Landlock is not available: %s", strerror(-r));
                        error_set_hint(reterr, "set worker.sandbox = \"auto\", or use a kernel with Landlock enabled");
                        return r;
                }
                s.landlock = 0;
        }
        r = enter_seccomp();
        if (r < 0 && required) {
                (void) error_set(reterr, ERROR_NEVER, r, "seccomp is not available: %s", strerror(-r));
                error_set_hint(reterr, "set worker.sandbox = \"auto\"");
                return r;
        }
        s.seccomp = r >= 0;
        *ret = s;
        return 0;
}

int64_t sandbox_limit_files(int64_t n) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        limit.rlim_cur = (rlim_t) n < limit.rlim_max ? (rlim_t) n : limit.rlim_max;
        limit.rlim_max = limit.rlim_cur;
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : (int64_t) limit.rlim_cur;
}
