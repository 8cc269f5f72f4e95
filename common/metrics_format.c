/* Order and bytes as the original's client has them: global tags first, not sanitised; then the DD_* ones; then the
 * call's own. An own tag with a global one's name takes it out of its place. */

#include "common/metrics_format.h"

typedef struct TagWriter {
        Buffer *b;
        const MetricTag *own;
        size_t n_own;
        bool first;
} TagWriter;

static void append_sanitized(Buffer *b, const char *s) {
        for (; *s; s++)
                (void) buffer_append(b, strchr(":|@,", *s) ? "_" : s, 1);
}

static void append_tag(TagWriter *w, const char *name, const char *value, bool sanitize) {
        (void) buffer_append(w->b, w->first ? "|#" : ",", w->first ? 2 : 1);
        w->first = false;
        if (sanitize)
                append_sanitized(w->b, name);
        else
                (void) buffer_append_string(w->b, name);
        (void) buffer_append(w->b, ":", 1);
        if (sanitize)
                append_sanitized(w->b, value);
        else
                (void) buffer_append_string(w->b, value);
}

static void append_global(TagWriter *w, const char *name, const char *value, bool sanitize) {
        for (size_t i = 0; i < w->n_own; i++)
                if (str_eq(w->own[i].name, name))
                        return;
        append_tag(w, name, value, sanitize);
}

int metrics_format(Buffer *b, const MetricsTags *globals, bool whole, const char *name, const char *value,
                   const char *type, const MetricTag *tags, size_t n_tags) {
        const MetricTag datadog[] = {
                { "dd.internal.entity_id", globals->entity_id },
                { "env", globals->env },
                { "service", globals->service },
                { "version", globals->version },
        };
        TagWriter w = { .b = b, .own = tags, .n_own = n_tags, .first = true };

        if (globals->service_name && !whole) {
                (void) buffer_append_string(b, globals->service_name);
                /* some of the original's names are joined by an underscore, which they then begin with */
                if (name[0] != '_')
                        (void) buffer_append(b, ".", 1);
        }
        (void) buffer_append_string(b, name);
        (void) buffer_append(b, ":", 1);
        (void) buffer_append_string(b, value);
        (void) buffer_append(b, "|", 1);
        (void) buffer_append_string(b, type);
        append_global(&w, "NODE_ENV", globals->node_env ? globals->node_env : "null", false);
        append_global(&w, "SERVICE_NAME", globals->service_name ? globals->service_name : "null", false);
        for (size_t i = 0; i < ELEMENTSOF(datadog); i++)
                if (!str_empty(datadog[i].value)) {
                        append_global(&w, datadog[i].name, datadog[i].value, true);
                }
        for (size_t i = 0; i < n_tags; i++)
                append_tag(&w, tags[i].name, tags[i].value ? tags[i].value : "null", true);
        return buffer_failed(b) ? -ENOMEM : 0;
}
