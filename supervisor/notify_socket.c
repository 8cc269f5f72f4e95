/* The socket workers notify us on. Who sent a datagram is what the kernel says, never what it contains; a sender that
 * is not one of our workers is dropped and counted. */

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/log.h"
#include "supervisor/supervisor.h"

/* Taken per wake-up, so that a flood by one worker does not starve the rest of the loop. */
#define BATCH 64

/* 1 with the sender, 0 when nothing is queued, -EBADMSG for what must be dropped. */
static int receive(int fd, char *data, size_t size, size_t *ret_length, pid_t *ret_pid) {
        union {
                char buffer[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(253 * sizeof(int))];
                struct cmsghdr align;
        } control;
        struct iovec iov = { .iov_base = data, .iov_len = size };
        struct msghdr h = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
        };
        pid_t pid = 0;
        ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -EBADMSG;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
                if (c->cmsg_level != SOL_SOCKET)
                        continue;
                if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
                        struct ucred cred;

                        memcpy(&cred, CMSG_DATA(c), sizeof cred);
                        pid = cred.pid;
                }
                /* Descriptors are not wanted; closing a BARRIER=1's is the answer to it. */
                if (c->cmsg_type == SCM_RIGHTS)
                        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
                                int passed;

                                memcpy(&passed, CMSG_DATA(c) + i * sizeof(int), sizeof passed);
                                close_fd(passed);
                        }
        }
        if ((h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || pid <= 0)
                return -EBADMSG;
        *ret_length = (size_t) n;
        *ret_pid = pid;
        return 1;
}

static int on_notify(sd_event_source *source _unused_, int fd, uint32_t revents _unused_, void *userdata) {
        Supervisor *s = userdata;

        for (int i = 0; i < BATCH; i++) {
                char data[NOTIFY_MAX_DATAGRAM + 1];
                NotifyMessage m;
                WorkerProcess *w;
                size_t length;
                pid_t pid;
                int r = receive(fd, data, NOTIFY_MAX_DATAGRAM, &length, &pid);

                if (r == 0)
                        break;
                w = r > 0 ? supervisor_find_pid(s, pid) : NULL;
                if (!w) {
                        s->notify_dropped++;
                        continue;
                }
                notify_message_parse(data, length, &m);
                worker_process_notified(w, &m);
        }
        return 0;
}

int notify_socket_open(Supervisor *s, Error *reterr) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int one = 1, r;

        s->notify_path = str_printf("%s/notify", s->runtime_dir);
        if (!s->notify_path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (strlen(s->notify_path) >= sizeof address.sun_path)
                return error_set(reterr, ERROR_NEVER, -ENAMETOOLONG, "%s: path of a socket is too long",
                                 s->notify_path);
        memcpy(address.sun_path, s->notify_path, strlen(s->notify_path) + 1);
        if (unlink(s->notify_path) < 0 && errno != ENOENT)
                return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot remove the old socket: %m", s->notify_path);
        s->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->notify_fd < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot make a socket: %m");
        if (setsockopt(s->notify_fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) < 0 || fchmod(s->notify_fd, 0660) < 0 ||
            bind(s->notify_fd, (struct sockaddr *) &address, sizeof address) < 0 || chmod(s->notify_path, 0660) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot open the socket: %m", s->notify_path);
        r = sd_event_add_io(s->event, &s->notify, s->notify_fd, EPOLLIN, on_notify, s);
        if (r >= 0)
                r = sd_event_source_set_priority(s->notify, PRIORITY_NOTIFY);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "cannot watch the workers' socket");
        return 0;
}

void notify_socket_close(Supervisor *s) {
        sd_event_source_disable_unref(s->notify);
        s->notify = NULL;
        if (s->notify_fd >= 0)
                (void) unlink(s->notify_path);
        s->notify_fd = close_fd(s->notify_fd);
        free(s->notify_path);
        s->notify_path = NULL;
}
