/* See notify_message.h. */

#include "supervisor/notify_message.h"
#include "workers/worker_protocol.h"

static const char *field(const char *line, const char *name) {
        size_t length = strlen(name);

        return strncmp(line, name, length) == 0 ? line + length : NULL;
}

static bool is_printable(const char *s) {
        for (; *s; s++)
                if ((unsigned char) *s < 0x20 || *s == 0x7f)
                        return false;
        return true;
}

static void parse_line(const char *line, NotifyMessage *m) {
        const char *v;

        if (!is_printable(line))
                return;
        if (str_eq(line, "READY=1"))
                m->ready = true;
        else if (str_eq(line, "STOPPING=1"))
                m->stopping = true;
        else if (str_eq(line, "WATCHDOG=1"))
                m->watchdog = true;
        else if (str_eq(line, "WATCHDOG=trigger"))
                m->watchdog_trigger = true;
        else if ((v = field(line, "STATUS=")))
                m->status = v;
        else if ((v = field(line, NOTIFY_RUNNING)))
                m->running = v;
        else if ((v = field(line, NOTIFY_CULPRIT)))
                m->culprit = v;
        else if ((v = field(line, NOTIFY_DUE)))
                m->due = v;
        else if ((v = field(line, NOTIFY_HEALTH)))
                m->health = v;
}

void notify_message_parse(char *data, size_t length, NotifyMessage *ret) {
        char *line = data, *end = data + length;

        *ret = (NotifyMessage){ 0 };
        *end = '\0';
        while (line < end) {
                char *newline = memchr(line, '\n', (size_t) (end - line));

                if (!newline)
                        newline = end;
                *newline = '\0';
                /* A NUL inside hides the rest of its line. */
                parse_line(line, ret);
                line = newline + 1;
        }
}
