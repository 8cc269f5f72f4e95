/* The logging front end and the choice of its back end; records are laid out in log_format.c.
 *
 * A record never holds the process for ever and is never lost without a word. When the reader of our pipe stops, one
 * record waits LOG_WRITE_PATIENCE_MSEC for it (a frozen log shipper must not freeze the locks of a fleet); then it and
 * those after it are dropped and counted without waiting, until a record that says how many are missing gets through.
 */

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/log_format.h"

#define LOG_WRITE_PATIENCE_MSEC 1000

static LogTarget target = LOG_TARGET_CONSOLE; /* before log_init(): people run something */
static char *identifier;
static char *identity_family, *identity_worker;
static _Atomic int max_level = LOG_LEVEL_INFO;
static _Atomic uint64_t dropped;
static bool journal_copy;
static bool colour;
static bool torn; /* the last line ended in its middle */
/* Keeps lines whole where a write is cut short (beyond PIPE_BUF), and the identity's strings alive. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {
        "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug",
};

const char *log_level_to_string(LogLevel level) {
        return (unsigned) level < ELEMENTSOF(level_names) ? level_names[level] : "?";
}

int log_level_from_string(const char *name, LogLevel *ret) {
        for (size_t i = 0; i < ELEMENTSOF(level_names); i++)
                if (str_eq(name, level_names[i])) {
                        *ret = (LogLevel) i;
                        return 0;
                }
        return -EINVAL;
}

/* $JOURNAL_STREAM alone proves nothing: it is inherited by whoever has redirected stderr since. */
bool log_stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev, inode;
        struct stat st;
        int end = 0;

        if (!stream || sscanf(stream, "%llu:%llu%n", &dev, &inode, &end) != 2 || stream[end])
                return false;
        return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == inode;
}

void log_init(const char *program, LogTarget t, LogLevel level) {
        if (t == LOG_TARGET_AUTO)
                t = log_stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_JSON;
        (void) pthread_mutex_lock(&mutex);
        target = t;
        free(identifier);
        identifier = program ? strdup(program) : NULL;
        colour = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
        (void) pthread_mutex_unlock(&mutex);
        log_set_max_level(level);
}

void log_set_identity(const char *family, const char *worker) {
        (void) pthread_mutex_lock(&mutex);
        free(identity_family);
        free(identity_worker);
        identity_family = family ? strdup(family) : NULL;
        identity_worker = worker ? strdup(worker) : NULL;
        (void) pthread_mutex_unlock(&mutex);
}

void log_set_target(LogTarget t) {
        (void) pthread_mutex_lock(&mutex);
        target = t;
        (void) pthread_mutex_unlock(&mutex);
}

void log_set_journal_copy(bool on) {
        (void) pthread_mutex_lock(&mutex);
        /* without a journal sd_journal_sendv() says that all is well */
        journal_copy = on && access("/run/systemd/journal/socket", W_OK) >= 0;
        (void) pthread_mutex_unlock(&mutex);
}

void log_set_max_level(LogLevel level) {
        atomic_store(&max_level, (int) level);
}

LogLevel log_max_level(void) {
        return (LogLevel) atomic_load(&max_level);
}

/* One write(2) where the kernel takes it whole. The descriptor is not made non-blocking, because it is shared with
 * whoever started us; poll says POLLOUT on a pipe as soon as PIPE_BUF bytes fit, so longer records go out in such
 * pieces there. Returns how much was written. */
static size_t write_patiently(int fd, const char *data, size_t length, uint64_t patience_msec) {
        uint64_t until = clock_monotonic_usec() / USEC_PER_MSEC + patience_msec;
        struct stat st;
        bool fifo = fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
        size_t done = 0;

        while (done < length) {
                struct pollfd p = { .fd = fd, .events = POLLOUT };
                size_t piece = fifo && length - done > PIPE_BUF ? PIPE_BUF : length - done;
                uint64_t now = clock_monotonic_usec() / USEC_PER_MSEC;
                ssize_t n;
                int r;

                r = poll(&p, 1, now < until ? (int) (until - now) : 0);
                if (r < 0 && errno == EINTR)
                        continue;
                if (r <= 0)
                        break;
                n = write(fd, data + done, piece);
                if (n > 0)
                        done += (size_t) n;
                else if (n < 0 && errno != EINTR && (errno != EAGAIN || now >= until))
                        break;
        }
        return done;
}

/* With the mutex held. */
static void write_line(int fd, const LogRecord *record, uint64_t patience_msec,
                       bool (*format)(const LogRecord *, Buffer *)) {
        _cleanup_buffer_ Buffer b = { 0 };
        size_t done;

        if (torn)
                (void) buffer_append(&b, "\n", 1);
        if (!format(record, &b)) {
                (void) atomic_fetch_add(&dropped, 1);
                return;
        }
        done = write_patiently(fd, b.data, b.length, patience_msec);
        if (done > 0)
                torn = done < b.length;
        if (done < b.length)
                (void) atomic_fetch_add(&dropped, 1);
}

