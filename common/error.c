/* Errors with a class, a sentence and a hint. Out of memory leaves text NULL: error_text() still says something. */

#include <stdio.h>

#include "common/error.h"

#undef error_set /* a macro for the analyzer */
int error_set(Error *e, ErrorKind kind, int err, const char *format, ...) {
        va_list ap;

        if (!e)
                return err;
        error_done(e);
        e->kind = kind;
        e->err = err;
        va_start(ap, format);
        e->text = str_vprintf(format, ap);
        va_end(ap);
        return err;
}

void error_set_hint(Error *e, const char *format, ...) {
        va_list ap;

        if (!e)
                return;
        free(e->hint);
        va_start(ap, format);
        e->hint = str_vprintf(format, ap);
        va_end(ap);
}

int error_prefix(Error *e, const char *format, ...) {
        _cleanup_free_ char *prefix = NULL;
        va_list ap;
        char *text;

        if (!e)
                return 0;
        va_start(ap, format);
        prefix = str_vprintf(format, ap);
        va_end(ap);
        text = str_printf("%s: %s", prefix ? prefix : "?", error_text(e));
        if (text) {
                free(e->text);
                e->text = text;
        }
        return e->err;
}

void error_move(Error *to, Error *from) {
        if (to == from)
                return;
        error_done(to);
        *to = *from;
        *from = ERROR_INIT;
}

void error_done(Error *e) {
        free(e->text);
        free(e->hint);
        *e = ERROR_INIT;
}

const char *error_text(const Error *e) {
        if (e->text)
                return e->text;
        return e->err ? strerror(-e->err) : "no error";
}

const char *error_kind_to_string(ErrorKind kind) {
        switch (kind) {
        case ERROR_NONE:
                return "none";
        case ERROR_RETRY:
                return "retry later";
        case ERROR_NEVER:
                return "never will work";
        case ERROR_UNCERTAIN:
                return "may have happened";
        case ERROR_CANCELED:
                return "cancelled";
        }
        return "?";
}
