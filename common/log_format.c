/* JSON lines with the original's keys, the journal's fields and lines for people. A field of the caller never
 * replaces `at`, `level`, `message` or `timestamp`: those are how a record is found. */

#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log_format.h"

typedef struct Pair {
        const char *key;
        const LogField *field; /* NULL: `text` */
        const char *text;
} Pair;

/* Byte order, as JavaScript's sort has it for ASCII keys. */
static int pair_compare(const void *a, const void *b) {
        return strcmp(((const Pair *) a)->key, ((const Pair *) b)->key);
}

static bool field_is_set(const LogField *f) {
        return f->type == LOG_FIELD_INT || f->string;
}

static void append_value(Buffer *b, const Pair *p) {
        if (!p->field)
                (void) json_append_string(b, p->text, strlen(p->text));
        else if (p->field->type == LOG_FIELD_INT)
                (void) buffer_printf(b, "%lld", (long long) p->field->number);
        else if (p->field->type == LOG_FIELD_JSON)
                (void) buffer_append_string(b, p->field->string);
        else
                (void) json_append_string(b, p->field->string, strlen(p->field->string));
}

bool log_format_json(const LogRecord *record, Buffer *b) {
        _cleanup_free_ Pair *pairs = NULL;
        char timestamp[ISO_TIME_SIZE];
        size_t n = 0;

        pairs = calloc(record->n_fields + 4, sizeof(*pairs));
        if (!pairs)
                return false;
        pairs[n++] = (Pair){ .key = "at", .text = record->at ? record->at : "" };
        pairs[n++] = (Pair){ .key = "level", .text = log_level_to_string(record->level) };
        pairs[n++] = (Pair){ .key = "message", .text = record->message };
        pairs[n++] = (Pair){ .key = "timestamp", .text = format_iso_msec(record->usec, timestamp) };
        for (size_t i = 0; i < record->n_fields; i++) {
                const LogField *f = &record->fields[i];
                bool taken = !f->json || !field_is_set(f);

                /* first of a name wins; ours are first */
                for (size_t j = 0; j < n && !taken; j++)
                        taken = str_eq(pairs[j].key, f->json);
                if (!taken)
                        pairs[n++] = (Pair){ .key = f->json, .field = f };
        }
        qsort(pairs, n, sizeof(*pairs), pair_compare);
        for (size_t i = 0; i < n; i++) {
                (void) buffer_append(b, i == 0 ? "{" : ",", 1);
                (void) json_append_string(b, pairs[i].key, strlen(pairs[i].key));
                (void) buffer_append(b, ":", 1);
                append_value(b, &pairs[i]);
        }
        (void) buffer_append(b, "}\n", 2);
        return !buffer_failed(b);
}

/* One field "NAME=value"; offsets first, since the buffer may move while it grows. */
static void journal_field(Buffer *b, size_t *offsets, size_t *n, const char *name, const char *value) {
        if (!value || *n >= LOG_MAX_FIELDS)
                return;
        offsets[(*n)++] = b->length;
        (void) buffer_append_string(b, name);
        (void) buffer_append(b, "=", 1);
        (void) buffer_append_string(b, value);
}

bool log_format_journal(const LogRecord *record, Buffer *b, struct iovec *iov, size_t *ret_n) {
        size_t offsets[LOG_MAX_FIELDS + 1];
        char number[32];
        size_t n = 0, left = 0;

        (void) snprintf(number, sizeof(number), "%d", (int) record->level);
        journal_field(b, offsets, &n, "MESSAGE", record->message);
        journal_field(b, offsets, &n, "PRIORITY", number);
        journal_field(b, offsets, &n, "SYSLOG_IDENTIFIER", record->identifier);
        journal_field(b, offsets, &n, "MESSAGE_ID", record->message_id);
        journal_field(b, offsets, &n, "AT", record->at);
        journal_field(b, offsets, &n, "FAMILY", record->family);
        journal_field(b, offsets, &n, "WORKER", record->worker);
        for (size_t i = 0; i < record->n_fields; i++) {
                const LogField *f = &record->fields[i];

                if (!f->journal || !field_is_set(f))
                        continue;
                if (n >= LOG_MAX_FIELDS - 1) {
                        left++;
                        continue;
                }
                (void) snprintf(number, sizeof(number), "%lld", (long long) f->number);
                journal_field(b, offsets, &n, f->journal, f->type == LOG_FIELD_INT ? number : f->string);
        }
        (void) snprintf(number, sizeof(number), "%zu", left);
        journal_field(b, offsets, &n, "FIELDS_CUT", left > 0 ? number : NULL);
        if (buffer_failed(b))
                return false;
        offsets[n] = b->length;
        for (size_t i = 0; i < n; i++)
                iov[i] = (struct iovec){ b->data + offsets[i], offsets[i + 1] - offsets[i] };
        *ret_n = n;
        return true;
}

/* A line for people must stay one line, and a terminal must not obey what a server sent: other bytes become '?'. */
static void append_printable(Buffer *b, const char *s) {
        for (; *s; s++) {
                char c = *s;

                if ((unsigned char) c < 0x20 || c == 0x7f)
                        c = c == '\n' || c == '\t' ? ' ' : '?';
                (void) buffer_append(b, &c, 1);
        }
}

bool log_format_console(const LogRecord *record, bool colour, Buffer *b) {
        time_t seconds = (time_t) (record->usec / USEC_PER_SEC);
        const char *on = "", *who = record->worker ? record->worker : record->identifier;
        struct tm tm;

        if (colour && record->level <= LOG_LEVEL_ERROR)
                on = "\x1b[31m";
        else if (colour && record->level == LOG_LEVEL_WARNING)
                on = "\x1b[33m";
        else if (colour && record->level == LOG_LEVEL_DEBUG)
                on = "\x1b[2m";
        (void) localtime_r(&seconds, &tm);
        (void) buffer_printf(b, "%s%02d:%02d:%02d %s ", on, tm.tm_hour, tm.tm_min, tm.tm_sec,
                             log_level_to_string(record->level));
        if (who) {
                append_printable(b, who);
                (void) buffer_append(b, ": ", 2);
        }
        append_printable(b, record->message);
        for (size_t i = 0; i < record->n_fields; i++)
                if (str_eq(record->fields[i].journal, "HINT") && record->fields[i].string) {
                        (void) buffer_append_string(b, " HINT: ");
                        append_printable(b, record->fields[i].string);
                }
        (void) buffer_append_string(b, *on ? "\x1b[0m\n" : "\n");
        return !buffer_failed(b);
}

int log_format_error_json(const Error *e, Buffer *b) {
        const char *code = *e->sqlstate ? e->sqlstate : e->err ? strerrorname_np(-e->err) : NULL;
        const char *text = error_text(e);

        (void) buffer_append(b, "{", 1);
        if (code) {
                (void) buffer_append_string(b, "\"code\":");
                (void) json_append_string(b, code, strlen(code));
                (void) buffer_append(b, ",", 1);
        }
        if (e->hint) {
                (void) buffer_append_string(b, "\"hint\":");
                (void) json_append_string(b, e->hint, strlen(e->hint));
                (void) buffer_append(b, ",", 1);
        }
        (void) buffer_append_string(b, "\"message\":");
        (void) json_append_string(b, text, strlen(text));
        (void) buffer_append_string(b, ",\"name\":\"Error\"}");
        return buffer_failed(b) ? -ENOMEM : 0;
}
