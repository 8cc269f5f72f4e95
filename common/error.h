#pragma once

/* What a client (postgres, redis, kafka, http, settings) tells about a failure where an errno is too little.
 *
 * Every fallible client call returns 0 or a negative errno and, as last parameter, fills an Error. No task looks
 * at SQLSTATE, hiredis, curl or Kafka codes: it looks at `kind` at most. Not thread-safe: one owner at a time. */

#include "common/util.h"

typedef enum ErrorKind {
        ERROR_NONE,
        ERROR_RETRY,     /* nothing happened; the same call may work later (server away, deadlock, throttled) */
        ERROR_NEVER,     /* will fail again the same way (syntax, bad data, refused credentials) */
        ERROR_UNCERTAIN, /* it was sent and the answer is missing: it may have happened */
        ERROR_CANCELED,  /* the run was cancelled or its deadline passed */
} ErrorKind;

typedef struct Error {
        ErrorKind kind;
        int err;          /* the negative errno that was returned */
        char sqlstate[6]; /* PostgreSQL only, else empty */
        char *text;       /* lower case, no full stop: which server, which query or key, what was wrong */
        char *hint;       /* what to try, or NULL */
} Error;

#define ERROR_INIT ((Error){ 0 })

/* Replaces the contents. Returns err, so that `return error_set(e, ...)` reads well. `e` may be NULL. */
int error_set(Error *e, ErrorKind kind, int err, const char *format, ...) _printf_(4, 5);
#ifdef __clang_analyzer__ /* which sees one file at a time, and must know what is returned */
#define error_set(e, kind, err, ...) ((void) error_set(e, kind, err, __VA_ARGS__), (err))
#endif
void error_set_hint(Error *e, const char *format, ...) _printf_(2, 3);
/* Puts "prefix: " before the text. Returns e->err. `e` may be NULL. */
int error_prefix(Error *e, const char *format, ...) _printf_(2, 3);
/* Moves `from` into `to` (freeing what was there). */
void error_move(Error *to, Error *from);
void error_done(Error *e);
const char *error_text(const Error *e); /* never NULL */
const char *error_kind_to_string(ErrorKind kind);
#define _cleanup_error_ _cleanup_(error_done)
