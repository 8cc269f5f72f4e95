/* The server's side of the control protocol.
 *
 * What must stay true: no peer, however slow, silent or malicious, makes the loop wait or memory grow. Hence per
 * connection at most one line in, one request at the handler and one reply out; while a request is unanswered or its
 * reply unread, nothing more is read. A request outlives its connection: its handler may answer after the peer left. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/control.h"

#define PEER_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define ACCEPT_RETRY_USEC (1 * USEC_PER_SEC)
#define READ_SIZE 16384

typedef struct Connection Connection;

struct ControlRequest {
        Connection *connection; /* NULL once the peer is gone */
        json_t *message;
};

struct Connection {
        ControlServer *server;
        Connection *previous, *next; /* oldest first */
        int fd;
        sd_event_source *io, *timer;
        Buffer in, out;
        size_t scanned; /* bytes of `in` known to hold no end of line */
        size_t written;
        ControlRequest *pending;
        ControlPeer peer;
        gid_t *groups;
        bool eof;  /* the peer sends no more */
        bool last; /* close once `out` is written */
        bool dead; /* free as soon as nobody up the stack holds it */
        bool processing;
};

struct ControlServer {
        sd_event *event;
        int fd;
        char *path;
        struct stat bound; /* device and inode of our socket: another one's at that path is not unlinked */
        sd_event_source *io, *retry;
        ControlHandler handler;
        void *userdata;
        Connection *first, *newest;
        size_t n_connections;
};

static Connection *connection_free(Connection *c) {
        ControlServer *s = c->server;

        if (c->previous)
                c->previous->next = c->next;
        else
                s->first = c->next;
        if (c->next)
                c->next->previous = c->previous;
        else
                s->newest = c->previous;
        s->n_connections--;
        if (c->pending)
                c->pending->connection = NULL;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->timer);
        c->fd = close_fd(c->fd);
        buffer_done(&c->in);
        buffer_done(&c->out);
        free(c->groups);
        free(c);
        return NULL;
}

int control_parse_line(const char *line, size_t length, json_t **ret, Error *reterr) {
        json_error_t problem;
        json_t *message;
        const json_t *protocol;

        if (length > CONTROL_MAX_LINE)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "line is longer than %d bytes", CONTROL_MAX_LINE);
        message = json_loadb(line, length, JSON_REJECT_DUPLICATES, &problem);
        if (!message)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "not a JSON object: %s", problem.text);
        protocol = json_object_get(message, "protocol");
        if (!json_is_object(message))
                error_set(reterr, ERROR_NEVER, -EBADMSG, "not a JSON object");
        else if (!json_is_integer(protocol))
                error_set(reterr, ERROR_NEVER, -EBADMSG, "no protocol number");
        else if (json_integer_value(protocol) != CONTROL_PROTOCOL)
                error_set(reterr, ERROR_NEVER, -EBADMSG,
                          "protocol %" JSON_INTEGER_FORMAT " is not spoken here, only %d", json_integer_value(protocol),
                          CONTROL_PROTOCOL);
        else if (!json_is_string(json_object_get(message, "verb")))
                error_set(reterr, ERROR_NEVER, -EBADMSG, "no verb");
        else {
                *ret = message;
                return 0;
        }
        json_decref(message);
        return -EBADMSG;
}

static void connection_update(Connection *c) {
        bool writing = c->out.length > c->written;
        uint32_t events = 0;

        if (writing)
                events |= EPOLLOUT;
        else if (!c->pending && !c->eof && !c->last)
                events |= EPOLLIN;
        if (sd_event_source_set_io_events(c->io, events) < 0 ||
            sd_event_source_set_enabled(c->timer, c->pending ? SD_EVENT_OFF : SD_EVENT_ON) < 0)
                c->dead = true;
}

static void connection_restart_timer(Connection *c) {
        if (sd_event_source_set_time_relative(c->timer, PEER_TIMEOUT_USEC) < 0)
                c->dead = true;
}

static void connection_flush(Connection *c) {
        while (c->out.length > c->written) {
                ssize_t n =
                        send(c->fd, c->out.data + c->written, c->out.length - c->written, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n < 0) {
                        c->dead = true;
                        return;
                }
                c->written += (size_t) n;
        }
        buffer_clear(&c->out);
        c->written = 0;
        if (c->last)
                c->dead = true;
}

static void connection_send(Connection *c, const json_t *reply) {
        _cleanup_free_ char *text = json_dumps(reply, JSON_COMPACT);

        if (!text || buffer_append_string(&c->out, text) < 0 || buffer_append(&c->out, "\n", 1) < 0) {
                c->dead = true;
                return;
        }
        connection_restart_timer(c);
        connection_flush(c);
}

