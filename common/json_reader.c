/* The streaming reader: yajl's callbacks with the path of each value. Numbers stay text. Memory is bounded by the
 * depth, the longest key and the longest single value, never by the document. */

#include <yajl/yajl_parse.h>

#include "common/json.h"

typedef struct Level {
        size_t path_length; /* of the container itself */
        bool array;
        uint64_t index; /* of the next element of an array */
} Level;

struct JsonReader {
        JsonCallback callback;
        void *userdata;
        size_t max_depth;
        yajl_handle parser;
        Buffer path;
        Level *levels;
        size_t depth;
        Buffer text; /* NUL-terminated copy of the current value */
        int error;   /* from the callback or ourselves; ends the reading */
        bool too_deep;
};

/* Appends what the value that starts now is called inside its container. Keys were appended by on_key. */
static void enter_value(JsonReader *r) {
        Level *level;

        if (r->depth == 0)
                return;
        level = &r->levels[r->depth - 1];
        if (!level->array)
                return;
        r->path.length = level->path_length;
        (void) buffer_printf(&r->path, "[%llu]", (unsigned long long) level->index++);
}

/* Back to the container's path, so that a failed or finished value leaves nothing behind. */
static void leave_value(JsonReader *r) {
        size_t length = r->depth == 0 ? 1 : r->levels[r->depth - 1].path_length;

        if (r->path.failed)
                return;
        r->path.length = length;
        r->path.data[length] = '\0';
}

static int emit(JsonReader *r, JsonEvent event, const char *text, size_t length) {
        buffer_clear(&r->text);
        (void) buffer_append(&r->text, text, length);
        if (buffer_failed(&r->text) || buffer_failed(&r->path))
                r->error = -ENOMEM;
        else
                r->error = r->callback(r->path.data, event, r->text.data, length, r->userdata);
        return r->error >= 0;
}

static int on_value(JsonReader *r, JsonEvent event, const void *text, size_t length) {
        int go_on;

        enter_value(r);
        go_on = emit(r, event, text, length);
        leave_value(r);
        return go_on;
}

static int on_null(void *u) {
        return on_value(u, JSON_EVENT_NULL, "null", 4);
}

static int on_boolean(void *u, int value) {
        return value ? on_value(u, JSON_EVENT_TRUE, "true", 4) : on_value(u, JSON_EVENT_FALSE, "false", 5);
}

static int on_number(void *u, const char *text, size_t length) {
        return on_value(u, JSON_EVENT_NUMBER, text, length);
}

static int on_string(void *u, const unsigned char *text, size_t length) {
        return on_value(u, JSON_EVENT_STRING, text, length);
}

static int on_key(void *u, const unsigned char *key, size_t length) {
        JsonReader *r = u;

        leave_value(r);
        (void) buffer_append(&r->path, ".", 1);
        (void) buffer_append(&r->path, key, length);
        if (buffer_failed(&r->path))
                r->error = -ENOMEM;
        return r->error >= 0;
}

static int on_start(JsonReader *r, bool array) {
        enter_value(r);
        if (r->depth >= r->max_depth) {
                r->too_deep = true;
                r->error = -EBADMSG;
                return 0;
        }
        r->levels[r->depth++] = (Level){ .path_length = r->path.length, .array = array };
        return 1;
}

static int on_end(JsonReader *r, JsonEvent event) {
        int go_on;

        leave_value(r);
        r->depth--;
        go_on = emit(r, event, "", 0);
        leave_value(r);
        return go_on;
}

static int on_start_map(void *u) {
        return on_start(u, false);
}

static int on_start_array(void *u) {
        return on_start(u, true);
}

static int on_end_map(void *u) {
        return on_end(u, JSON_EVENT_OBJECT_END);
}

static int on_end_array(void *u) {
        return on_end(u, JSON_EVENT_ARRAY_END);
}

static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_start_map,
        .yajl_map_key = on_key,
        .yajl_end_map = on_end_map,
        .yajl_start_array = on_start_array,
        .yajl_end_array = on_end_array,
};

int json_reader_new(JsonCallback callback, void *userdata, size_t max_depth, JsonReader **ret) {
        JsonReader *r;

        if (max_depth == 0)
                return -EINVAL;
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->callback = callback;
        r->userdata = userdata;
        r->max_depth = max_depth;
        r->levels = calloc(max_depth, sizeof(*r->levels));
        r->parser = yajl_alloc(&callbacks, NULL, r);
        if (!r->levels || !r->parser || buffer_append(&r->path, "$", 1) < 0) {
                json_reader_free(r);
                return -ENOMEM;
        }
        *ret = r;
        return 0;
}

JsonReader *json_reader_free(JsonReader *r) {
        if (!r)
                return NULL;
        if (r->parser)
                yajl_free(r->parser);
        free(r->levels);
        buffer_done(&r->path);
        buffer_done(&r->text);
        free(r);
        return NULL;
}

/* yajl's own sentence quotes the document, which may hold secrets: the path and the kind of mistake are enough. */
static int reader_status(JsonReader *r, yajl_status status, Error *reterr) {
        if (status == yajl_status_ok)
                return 0;
        if (r->too_deep)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "JSON is nested deeper than %zu levels", r->max_depth);
        if (r->error < 0)
                return error_set(reterr, ERROR_NEVER, r->error, "reading JSON stopped near %s: %s",
                                 r->path.data ? r->path.data : "$", strerror(-r->error));
        r->error = -EBADMSG;
        return error_set(reterr, ERROR_NEVER, -EBADMSG, "not valid JSON near %s", r->path.data);
}

int json_reader_feed(JsonReader *r, const char *data, size_t length, Error *reterr) {
        if (r->error < 0)
                return reader_status(r, yajl_status_error, reterr);
        return reader_status(r, yajl_parse(r->parser, (const unsigned char *) data, length), reterr);
}

int json_reader_finish(JsonReader *r, Error *reterr) {
        if (r->error < 0)
                return reader_status(r, yajl_status_error, reterr);
        if (yajl_complete_parse(r->parser) != yajl_status_ok || r->depth > 0)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "JSON ends too early near %s", r->path.data);
        return 0;
}