static bool format_console_line(const LogRecord *record, Buffer *b) {
        return log_format_console(record, colour, b);
}

static void write_journal(const LogRecord *record) {
        struct iovec iov[LOG_MAX_FIELDS];
        _cleanup_buffer_ Buffer b = { 0 };
        size_t n;

        if (!log_format_journal(record, &b, iov, &n) || sd_journal_sendv(iov, (int) n) < 0)
                (void) atomic_fetch_add(&dropped, 1);
}

/* With the mutex held. */
static void write_target(const LogRecord *record, uint64_t patience_msec) {
        if (journal_copy && target != LOG_TARGET_JOURNAL)
                write_journal(record);
        switch (target) {
        case LOG_TARGET_JOURNAL:
                write_journal(record);
                break;
        case LOG_TARGET_JSON:
                write_line(STDOUT_FILENO, record, patience_msec, log_format_json);
                break;
        case LOG_TARGET_CONSOLE:
                write_line(STDERR_FILENO, record, patience_msec, format_console_line);
                break;
        case LOG_TARGET_AUTO:
        case LOG_TARGET_NONE:
                break;
        }
}

static void write_dropped(void) {
        uint64_t n = atomic_exchange(&dropped, 0);
        LogField field = LOG_INT("DROPPED", "dropped", (int64_t) n);
        char message[96];

        if (n == 0)
                return;
        (void) snprintf(message, sizeof(message), "%llu log records were lost because nobody read them",
                        (unsigned long long) n);
        write_target(
                &(LogRecord){
                        .level = LOG_LEVEL_WARNING,
                        .at = "log#write",
                        .message = message,
                        .fields = &field,
                        .n_fields = 1,
                        .identifier = identifier,
                        .family = identity_family,
                        .worker = identity_worker,
                        .usec = clock_realtime_usec(),
                },
                0);
        /* The notice itself may be lost too; it counts for none, the records it spoke of do. */
        if (atomic_load(&dropped) > 0)
                atomic_store(&dropped, n);
}

void log_write(LogLevel level, const char *message_id, const char *at, const LogField *fields, size_t n_fields,
               const char *message) {
        int saved_errno = errno;

        if ((int) level > atomic_load(&max_level))
                return;
        (void) pthread_mutex_lock(&mutex);
        write_dropped();
        /* Still clogged: do not wait a second time for the same reader. */
        if (atomic_load(&dropped) > 0)
                (void) atomic_fetch_add(&dropped, 1);
        else
                write_target(
                        &(LogRecord){
                                .level = level,
                                .message_id = message_id,
                                .at = at,
                                .message = message,
                                .fields = fields,
                                .n_fields = n_fields,
                                .identifier = identifier,
                                .family = identity_family,
                                .worker = identity_worker,
                                .usec = clock_realtime_usec(),
                        },
                        LOG_WRITE_PATIENCE_MSEC);
        (void) pthread_mutex_unlock(&mutex);
        errno = saved_errno;
}

void log_printf(LogLevel level, const char *message_id, const char *at, const char *format, ...) {
        _cleanup_free_ char *message = NULL;
        va_list ap;

        if ((int) level > atomic_load(&max_level))
                return;
        va_start(ap, format);
        message = str_vprintf(format, ap);
        va_end(ap);
        log_write(level, message_id, at, NULL, 0, message ? message : "(out of memory)");
}

void log_error_object(LogLevel level, const char *message_id, const char *at, const Error *e, const LogField *fields,
                      size_t n_fields, const char *message) {
        _cleanup_buffer_ Buffer object = { 0 };
        _cleanup_free_ char *text = NULL;
        LogField *all;

        if ((int) level > atomic_load(&max_level))
                return;
        text = str_printf("%s: %s", message, error_text(e));
        all = calloc(n_fields + 4, sizeof(*all));
        if (!text || !all || log_format_error_json(e, &object) < 0) {
                free(all);
                log_write(level, message_id, at, fields, n_fields, message);
                return;
        }
        if (n_fields > 0)
                memcpy(all, fields, n_fields * sizeof(*all));
        all[n_fields] = LOG_STRING("ERROR_TEXT", NULL, error_text(e));
        all[n_fields + 1] = LOG_STRING("HINT", NULL, e->hint);
        all[n_fields + 2] = LOG_STRING("SQLSTATE", NULL, str_empty(e->sqlstate) ? NULL : e->sqlstate);
        all[n_fields + 3] = LOG_JSON(NULL, "error", object.data);
        log_write(level, message_id, at, all, n_fields + 4, text);
        free(all);
}
