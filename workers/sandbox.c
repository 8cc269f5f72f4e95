/* The sandbox. The order matters: oom_score_adj cannot be written any more once the process is not dumpable, and
 * Landlock and seccomp ask an unprivileged process for NO_NEW_PRIVS. */

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/log.h"
#include "workers/sandbox_internal.h"

/* A worker is to die before the supervisor, which starts it again. */
#define OOM_SCORE "200"

void sandbox_report_done(SandboxReport *r) {
        free(r->text);
        *r = (SandboxReport){ 0 };
}

static int set_oom_score(void) {
        _cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, OOM_SCORE, strlen(OOM_SCORE)) < 0 ? -errno : 0;
}

static int limit_files(int64_t n, Error *reterr) {
        struct rlimit limit;

        if (n <= 0)
                return 0;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot read the limit of open files: %m");
        if ((rlim_t) n < limit.rlim_max)
                limit.rlim_max = (rlim_t) n;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot set the limit of open files: %m");
        return 0;
}

/* What every Linux has and needs no privilege. */
static int enter_always(const SandboxOptions *options, Error *reterr) {
        int r;

        r = set_oom_score();
        if (r < 0)
                /* a lower score than the one we have, or a read-only /proc: the order of dying is a wish */
                log_debug("sandbox#enter", "oom_score_adj stays as it is: %s", strerror(-r));
        r = limit_files(options->open_files, reterr);
        if (r < 0)
                return r;
        if (setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot forbid core dumps: %m");
        if (!SANDBOX_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot forbid being traced: %m");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot give up new privileges: %m");
        return 0;
}

static int missing(const char *what, int r, Error *reterr) {
        (void) error_set(reterr, ERROR_NEVER, r, "%s is required but not available: %s", what, strerror(-r));
        error_set_hint(reterr, "set worker.sandbox = \"auto\", or start a kernel that has %s switched on", what);
        return r;
}

static char *describe(int landlock, int seccomp) {
        _cleanup_buffer_ Buffer b = { 0 };

        if (landlock > 0)
                (void) buffer_printf(&b, "Landlock ABI %d", landlock);
        else
                (void) buffer_printf(&b, "no Landlock (%s): secrets are not separated", strerror(-landlock));
        if (seccomp >= 0)
                (void) buffer_append_string(&b, ", seccomp");
        else
                (void) buffer_printf(&b, ", no seccomp (%s)", strerror(-seccomp));
        return buffer_take(&b);
}

int sandbox_enter(const SandboxOptions *options, SandboxReport *ret, Error *reterr) {
        bool required = str_eq(options->mode, "required");
        SandboxReport report = { 0 };
        int r, landlock, seccomp;

        r = enter_always(options, reterr);
        if (r < 0)
                return r;
        if (str_eq(options->mode, "off")) {
                report.text = strdup("switched off: secrets are not separated");
        } else {
                landlock = sandbox_enter_landlock(options);
                if (landlock < 0 && required)
                        return missing("Landlock", landlock, reterr);
                seccomp = sandbox_enter_seccomp();
                if (seccomp < 0 && required)
                        return missing("seccomp", seccomp, reterr);
                report.landlock_abi = landlock > 0 ? landlock : 0;
                report.seccomp = seccomp >= 0;
                report.text = describe(landlock, seccomp);
        }
        if (!report.text)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        *ret = report;
        return 0;
}
