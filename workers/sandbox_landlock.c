/* Landlock: which files a worker may open. What must stay true: neither the settings' files (/etc/roundtable,
 * /etc/default/roundtable) nor $CREDENTIALS_DIRECTORY nor a home is among them, so that a worker has no secret but
 * those it was handed. The kernel is called directly, and its ABI is asked at run time: a C library that knows the
 * calls or headers that know the younger flags are not to be expected. */

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "workers/sandbox_internal.h"

#define ACCESS_FS_TRUNCATE (1ULL << 14)        /* ABI 3 */
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ULL << 1)               /* ABI 6 */

typedef struct RulesetAttributes {
        uint64_t handled_access_fs, handled_access_net, scoped;
} RulesetAttributes;

typedef struct Ruleset {
        int fd;
        uint64_t handled;
} Ruleset;

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_LOAD (FS_READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define FS_WRITE                                                                                                       \
        (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |              \
         LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                    \
         LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |                 \
         LANDLOCK_ACCESS_FS_MAKE_SYM)
#define FS_RUNTIME                                                                                                     \
        (FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG |      \
         LANDLOCK_ACCESS_FS_MAKE_SOCK | ACCESS_FS_TRUNCATE)
/* What a rule for something that is no directory may hold. */
#define FS_FILE                                                                                                        \
        (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | ACCESS_FS_TRUNCATE)

static const struct {
        const char *path;
        uint64_t access;
} allowed[] = {
        /* libraries and their data: name service modules are loaded late */
        { "/usr", FS_LOAD },
        { "/lib", FS_LOAD },
        { "/lib64", FS_LOAD },
        { "/etc/ld.so.cache", FS_READ },
        /* names and users */
        { "/etc/resolv.conf", FS_READ },
        { "/run/systemd/resolve", FS_READ },
        { "/run/NetworkManager", FS_READ },
        { "/run/resolvconf", FS_READ },
        { "/etc/hosts", FS_READ },
        { "/etc/host.conf", FS_READ },
        { "/etc/hostname", FS_READ },
        { "/etc/nsswitch.conf", FS_READ },
        { "/etc/gai.conf", FS_READ },
        { "/etc/services", FS_READ },
        { "/etc/protocols", FS_READ },
        { "/etc/passwd", FS_READ },
        { "/etc/group", FS_READ },
        { "/etc/machine-id", FS_READ },
        { "/run/nscd", FS_READ },
        { "/run/systemd/userdb", FS_READ },
        { "/var/lib/sss", FS_READ },
        /* TLS; private keys are not needed */
        { "/etc/ssl/certs", FS_READ },
        { "/etc/ssl/cert.pem", FS_READ },
        { "/etc/ssl/openssl.cnf", FS_READ },
        { "/etc/pki/tls", FS_READ },
        { "/etc/pki/ca-trust/extracted", FS_READ },
        { "/etc/ca-certificates", FS_READ },
        { "/etc/gnutls", FS_READ },
        { "/etc/krb5.conf", FS_READ },
        /* time: the rest is in /usr/share/zoneinfo */
        { "/etc/localtime", FS_READ },
        { "/etc/timezone", FS_READ },
        /* the process and the machine */
        { "/proc", FS_READ },
        { "/sys/devices/system/cpu", FS_READ },
        { "/sys/fs/cgroup", FS_READ },
        { "/dev/null", FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE },
        { "/dev/urandom", FS_READ },
        { "/dev/random", FS_READ },
};

static int add_path(const Ruleset *ruleset, const char *path, uint64_t access) {
        _cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
        struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = access & ruleset->handled };
        struct stat st;

        /* what this system does not have, or does not show us, needs no rule */
        if (fd < 0)
                return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                rule.allowed_access &= FS_FILE;
        return syscall(SYS_landlock_add_rule, ruleset->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

static int add_paths(const Ruleset *ruleset, const char *const *paths, uint64_t access) {
        int r;

        for (; paths && *paths; paths++) {
                r = add_path(ruleset, *paths, access);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Test builds write where the test says: failpoints, and the reports of sanitizers. */
static int add_test_paths(_unused_ const Ruleset *ruleset) {
#ifdef ROUNDTABLE_TESTING
        static const char *const names[] = { "ROUNDTABLE_FAILPOINT_RECORD", "ROUNDTABLE_FAILPOINT_ONCE" };
        int r = SANDBOX_SANITIZED ? add_path(ruleset, "/tmp", FS_RUNTIME) : 0;

        for (size_t i = 0; i < ELEMENTSOF(names) && r >= 0; i++) {
                const char *value = getenv(names[i]), *slash = value ? strrchr(value, '/') : NULL;
                _cleanup_free_ char *directory = slash ? strndup(value, (size_t) (slash - value)) : NULL;

                if (!str_empty(directory))
                        r = add_path(ruleset, directory, FS_RUNTIME);
        }
        return r;
#else
        return 0;
#endif
}

static int add_rules(const Ruleset *ruleset, const SandboxOptions *options) {
        int r;

        for (size_t i = 0; i < ELEMENTSOF(allowed); i++) {
                r = add_path(ruleset, allowed[i].path, allowed[i].access);
                if (r < 0)
                        return r;
        }
        r = add_paths(ruleset, options->read_paths, FS_READ);
        if (r < 0)
                return r;
        r = add_paths(ruleset, options->write_paths, FS_RUNTIME);
        if (r < 0)
                return r;
        return add_test_paths(ruleset);
}

/* Signals stay within the worker. So do abstract sockets, unless the service manager listens on one. */
static uint64_t wanted_scope(void) {
        const char *notify = getenv("NOTIFY_SOCKET");

        return notify && *notify == '@' ? SCOPE_SIGNAL : SCOPE_SIGNAL | SCOPE_ABSTRACT_UNIX_SOCKET;
}

int sandbox_enter_landlock(const SandboxOptions *options) {
        RulesetAttributes attributes = { .handled_access_fs = FS_READ | FS_WRITE | LANDLOCK_ACCESS_FS_EXECUTE };
        size_t size = sizeof(attributes.handled_access_fs); /* all that ABI 1 knows */
        _cleanup_close_ int fd = -EBADF;
        Ruleset ruleset;
        int abi, r;

#ifdef ROUNDTABLE_TESTING
        if (getenv("ROUNDTABLE_TEST_NO_LANDLOCK"))
                return -EOPNOTSUPP;
#endif
        abi = (int) syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
        if (abi < 0)
                /* ENOSYS: built without; EOPNOTSUPP: not switched on; EPERM: a container's filter */
                return errno == ENOSYS || errno == EPERM ? -EOPNOTSUPP : -errno;
        if (abi >= 3)
                attributes.handled_access_fs |= ACCESS_FS_TRUNCATE;
        if (abi >= 6) {
                attributes.scoped = wanted_scope();
                size = sizeof(attributes);
        }
        fd = (int) syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
        if (fd < 0)
                return -errno;
        ruleset = (Ruleset){ .fd = fd, .handled = attributes.handled_access_fs };
        r = add_rules(&ruleset, options);
        if (r < 0)
                return r;
        return syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : abi;
}