static json_t *error_reply(int code, const char *text, const char *hint) {
        json_t *reply = json_pack("{s:i, s:b, s:i, s:s}", "protocol", CONTROL_PROTOCOL, "ok", 0, "code", code, "error",
                                  text ? text : "out of memory");

        if (reply && hint)
                (void) json_object_set_new(reply, "hint", json_string(hint));
        return reply;
}

static void connection_send_error(Connection *c, int code, const char *text, const char *hint) {
        json_t *reply = error_reply(code, text, hint);

        connection_send(c, reply);
        json_decref(reply);
}

static void connection_dispatch(Connection *c, const char *line, size_t length) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *message = NULL;
        ControlRequest *request;

        if (control_parse_line(line, length, &message, &e) < 0) {
                connection_send_error(c, 1, error_text(&e), NULL);
                return;
        }
        request = calloc(1, sizeof *request);
        if (!request) {
                json_decref(message);
                c->dead = true;
                return;
        }
        request->connection = c;
        request->message = message;
        c->pending = request;
        c->server->handler(request, message, &c->peer, c->server->userdata);
}

/* Takes complete lines from the buffer while nothing is owed to the peer. May free the connection. */
static void connection_process(Connection *c) {
        if (c->processing)
                return;
        c->processing = true;
        while (!c->dead && !c->last && !c->pending && c->out.length == 0) {
                _cleanup_free_ char *line = NULL;
                const char *end = NULL;
                size_t length;

                if (c->in.length > c->scanned)
                        end = memchr(c->in.data + c->scanned, '\n', c->in.length - c->scanned);
                length = end ? (size_t) (end - c->in.data) : c->in.length;
                if (length > CONTROL_MAX_LINE) {
                        c->last = true;
                        connection_send_error(c, 1, "line is too long", NULL);
                        break;
                }
                if (!end) {
                        c->scanned = c->in.length;
                        c->dead = c->eof;
                        break;
                }
                line = malloc(length + 1);
                if (!line) {
                        c->dead = true;
                        break;
                }
                memcpy(line, c->in.data, length + 1);
                buffer_consume(&c->in, length + 1);
                c->scanned = 0;
                connection_dispatch(c, line, length);
        }
        c->processing = false;
        if (!c->dead)
                connection_update(c);
        if (c->dead)
                connection_free(c);
}

static void request_free(ControlRequest *request) {
        json_decref(request->message);
        free(request);
}

static void request_answer(ControlRequest *request, json_t *reply) {
        Connection *c = request->connection;

        if (c) {
                c->pending = NULL;
                connection_send(c, reply);
                connection_process(c);
        }
        json_decref(reply);
        request_free(request);
}

void control_reply(ControlRequest *request, json_t *fields) {
        json_t *reply = json_pack("{s:i, s:b}", "protocol", CONTROL_PROTOCOL, "ok", 1);

        if (fields && json_object_update(reply, fields) < 0) {
                json_decref(reply);
                reply = error_reply(1, NULL, NULL);
        }
        json_decref(fields);
        request_answer(request, reply);
}

void control_reply_error(ControlRequest *request, int code, const char *hint, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = str_vprintf(format, ap);
        va_end(ap);
        request_answer(request, error_reply(code, text, hint));
}

static int on_connection_timeout(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        connection_free(userdata);
        return 0;
}

static int on_connection_io(sd_event_source *source _unused_, int fd, uint32_t revents, void *userdata) {
        Connection *c = userdata;

        /* With nothing asked for, epoll still reports a peer that is gone, again and again. */
        if ((revents & (EPOLLHUP | EPOLLERR)) && !(revents & EPOLLIN)) {
                connection_free(c);
                return 0;
        }
        if (revents & EPOLLOUT)
                connection_flush(c);
        if (revents & EPOLLIN) {
                char data[READ_SIZE];
                ssize_t n = recv(fd, data, sizeof data, MSG_DONTWAIT);

                if (n == 0)
                        c->eof = true;
                else if (n > 0 && buffer_append(&c->in, data, (size_t) n) < 0)
                        c->dead = true;
                else if (n < 0 && errno != EAGAIN && errno != EINTR)
                        c->dead = true;
        }
        connection_process(c);
        return 0;
}

static int read_peer(Connection *c) {
        struct ucred cred;
        socklen_t length = sizeof cred;

        if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0)
                return -errno;
        length = 64 * sizeof(gid_t);
        for (;;) {
                gid_t *groups = realloc(c->groups, length);

                if (!groups)
                        return -ENOMEM;
                c->groups = groups;
                if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length) >= 0)
                        break;
                /* ERANGE: the kernel wrote the needed size into `length`. */
                if (errno != ERANGE)
                        return -errno;
        }
        c->peer = (ControlPeer){ .pid = cred.pid,
                                 .uid = cred.uid,
                                 .gid = cred.gid,
                                 .groups = c->groups,
                                 .n_groups = length / sizeof(gid_t) };
        return 0;
}

