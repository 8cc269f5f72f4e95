/* See worker_lock_file.h. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "workers/worker_lock_file.h"

static void read_holder(int fd, char *ret, size_t size) {
        ssize_t n = pread(fd, ret, size - 1, 0);

        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
}

/* The service of this process, from its control group; NULL without one. Not sd_pid_get_unit(): that looks at process
 * 1, which ProtectProc=invisible hides. */
static char *own_unit(void) {
        FILE *f = fopen("/proc/self/cgroup", "re");
        char line[4096], *unit = NULL;

        while (f && !unit && fgets(line, sizeof(line), f)) {
                char *rest = line;

                for (char *part; (part = strsep(&rest, "/\n"));) {
                        const char *dot = strrchr(part, '.');

                        if (dot && str_eq(dot, ".service")) {
                                free(unit);
                                unit = strdup(part); /* the innermost one: user managers are services too */
                        }
                }
        }
        if (f)
                (void) fclose(f);
        return unit;
}

static int write_holder(int fd, Error *reterr) {
        _cleanup_free_ char *unit = own_unit(), *text = NULL;

        text = str_printf("%d %s\n", (int) getpid(), unit ?: "-");
        if (!text)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) != (ssize_t) strlen(text))
                return error_set(reterr, ERROR_RETRY, -errno, "cannot write the lock file: %m");
        return 0;
}

int worker_lock_file_open(const char *runtime_dir, const char *family, Error *reterr) {
        _cleanup_free_ char *path = str_printf("%s/worker-%s.lock", runtime_dir, family);
        _cleanup_close_ int fd = -EBADF;
        char holder[256];
        int r;

        if (!path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot open %s: %m", path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return error_set(reterr, ERROR_NEVER, -errno, "cannot lock %s: %m", path);
                read_holder(fd, holder, sizeof holder);
                (void) error_set(reterr, ERROR_RETRY, -EBUSY, "another worker of family %s runs: process %s", family,
                                 *holder ? holder : "(unknown)");
                error_set_hint(reterr, "stop it first, or use another supervisor.runtime_dir");
                return -EBUSY;
        }
        r = write_holder(fd, reterr);
        return r < 0 ? r : take_fd(&fd);
}
