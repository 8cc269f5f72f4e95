/* Relays bytes both ways until either side closes. A direction reads only while its buffer is empty, so a slow reader
 * holds its writer back and memory is bounded by the connections. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "workers/kafka_relay.h"

typedef struct Connection Connection;

typedef struct Side {
        Connection *connection;
        int fd;
        sd_event_source *source;
        char data[65536]; /* read from this side, not yet written to the other one */
        size_t start, end;
} Side;

struct Connection {
        KafkaRelay *relay;
        Connection *next, *previous;
        bool connected; /* the connect of side 1 has finished */
        Side sides[2];
};

struct KafkaRelay {
        int fd;
        uint16_t port, target;
        sd_event *event;
        sd_event_source *source;
        Connection *connections;
};

static void connection_free(Connection *c) {
        if (c->previous)
                c->previous->next = c->next;
        else if (c->relay->connections == c)
                c->relay->connections = c->next;
        if (c->next)
                c->next->previous = c->previous;
        for (int i = 0; i < 2; i++) {
                sd_event_source_disable_unref(c->sides[i].source);
                (void) close_fd(c->sides[i].fd);
        }
        free(c);
}

static int connection_update(Connection *c) {
        for (int i = 0; i < 2; i++) {
                Side *side = &c->sides[i], *other = &c->sides[!i];
                uint32_t events = 0;
                int r;

                if (side->start == side->end && (i == 1 || c->connected))
                        events |= EPOLLIN;
                if (other->start < other->end || (i == 1 && !c->connected))
                        events |= EPOLLOUT;
                r = sd_event_source_set_io_events(side->source, events);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Writes what was read from `side` to the other one, as far as that takes it. */
static int side_flush(Side *side) {
        Side *other = &side->connection->sides[side == &side->connection->sides[0]];

        while (side->start < side->end) {
                ssize_t n = send(other->fd, side->data + side->start, side->end - side->start, MSG_NOSIGNAL);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
                side->start += (size_t) n;
        }
        side->start = side->end = 0;
        return 0;
}

/* -ECONNRESET at the end of the stream: the relay closes both sides then, as a broker does. */
static int side_read(Side *side) {
        ssize_t n;

        n = recv(side->fd, side->data, sizeof(side->data), 0);
        if (n == 0)
                return -ECONNRESET;
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        side->start = 0;
        side->end = (size_t) n;
        return side_flush(side);
}

static int on_side(_unused_ sd_event_source *source, _unused_ int fd, uint32_t events, void *userdata) {
        Side *side = userdata;
        Connection *c = side->connection;
        Side *other = &c->sides[side == &c->sides[0]];
        int r = 0;

        if (side == &c->sides[1] && !c->connected && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
                int error = 0;
                socklen_t length = sizeof(error);

                r = getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? -errno : -error;
                c->connected = true;
        }
        if (r >= 0 && (events & EPOLLOUT))
                r = side_flush(other);
        if (r >= 0 && (events & EPOLLIN) && side->start == side->end)
                r = side_read(side);
        else if (r >= 0 && (events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
                r = -ECONNRESET;
        if (r >= 0)
                r = connection_update(c);
        if (r < 0)
                connection_free(c);
        return 0; /* a broken connection is not the relay's failure */
}

static int connection_open(KafkaRelay *relay, int client) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons(relay->target),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        Connection *c;
        int one = 1, r;

        c = calloc(1, sizeof(*c));
        if (!c) {
                (void) close_fd(client);
                return -ENOMEM;
        }
        c->relay = relay;
        c->next = relay->connections;
        if (c->next)
                c->next->previous = c;
        relay->connections = c;
        c->sides[0].fd = client;
        c->sides[1].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        r = c->sides[1].fd < 0 ? -errno : 0;
        for (int i = 0; i < 2 && r >= 0; i++) {
                c->sides[i].connection = c;
                (void) setsockopt(c->sides[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                r = sd_event_add_io(relay->event, &c->sides[i].source, c->sides[i].fd, 0, on_side, &c->sides[i]);
        }
        if (r >= 0 && connect(c->sides[1].fd, (struct sockaddr *) &address, sizeof(address)) < 0 &&
            errno != EINPROGRESS)
                r = -errno;
        if (r >= 0)
                r = connection_update(c);
        if (r < 0)
                connection_free(c);
        return r;
}

static int on_accept(_unused_ sd_event_source *source, int fd, _unused_ uint32_t events, void *userdata) {
        int client;

        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client >= 0)
                (void) connection_open(userdata, client); /* the client sees a closed connection and tries again */
        return 0;
}

int kafka_relay_new(sd_event *event, uint16_t port, uint16_t target, KafkaRelay **ret) {
        _cleanup_(kafka_relay_freep) KafkaRelay *relay = NULL;
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons(port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t length = sizeof(address);
        int one = 1, r;

        relay = calloc(1, sizeof(*relay));
        if (!relay)
                return -ENOMEM;
        relay->event = sd_event_ref(event);
        relay->target = target;
        relay->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (relay->fd < 0)
                return -errno;
        (void) setsockopt(relay->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(relay->fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(relay->fd, SOMAXCONN) < 0 ||
            getsockname(relay->fd, (struct sockaddr *) &address, &length) < 0)
                return -errno;
        relay->port = ntohs(address.sin_port);
        r = sd_event_add_io(event, &relay->source, relay->fd, EPOLLIN, on_accept, relay);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(relay);
        return 0;
}

uint16_t kafka_relay_port(const KafkaRelay *r) {
        return r->port;
}

KafkaRelay *kafka_relay_free(KafkaRelay *r) {
        if (!r)
                return NULL;
        while (r->connections)
                connection_free(r->connections);
        sd_event_source_disable_unref(r->source);
        (void) close_fd(r->fd);
        sd_event_unref(r->event);
        free(r);
        return NULL;
}