static int connection_new(ControlServer *s, int fd) {
        Connection *c = calloc(1, sizeof *c);
        int r;

        if (!c) {
                close_fd(fd);
                return -ENOMEM;
        }
        c->server = s;
        c->fd = fd;
        c->previous = s->newest;
        if (s->newest)
                s->newest->next = c;
        else
                s->first = c;
        s->newest = c;
        s->n_connections++;
        r = read_peer(c);
        if (r >= 0)
                r = sd_event_add_io(s->event, &c->io, fd, EPOLLIN, on_connection_io, c);
        if (r >= 0)
                r = sd_event_add_time_relative(s->event, &c->timer, CLOCK_MONOTONIC, PEER_TIMEOUT_USEC, 0,
                                               on_connection_timeout, c);
        if (r < 0)
                connection_free(c);
        return r;
}

/* The table is full: the oldest peer that only waits makes room, so that a flood of idle connections by anybody who
 * may open the socket cannot lock an administrator out. */
static bool server_evict(ControlServer *s) {
        for (Connection *c = s->first; c; c = c->next)
                if (!c->pending && !c->processing && c->peer.uid != 0) {
                        connection_free(c);
                        return true;
                }
        for (Connection *c = s->first; c; c = c->next)
                if (!c->pending && !c->processing) {
                        connection_free(c);
                        return true;
                }
        return false;
}

static int on_accept_retry(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        ControlServer *s = userdata;

        return sd_event_source_set_enabled(s->io, SD_EVENT_ON);
}

static int on_listen_io(sd_event_source *source _unused_, int listen_fd, uint32_t revents _unused_, void *userdata) {
        ControlServer *s = userdata;
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
                if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
                        return 0;
                /* Out of descriptors: the socket stays readable, so look away for a second instead of spinning. */
                (void) sd_event_source_set_enabled(s->io, SD_EVENT_OFF);
                (void) sd_event_source_set_time_relative(s->retry, ACCEPT_RETRY_USEC);
                (void) sd_event_source_set_enabled(s->retry, SD_EVENT_ONESHOT);
                return 0;
        }
        if (s->n_connections >= CONTROL_MAX_CONNECTIONS && !server_evict(s)) {
                close_fd(fd);
                return 0;
        }
        (void) connection_new(s, fd);
        return 0;
}

static int server_bind(ControlServer *s, mode_t mode, Error *reterr) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct stat st;

        if (strlen(s->path) >= sizeof address.sun_path)
                return error_set(reterr, ERROR_NEVER, -ENAMETOOLONG, "%s: path of a socket is at most %zu bytes",
                                 s->path, sizeof address.sun_path - 1);
        memcpy(address.sun_path, s->path, strlen(s->path) + 1);
        if (lstat(s->path, &st) >= 0 && S_ISSOCK(st.st_mode) && unlink(s->path) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot remove the old socket: %m", s->path);
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot make a socket: %m");
        /* fchmod before bind: the node never has more rights than asked for. chmod after: the umask took some. */
        if (fchmod(s->fd, mode) < 0 || bind(s->fd, (struct sockaddr *) &address, sizeof address) < 0 ||
            chmod(s->path, mode) < 0 || stat(s->path, &s->bound) < 0 || listen(s->fd, SOMAXCONN) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot listen: %m", s->path);
        return 0;
}

int control_server_new(sd_event *event, const char *path, mode_t mode, ControlHandler handler, void *userdata,
                       ControlServer **ret, Error *reterr) {
        _cleanup_(control_server_freep) ControlServer *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        s->fd = -EBADF;
        s->event = sd_event_ref(event);
        s->handler = handler;
        s->userdata = userdata;
        s->path = strdup(path);
        if (!s->path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = server_bind(s, mode, reterr);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &s->io, s->fd, EPOLLIN, on_listen_io, s);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &s->retry, CLOCK_MONOTONIC, 0, 0, on_accept_retry, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->retry, SD_EVENT_OFF);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "%s: cannot watch the socket", path);
        *ret = TAKE_PTR(s);
        return 0;
}

ControlServer *control_server_free(ControlServer *s) {
        struct stat st;

        if (!s)
                return NULL;
        while (s->first)
                connection_free(s->first);
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->retry);
        s->fd = close_fd(s->fd);
        if (s->bound.st_ino != 0 && lstat(s->path, &st) >= 0 && st.st_ino == s->bound.st_ino &&
            st.st_dev == s->bound.st_dev)
                (void) unlink(s->path);
        sd_event_unref(s->event);
        free(s->path);
        free(s);
        return NULL;
}

bool control_peer_in_group(const ControlPeer *peer, gid_t group) {
        if (group == (gid_t) -1)
                return false;
        if (peer->gid == group)
                return true;
        for (size_t i = 0; i < peer->n_groups; i++)
                if (peer->groups[i] == group)
                        return true;
        return false;
}
