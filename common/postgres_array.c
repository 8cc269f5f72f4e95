/* Array literals: every element quoted, so that only `"` and `\` need care; SQL NULL is the unquoted word. */

#include "common/postgres.h"

static int append_quoted(Buffer *b, const char *value) {
        (void) buffer_append(b, "\"", 1);
        while (*value) {
                size_t plain = strcspn(value, "\"\\");

                (void) buffer_append(b, value, plain);
                value += plain;
                if (*value) {
                        (void) buffer_append(b, "\\", 1);
                        (void) buffer_append(b, value, 1);
                        value++;
                }
        }
        return buffer_append(b, "\"", 1);
}

void pg_array_append(PgArray *a, const char *value) {
        /* what an earlier pg_array_text() wrote at the end is taken back */
        if (a->closed) {
                if (a->n == 0)
                        buffer_clear(&a->text);
                else if (!buffer_failed(&a->text))
                        a->text.data[--a->text.length] = '\0';
                a->closed = false;
        }
        (void) buffer_append(&a->text, a->n == 0 ? "{" : ",", 1);
        if (value)
                (void) append_quoted(&a->text, value);
        else
                (void) buffer_append_string(&a->text, "NULL");
        a->n++;
}

const char *pg_array_text(PgArray *a) {
        if (!a->closed) {
                (void) buffer_append_string(&a->text, a->n == 0 ? "{}" : "}");
                a->closed = true;
        }
        return buffer_failed(&a->text) ? NULL : a->text.data;
}

void pg_array_done(PgArray *a) {
        buffer_done(&a->text);
        a->n = 0;
        a->closed = false;
}
