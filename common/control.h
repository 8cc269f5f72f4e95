#pragma once

/* The control protocol: JSON lines over a unix stream socket, one request, one reply, any number of them on a
 * connection. Used by the supervisor's control socket and by each worker's.
 *
 *   request  {"protocol":1,"verb":"status", …}
 *   reply    {"protocol":1,"ok":true, …} or {"protocol":1,"ok":false,"code":75,"error":"…","hint":"…"}
 *            `code` is the exit code the command line gives (design, section 2).
 * A request is at most CONTROL_MAX_LINE bytes. A different protocol number gets {"ok":false,"code":1,…,"protocol":1}.
 */

#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "common/error.h"

#define CONTROL_PROTOCOL 1
#define CONTROL_MAX_LINE (1024 * 1024)
#define CONTROL_MAX_REPLY (16 * CONTROL_MAX_LINE) /* replies may be longer than requests */
#define CONTROL_MAX_CONNECTIONS 64

/* Client: connects, sends, waits for one reply (blocking, timeout_usec). Returns 0 with *ret a new reference whatever
 * `ok` says; negative errno when there is no (valid) reply; -ENOENT/-ECONNREFUSED when nobody listens.
 * `request` is borrowed; its "protocol" is set. */
int control_call(const char *path, json_t *request, uint64_t timeout_usec, json_t **ret, Error *reterr);

/* The same without blocking, in the event loop. The callback comes exactly once, after which the call no longer exists:
 * r as above, `reply` borrowed (NULL when r < 0). control_call_free() before that gives up without a callback. */
typedef struct ControlCall ControlCall;
typedef void (*ControlCallback)(int r, json_t *reply, const Error *e, void *userdata);
int control_call_start(sd_event *event, const char *path, json_t *request, uint64_t timeout_usec,
                       ControlCallback callback, void *userdata, ControlCall **ret, Error *reterr);
ControlCall *control_call_free(ControlCall *call);
DEFINE_CLEANUP(ControlCall, control_call_free)

typedef struct ControlServer ControlServer;
typedef struct ControlRequest ControlRequest;

typedef struct ControlPeer {
        pid_t pid;
        uid_t uid;
        gid_t gid;
        const gid_t *groups; /* SO_PEERGROUPS */
        size_t n_groups;
} ControlPeer;

/* Whether the peer has that group, as its own or as a supplementary one; (gid_t) -1: there is no such group. */
bool control_peer_in_group(const ControlPeer *peer, gid_t group);

/* Called in the loop for each request. Answer with control_reply() or control_reply_error(), now or later; until then
 * further requests of that connection wait; `message` stays valid as long, `peer` only during the call. `request` stays
 * valid until answered, even if the peer goes away. */
typedef void (*ControlHandler)(ControlRequest *request, const json_t *message, const ControlPeer *peer, void *userdata);

/* Binds `path` (an old socket is unlinked) with `mode`. Unanswered peers are closed when they do not send a complete
 * line within 10 s. */
int control_server_new(sd_event *event, const char *path, mode_t mode, ControlHandler handler, void *userdata,
                       ControlServer **ret, Error *reterr);
ControlServer *control_server_free(ControlServer *s); /* unlinks the path */
DEFINE_CLEANUP(ControlServer, control_server_free)

/* `fields` (a JSON object or NULL) is merged into the reply; its reference is taken. */
void control_reply(ControlRequest *request, json_t *fields);
void control_reply_error(ControlRequest *request, int code, const char *hint, const char *format, ...) _printf_(4, 5);
/* The line parser of the server, for the fuzz target: 0 with a new reference, or -EBADMSG with a text. */
int control_parse_line(const char *line, size_t length, json_t **ret, Error *reterr);
