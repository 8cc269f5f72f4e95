/* See gather.h. */

#include "supervisor/gather.h"

struct Gather {
        Supervisor *supervisor;
        GatherCallback callback;
        void *userdata;
        json_t *replies;
        size_t pending; /* calls, and one for the caller until gather_finish() */
};

typedef struct GatherCall {
        Gather *gather;
        const char *family; /* the manifest's */
} GatherCall;

Gather *gather_new(Supervisor *s, GatherCallback callback, void *userdata) {
        Gather *g = calloc(1, sizeof *g);

        if (!g)
                return NULL;
        g->replies = json_object();
        if (!g->replies) {
                free(g);
                return NULL;
        }
        g->supervisor = s;
        g->callback = callback;
        g->userdata = userdata;
        g->pending = 1;
        return g;
}

void gather_finish(Gather *g) {
        if (--g->pending > 0)
                return;
        g->callback(g->supervisor, g->replies, g->userdata);
        json_decref(g->replies);
        free(g);
}

static void gather_failed(Gather *g, const char *family, const char *text) {
        (void) json_object_set_new(g->replies, family, json_pack("{s:b, s:i, s:s}", "ok", 0, "code", 1, "error", text));
}

static void on_reply(int r, json_t *reply, const Error *e, void *userdata) {
        GatherCall *call = userdata;
        Gather *g = call->gather;

        if (r < 0)
                gather_failed(g, call->family, error_text(e));
        else
                (void) json_object_set(g->replies, call->family, reply);
        free(call);
        gather_finish(g);
}

void gather_add(Gather *g, const WorkerProcess *w, json_t *message, uint64_t timeout_usec) {
        _cleanup_free_ char *path = str_printf("%s/worker-%s.sock", g->supervisor->runtime_dir, w->manifest->name);
        _cleanup_error_ Error e = ERROR_INIT;
        GatherCall *call = calloc(1, sizeof *call);
        ControlCall *started;

        if (!path || !call) {
                free(call);
                gather_failed(g, w->manifest->name, "out of memory");
                return;
        }
        call->gather = g;
        call->family = w->manifest->name;
        if (control_call_start(g->supervisor->event, path, message, timeout_usec, on_reply, call, &started, &e) < 0) {
                free(call);
                gather_failed(g, w->manifest->name, error_text(&e));
                return;
        }
        g->pending++;
}
