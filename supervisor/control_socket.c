/* Who may ask what on the supervisor's control socket. Everybody can open it (mode 0666); each request is judged by
 * what the kernel says about its sender, and each change is logged with the uid. */

#include "common/log.h"
#include "common/message_ids.h"
#include "supervisor/supervisor.h"
#include "workers/worker_protocol.h"

#define AT "supervisor#control"

typedef enum VerbKind { VERB_READ, VERB_CHANGE } VerbKind;

typedef struct ControlVerb {
        const char *name;
        VerbKind kind;
        void (*run)(Supervisor *s, ControlRequest *request, const json_t *message, uid_t uid);
} ControlVerb;

static void run_status(Supervisor *s, ControlRequest *request, const json_t *message _unused_, uid_t uid _unused_) {
        status_reply(s, request);
}

static void run_reload(Supervisor *s, ControlRequest *request, const json_t *message, uid_t uid _unused_) {
        reload_request(s, request, json_is_true(json_object_get(message, "dry_run")));
}

static const ControlVerb verbs[] = {
        { "cancel", VERB_CHANGE, forward_request },  { "log-level", VERB_CHANGE, forward_request },
        { "pause", VERB_CHANGE, forward_request },   { "reload", VERB_CHANGE, run_reload },
        { "resume", VERB_CHANGE, forward_request },  { "status", VERB_READ, run_status },
        { "trigger", VERB_CHANGE, forward_request },
};

static bool peer_may(Supervisor *s, const ControlPeer *peer, VerbKind kind) {
        if (kind == VERB_READ)
                return peer->uid == 0 || peer->uid == geteuid() || control_peer_in_group(peer, s->admin_group) ||
                       control_peer_in_group(peer, s->read_group);
        if (supervisor_find_pid(s, peer->pid))
                return false; /* a worker, whoever it runs as */
        /* Our own uid is not enough in the system service, where the workers and what they start have it. */
        return peer->uid == 0 || control_peer_in_group(peer, s->admin_group) ||
               (!s->system_service && peer->uid == geteuid());
}

static void on_request(ControlRequest *request, const json_t *message, const ControlPeer *peer, void *userdata) {
        const char *name = json_string_value(json_object_get(message, "verb"));
        Supervisor *s = userdata;
        const ControlVerb *v = NULL;

        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                if (str_eq(verbs[i].name, name))
                        v = &verbs[i];
        if (!v) {
                control_reply_error(request, EXIT_CODE_USAGE, NULL, "no verb of this name");
                return;
        }
        if (!peer_may(s, peer, v->kind)) {
                control_reply_error(request, EXIT_CODE_FAILED,
                                    v->kind == VERB_READ ? "join group roundtable or roundtable-admin"
                                                         : "be root or join group roundtable-admin",
                                    "%s is not allowed to uid %u", v->name, peer->uid);
                return;
        }
        if (v->kind == VERB_CHANGE) {
                _cleanup_free_ char *text = str_printf("Asked by uid %u to %s", peer->uid, v->name);
                _cleanup_free_ char *json = json_dumps(message, JSON_COMPACT);
                LogField fields[] = { LOG_INT("PEER_UID", "peerUid", peer->uid),
                                      LOG_INT("PEER_PID", "peerPid", peer->pid), LOG_JSON("REQUEST", "request", json),
                                      LOG_STRING("TASK", "task", json_string_value(json_object_get(message, "task"))) };

                log_write(LOG_LEVEL_NOTICE, MESSAGE_CONTROL_CHANGE, AT, fields, ELEMENTSOF(fields),
                          text ? text : v->name);
        }
        v->run(s, request, message, peer->uid);
}

int control_socket_open(Supervisor *s, Error *reterr) {
        _cleanup_free_ char *path = str_printf("%s/control", s->runtime_dir);

        if (!path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        return control_server_new(s->event, path, 0666, on_request, s, &s->control, reterr);
}
