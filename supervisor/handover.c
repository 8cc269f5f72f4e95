/* What a worker gets over the inherited socket: before its hello how to confine itself, after it settings and secrets
 * in a sealed memory file. Never in the environment or in a file: a sibling with the same uid could read those. */

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "supervisor/start_delay.h"
#include "supervisor/supervisor.h"
#include "workers/worker_protocol.h"

static json_t *delays_to_json(const WorkerProcess *w) {
        json_t *o = json_object();
        uint64_t now = clock_monotonic_usec();

        for (size_t i = 0; o && i < w->n_delays; i++)
                if (json_object_set_new(o, w->delays[i].task,
                                        json_integer((json_int_t) start_delay_left_usec(w->delays[i].due_usec, now))) <
                    0) {
                        json_decref(o);
                        return NULL;
                }
        return o;
}

static json_t *quarantined_to_json(const WorkerProcess *w) {
        json_t *o = json_object();

        for (size_t i = 0; o && i < w->quarantine.n_tasks; i++) {
                const QuarantineTask *t = &w->quarantine.tasks[i];

                if (t->until_usec > 0 &&
                    json_object_set_new(o, t->name,
                                        json_pack("{s:I, s:s}", "until_usec", (json_int_t) t->until_usec, "reason",
                                                  t->reason ? t->reason : "crashed its worker")) < 0) {
                        json_decref(o);
                        return NULL;
                }
        }
        return o;
}

static json_t *document(const WorkerProcess *w) {
        const Supervisor *s = w->supervisor;
        const char *target = s->foreground ? "console" : getenv("JOURNAL_STREAM") ? "journal" : "json";

        return json_pack("{s:i, s:O, s:s, s:O, s:s, s:s, s:o, s:b, s:o, s:s, s:n}", "protocol", WORKER_PROTOCOL,
                         "settings", w->settings, "instance", w->instance, "dead_instances", w->dead_instances,
                         "runtime_dir", s->runtime_dir, "host", s->host, "start_delay_usec", delays_to_json(w),
                         "serial", (int) w->quarantine.serial, "quarantined", quarantined_to_json(w), "log_target",
                         target, "memory");
}

static json_t *strings_to_json(const char *const *strings) {
        json_t *list = json_array();

        for (; list && *strings; strings++)
                if (json_array_append_new(list, json_string(*strings)) < 0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}

int worker_sandbox_send(const WorkerProcess *w, int fd, Error *reterr) {
        const Settings *settings = w->supervisor->settings;
        const char *family = w->manifest->name;
        _cleanup_free_ const char **paths = settings_worker_paths(settings, w->manifest);
        _cleanup_free_ char *text = NULL;
        json_t *packet = NULL;

        if (paths)
                packet = json_pack("{s:i, s:s, s:I, s:o, s:[s]}", "protocol", WORKER_PROTOCOL, "sandbox",
                                   settings_worker_string(settings, family, "worker.sandbox"), "open_files",
                                   (json_int_t) settings_worker_int(settings, family, "worker.open_files"),
                                   "read_paths", strings_to_json(paths), "write_paths", w->supervisor->runtime_dir);
        text = packet ? json_dumps(packet, JSON_COMPACT) : NULL;
        json_decref(packet);
        if (!text)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "cannot write down a worker's sandbox");
        if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot tell a worker of its sandbox: %m");
        return 0;
}

static int make_memfd(const char *text, Error *reterr) {
        _cleanup_close_ int fd = memfd_create("roundtable-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        size_t length = strlen(text);

        if (fd < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot make a memory file: %m");
        for (size_t done = 0; done < length;) {
                ssize_t n = write(fd, text + done, length - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set(reterr, ERROR_RETRY, -errno, "cannot write a memory file: %m");
                done += (size_t) n;
        }
        /* The offset goes along with the descriptor: the worker reads from where it stands. */
        if (lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot seal a memory file: %m");
        return take_fd(&fd);
}

int worker_handover_send(WorkerProcess *w, Error *reterr) {
        static const char packet[] = "{}"; /* the descriptor is what counts */
        union {
                char buffer[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *) packet, .iov_len = sizeof packet - 1 };
        struct msghdr h = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
        };
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct cmsghdr *c;
        json_t *d = document(w);

        text = d ? json_dumps(d, JSON_COMPACT) : NULL;
        json_decref(d);
        if (!text)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "cannot write down a worker's settings");
        fd = make_memfd(text, reterr);
        explicit_bzero(text, strlen(text));
        if (fd < 0)
                return fd;
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
        if (sendmsg(w->handover_fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot hand over settings: %m");
        return 0;
}
