#pragma once

/* JSON text as JavaScript's JSON.stringify writes it, and a streaming reader that hands numbers over as text (money is
 * never a double). Trees for small documents are jansson's. Thread-safe: no shared state. */

#include "common/error.h"
#include "common/util.h"

/* Appends "…" with JavaScript's escapes: \" \\ \b \f \n \r \t, other control characters \u00xx (lower-case hex),
 * everything else raw UTF-8, `/` plain. Invalid UTF-8 becomes U+FFFD. */
int json_append_string(Buffer *b, const char *s, size_t length);
/* Length of the valid UTF-8 sequence at s, of which `left` bytes are there, or 0. Refuses overlong forms, surrogates
 * and what is beyond U+10FFFF. */
size_t utf8_length(const unsigned char *s, size_t left);
/* Shortest decimal that reads back as the same double, by ECMAScript's rules: 0.1, 1e-7, 1e+21, NaN -> "null" when
 * `json`, else "NaN". Format source: ECMA-262 Number::toString. */
int json_append_double(Buffer *b, double value, bool json);

/* Streaming reader (yajl). `path` is like "$.data[3].price"; value text is NUL-terminated, number text is original. */
typedef enum JsonEvent { /* jansson has the short names */
                         JSON_EVENT_STRING,
                         JSON_EVENT_NUMBER,
                         JSON_EVENT_TRUE,
                         JSON_EVENT_FALSE,
                         JSON_EVENT_NULL,
                         JSON_EVENT_OBJECT_END,
                         JSON_EVENT_ARRAY_END,
} JsonEvent;
/* Returns 0 to go on, negative errno to stop (it comes out of json_read_feed). */
typedef int (*JsonCallback)(const char *path, JsonEvent event, const char *text, size_t length, void *userdata);
typedef struct JsonReader JsonReader;
int json_reader_new(JsonCallback callback, void *userdata, size_t max_depth, JsonReader **ret);
JsonReader *json_reader_free(JsonReader *r);
DEFINE_CLEANUP(JsonReader, json_reader_free)
int json_reader_feed(JsonReader *r, const char *data, size_t length, Error *reterr);
/* Errors when the document is incomplete. */
int json_reader_finish(JsonReader *r, Error *reterr);
