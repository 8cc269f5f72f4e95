/* Control groups, where systemd delegated ours: the supervisor moves into a leaf, each worker gets its own. Without
 * delegation, or with a tree that has no memory controller, nothing is done and nothing fails. */

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "common/log.h"
#include "supervisor/supervisor.h"

#define AT "supervisor#cgroup"

static int write_text(int directory_fd, const char *name, const char *text) {
        _cleanup_close_ int fd = openat(directory_fd, name, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                return -errno;
        return 0;
}

static char *own_group(void) {
        _cleanup_(free_p) char *line = NULL;
        FILE *f = fopen("/proc/self/cgroup", "re");
        size_t size = 0;
        char *path = NULL;

        if (!f)
                return NULL;
        while (!path && getline(&line, &size, f) > 0) {
                line[strcspn(line, "\n")] = '\0';
                if (strncmp(line, "0::/", 4) == 0)
                        path = strdup(line + 3);
        }
        (void) fclose(f);
        return path;
}

static int open_delegated(void) {
        static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
        _cleanup_free_ char *group = own_group();

        for (size_t i = 0; group && i < ELEMENTSOF(roots); i++) {
                _cleanup_free_ char *path = str_printf("%s%s", roots[i], group);
                char value[2] = { 0 };

                /* systemd marks what it delegated. */
                if (path && getxattr(path, "user.delegate", value, 1) == 1 && value[0] == '1')
                        return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        return -ENOENT;
}

void cgroup_setup(Supervisor *s) {
        s->cgroup_fd = open_delegated();
        if (s->cgroup_fd < 0)
                return;
        /* A group with processes of its own may not have groups with controllers below it. */
        if ((mkdirat(s->cgroup_fd, "supervisor", 0755) < 0 && errno != EEXIST) ||
            write_text(s->cgroup_fd, "supervisor/cgroup.procs", "0") < 0) {
                log_notice(AT, "cannot use the delegated control group, workers stay in the service's own: %s",
                           strerror(errno));
                s->cgroup_fd = close_fd(s->cgroup_fd);
                return;
        }
        if (write_text(s->cgroup_fd, "cgroup.subtree_control", "+memory") < 0)
                log_debug(AT, "no memory controller: worker.memory_max is not enforced");
}

int cgroup_open_worker(const WorkerProcess *w) {
        _cleanup_free_ char *name = NULL, *file = NULL, *limit = NULL;
        Supervisor *s = w->supervisor;
        int64_t memory_max;

        if (s->cgroup_fd < 0)
                return -ENOENT;
        name = str_printf("worker-%s", w->manifest->name);
        file = str_printf("worker-%s/cgroup.procs", w->manifest->name);
        limit = str_printf("worker-%s/memory.max", w->manifest->name);
        if (!name || !file || !limit || (mkdirat(s->cgroup_fd, name, 0755) < 0 && errno != EEXIST))
                return -errno;
        memory_max = settings_worker_int(s->settings, w->manifest->name, "worker.memory_max");
        if (memory_max > 0) {
                char text[32];

                (void) snprintf(text, sizeof text, "%" PRId64, memory_max);
                if (write_text(s->cgroup_fd, limit, text) < 0)
                        log_notice(AT,
                                   "worker.memory_max of %s is not enforced: the system has no memory controller here",
                                   w->manifest->name);
        } else
                (void) write_text(s->cgroup_fd, limit, "max");
        return openat(s->cgroup_fd, file, O_WRONLY | O_CLOEXEC);
}

uint64_t cgroup_oom_kills(const WorkerProcess *w) {
        _cleanup_free_ char *name = NULL;
        _cleanup_close_ int fd = -EBADF;
        char text[512];
        const char *p;
        ssize_t n;

        if (w->supervisor->cgroup_fd < 0)
                return 0;
        name = str_printf("worker-%s/memory.events", w->manifest->name);
        fd = name ? openat(w->supervisor->cgroup_fd, name, O_RDONLY | O_CLOEXEC) : -ENOMEM;
        n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
        if (n <= 0)
                return 0;
        text[n] = '\0';
        p = strstr(text, "oom_kill ");
        return p ? strtoull(p + strlen("oom_kill "), NULL, 10) : 0;
}
