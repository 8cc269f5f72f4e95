/* The client's side of the control protocol: one call, one connection. The blocking form is for the command line, the
 * asynchronous one for the supervisor, whose loop never waits for a worker. */

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/control.h"

struct ControlCall {
        char *path;
        int fd;
        sd_event_source *io, *timer;
        Buffer out, in;
        size_t written;
        ControlCallback callback;
        void *userdata;
};

ControlCall *control_call_free(ControlCall *call) {
        if (!call)
                return NULL;
        sd_event_source_disable_unref(call->io);
        sd_event_source_disable_unref(call->timer);
        call->fd = close_fd(call->fd);
        buffer_done(&call->out);
        buffer_done(&call->in);
        free(call->path);
        free(call);
        return NULL;
}

static int call_open(ControlCall *call, uint64_t timeout_usec, Error *reterr) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct timeval timeout = { .tv_sec = (time_t) (timeout_usec / USEC_PER_SEC),
                                   .tv_usec = (suseconds_t) (timeout_usec % USEC_PER_SEC) };
        int type = SOCK_STREAM | SOCK_CLOEXEC | (timeout_usec == 0 ? SOCK_NONBLOCK : 0);

        if (strlen(call->path) >= sizeof address.sun_path)
                return error_set(reterr, ERROR_NEVER, -ENAMETOOLONG, "%s: path of a socket is too long", call->path);
        memcpy(address.sun_path, call->path, strlen(call->path) + 1);
        call->fd = socket(AF_UNIX, type, 0);
        if (call->fd < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot make a socket: %m");
        /* connect() to a listener with a full backlog waits for as long as SO_SNDTIMEO says. */
        if (timeout_usec > 0 && timeout_usec != USEC_INFINITY &&
            setsockopt(call->fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot set up a socket: %m");
        if (connect(call->fd, (struct sockaddr *) &address, sizeof address) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot connect: %m", call->path);
        if (fcntl(call->fd, F_SETFL, O_NONBLOCK) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot set up a socket: %m");
        return 0;
}

static int call_new(const char *path, json_t *request, ControlCall **ret, Error *reterr) {
        _cleanup_free_ char *text = NULL;
        ControlCall *call;

        if (json_object_set_new(request, "protocol", json_integer(CONTROL_PROTOCOL)) < 0)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "request is not an object");
        text = json_dumps(request, JSON_COMPACT);
        call = calloc(1, sizeof *call);
        if (!call || !text) {
                free(call);
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        }
        call->fd = -EBADF;
        call->path = strdup(path);
        if (!call->path || buffer_printf(&call->out, "%s\n", text) < 0) {
                control_call_free(call);
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        }
        *ret = call;
        return 0;
}

/* Sends what is left. 1 when all is sent, 0 when the socket is full. */
static int call_write(ControlCall *call, Error *reterr) {
        while (call->written < call->out.length) {
                ssize_t n =
                        send(call->fd, call->out.data + call->written, call->out.length - call->written, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return 0;
                if (n < 0)
                        return error_set(reterr, ERROR_UNCERTAIN, -errno, "%s: cannot send: %m", call->path);
                call->written += (size_t) n;
        }
        return 1;
}

static int call_parse(ControlCall *call, size_t length, json_t **ret, Error *reterr) {
        json_error_t problem;
        json_t *reply = json_loadb(call->in.data, length, JSON_REJECT_DUPLICATES, &problem);

        if (!reply)
                return error_set(reterr, ERROR_UNCERTAIN, -EBADMSG, "%s: reply is not JSON: %s", call->path,
                                 problem.text);
        if (!json_is_object(reply) || !json_is_integer(json_object_get(reply, "protocol")) ||
            !json_is_boolean(json_object_get(reply, "ok"))) {
                json_decref(reply);
                return error_set(reterr, ERROR_UNCERTAIN, -EBADMSG, "%s: reply has no protocol or no ok", call->path);
        }
        if (json_integer_value(json_object_get(reply, "protocol")) != CONTROL_PROTOCOL) {
                json_decref(reply);
                return error_set(reterr, ERROR_NEVER, -EPROTONOSUPPORT, "%s: speaks another protocol than %d",
                                 call->path, CONTROL_PROTOCOL);
        }
        *ret = reply;
        return 0;
}

/* Reads what is there. 1 with *ret when the reply is complete, 0 when more must come. */
static int call_read(ControlCall *call, json_t **ret, Error *reterr) {
        char data[16384];

        for (;;) {
                ssize_t n = recv(call->fd, data, sizeof data, 0);
                const char *end;
                size_t before = call->in.length;
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return 0;
                if (n < 0)
                        return error_set(reterr, ERROR_UNCERTAIN, -errno, "%s: cannot read the reply: %m", call->path);
                if (n == 0)
                        return error_set(reterr, ERROR_UNCERTAIN, -ECONNRESET, "%s: closed without a reply",
                                         call->path);
                if (before + (size_t) n > CONTROL_MAX_REPLY)
                        return error_set(reterr, ERROR_UNCERTAIN, -EMSGSIZE, "%s: reply is too long", call->path);
                if (buffer_append(&call->in, data, (size_t) n) < 0)
                        return error_set(reterr, ERROR_UNCERTAIN, -ENOMEM, "out of memory");
                end = memchr(call->in.data + before, '\n', (size_t) n);
                if (!end)
                        continue;
                r = call_parse(call, (size_t) (end - call->in.data), ret, reterr);
                return r < 0 ? r : 1;
        }
}

int control_call(const char *path, json_t *request, uint64_t timeout_usec, json_t **ret, Error *reterr) {
        _cleanup_(control_call_freep) ControlCall *call = NULL;
        uint64_t now = clock_monotonic_usec();
        uint64_t deadline = timeout_usec > USEC_INFINITY - now ? USEC_INFINITY : now + timeout_usec;
        bool sent = false;
        int r;

        r = call_new(path, request, &call, reterr);
        if (r < 0)
                return r;
        r = call_open(call, timeout_usec > 0 ? timeout_usec : 1, reterr);
        if (r < 0)
                return r;
        for (;;) {
                struct pollfd p = { .fd = call->fd };
                uint64_t left;

                r = sent ? call_read(call, ret, reterr) : call_write(call, reterr);
                if (r < 0)
                        return r;
                if (r > 0 && sent)
                        return 0;
                if (r > 0) {
                        sent = true;
                        continue;
                }
                now = clock_monotonic_usec();
                if (now >= deadline)
                        return error_set(reterr, ERROR_UNCERTAIN, -ETIMEDOUT, "%s: no reply in time", path);
                left = deadline - now;
                p.events = sent ? POLLIN : POLLOUT;
                if (poll(&p, 1, left > 3600 * USEC_PER_SEC ? 3600000 : (int) (left / USEC_PER_MSEC) + 1) < 0 &&
                    errno != EINTR)
                        return error_set(reterr, ERROR_UNCERTAIN, -errno, "cannot wait for a reply: %m");
        }
}

static void call_finish(ControlCall *call, int r, json_t *reply, const Error *e) {
        ControlCallback callback = call->callback;
        void *userdata = call->userdata;

        control_call_free(call);
        callback(r, reply, e, userdata);
        json_decref(reply);
}

static int on_call_timeout(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        ControlCall *call = userdata;
        _cleanup_error_ Error e = ERROR_INIT;

        error_set(&e, ERROR_UNCERTAIN, -ETIMEDOUT, "%s: no reply in time", call->path);
        call_finish(call, -ETIMEDOUT, NULL, &e);
        return 0;
}

static int on_call_io(sd_event_source *source, int fd _unused_, uint32_t revents, void *userdata) {
        ControlCall *call = userdata;
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *reply = NULL;
        int r = 0;

        if (call->written < call->out.length) {
                r = call_write(call, &e);
                if (r > 0)
                        r = sd_event_source_set_io_events(source, EPOLLIN);
        }
        if (r >= 0 && (revents & (EPOLLIN | EPOLLHUP)))
                r = call_read(call, &reply, &e);
        if (r < 0)
                call_finish(call, r, NULL, &e);
        else if (reply)
                call_finish(call, 0, reply, &e);
        return 0;
}

int control_call_start(sd_event *event, const char *path, json_t *request, uint64_t timeout_usec,
                       ControlCallback callback, void *userdata, ControlCall **ret, Error *reterr) {
        _cleanup_(control_call_freep) ControlCall *call = NULL;
        int r;

        r = call_new(path, request, &call, reterr);
        if (r < 0)
                return r;
        call->callback = callback;
        call->userdata = userdata;
        /* A unix socket connects at once or, with a full backlog, says EAGAIN: then the worker is not answering. */
        r = call_open(call, 0, reterr);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &call->io, call->fd, EPOLLOUT, on_call_io, call);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &call->timer, CLOCK_MONOTONIC, timeout_usec, 0, on_call_timeout,
                                               call);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "%s: cannot watch a socket", path);
        *ret = TAKE_PTR(call);
        return 0;
}
