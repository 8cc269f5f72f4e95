/* The log: JSON lines byte for byte, levels, threads, a reader that stopped. The journal itself needs a real systemd.
 */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/log_format.h"

#define NOON 1772712000123000ULL /* 2026-03-05T12:00:00.123Z */

static int saved_stdout = -EBADF;

/* stdout becomes `fd`; given back before the assertions, which print. */
static void redirect(int fd) {
        (void) fflush(stdout);
        saved_stdout = dup(STDOUT_FILENO);
        (void) dup2(fd, STDOUT_FILENO);
}

static void restore(void) {
        (void) dup2(saved_stdout, STDOUT_FILENO);
        saved_stdout = close_fd(saved_stdout);
}

static char *read_all(int fd) {
        Buffer b = { 0 };
        char chunk[4096];
        ssize_t n;

        while ((n = read(fd, chunk, sizeof(chunk))) > 0)
                (void) buffer_append(&b, chunk, (size_t) n);
        return buffer_take(&b);
}

Test(log, json_line_is_sorted_escaped_and_without_blanks) {
        const LogField fields[] = {
                LOG_STRING("TASK", "taskName", "demo-task"),
                LOG_INT("MARKETS", "markets", -50),
                LOG_JSON(NULL, "error", "{\"code\":\"42P01\"}"),
                LOG_STRING("GONE", "gone", NULL),
                LOG_STRING("ONLY_JOURNAL", NULL, "x"),
                LOG_STRING(NULL, "level", "a caller cannot replace ours"),
        };
        _cleanup_buffer_ Buffer b = { 0 };

        cr_assert(log_format_json(&(LogRecord){ .level = LOG_LEVEL_ERROR,
                                                .at = "a#b",
                                                .usec = NOON,
                                                .message = "q\" b\\ n\n t\t \x01 \x1f / \xc3\xa4 \xff \x7f",
                                                .fields = fields,
                                                .n_fields = ELEMENTSOF(fields) },
                                  &b));
        cr_assert_str_eq(b.data, "{\"at\":\"a#b\",\"error\":{\"code\":\"42P01\"},\"level\":\"error\",\"markets\":-50,"
                                 "\"message\":\"q\\\" b\\\\ n\\n t\\t \\u0001 \\u001f / \xc3\xa4 \xef\xbf\xbd \x7f\","
                                 "\"taskName\":\"demo-task\",\"timestamp\":\"2026-03-05T12:00:00.123Z\"}\n");
}

Test(log, journal_fields_are_complete_and_identity_is_there) {
        const LogField fields[] = { LOG_INT("MARKETS", "markets", 7), LOG_STRING("NONE", "none", NULL) };
        static const char *const expected[] = { "MESSAGE=two\nlines", "PRIORITY=4", "SYSLOG_IDENTIFIER=p",
                                                "MESSAGE_ID=abc",     "AT=x",       "FAMILY=market",
                                                "WORKER=market-1",    "MARKETS=7" };
        struct iovec iov[LOG_MAX_FIELDS];
        _cleanup_buffer_ Buffer b = { 0 };
        size_t n;

        cr_assert(log_format_journal(&(LogRecord){ .level = LOG_LEVEL_WARNING,
                                                   .message_id = "abc",
                                                   .at = "x",
                                                   .message = "two\nlines",
                                                   .identifier = "p",
                                                   .family = "market",
                                                   .worker = "market-1",
                                                   .fields = fields,
                                                   .n_fields = 2 },
                                     &b, iov, &n));
        cr_assert_eq(n, ELEMENTSOF(expected));
        for (size_t i = 0; i < n; i++) {
                cr_assert_eq(iov[i].iov_len, strlen(expected[i]));
                cr_assert_eq(memcmp(iov[i].iov_base, expected[i], iov[i].iov_len), 0, "%s", expected[i]);
        }
}

Test(log, too_many_journal_fields_are_cut_and_counted) {
        LogField fields[100];
        struct iovec iov[LOG_MAX_FIELDS];
        _cleanup_buffer_ Buffer b = { 0 };
        size_t n;

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                fields[i] = LOG_INT("F", NULL, (int64_t) i);
        cr_assert(log_format_journal(&(LogRecord){ .message = "m", .fields = fields, .n_fields = 100 }, &b, iov, &n));
        cr_assert_eq(n, LOG_MAX_FIELDS);
        /* MESSAGE and PRIORITY, 61 of the 100, and this */
        cr_assert_eq(memcmp(iov[n - 1].iov_base, "FIELDS_CUT=39", 13), 0);
}

Test(log, console_line_cannot_steer_the_terminal) {
        _cleanup_buffer_ Buffer b = { 0 };

        cr_assert(log_format_console(
                &(LogRecord){ .level = LOG_LEVEL_WARNING, .message = "a\nb\x1b[2J", .worker = "market", .usec = NOON },
                false, &b));
        cr_assert_str_eq(b.data + 8, " warning market: a b?[2J\n");
}

Test(log, levels_by_name_only_as_the_original_knows_them) {
        LogLevel level = LOG_LEVEL_DEBUG;

        cr_assert_eq(log_level_from_string("emerg", &level), 0);
        cr_assert_eq(level, LOG_LEVEL_EMERG);
        cr_assert_eq(log_level_from_string("warn", &level), -EINVAL);
        cr_assert_eq(log_level_from_string("INFO", &level), -EINVAL);
        cr_assert_eq(log_level_from_string("", &level), -EINVAL);
        cr_assert_eq(level, LOG_LEVEL_EMERG);
}

Test(log, filter_and_error_object) {
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_free_ char *text = NULL;
        int p[2];

        clock_set_realtime(NOON);
        cr_assert_eq(pipe(p), 0);
        (void) error_set(&e, ERROR_RETRY, -ECONNREFUSED, "redis h:1: refused");
        error_set_hint(&e, "start it");
        redirect(p[1]);
        log_init("t", LOG_TARGET_JSON, LOG_LEVEL_WARNING);
        log_info("x", "not shown");
        log_error_object(LOG_LEVEL_ERROR, NULL, "x", &e, NULL, 0, "run failed");
        log_set_max_level(LOG_LEVEL_INFO);
        log_info("y", "shown %d", 1);
        log_init("t", LOG_TARGET_NONE, LOG_LEVEL_DEBUG);
        log_error("z", "nowhere");
        restore();
        (void) close(p[1]);
        text = read_all(p[0]);
        cr_assert_str_eq(text,
                         "{\"at\":\"x\",\"error\":{\"code\":\"ECONNREFUSED\",\"hint\":\"start it\",\"message\":"
                         "\"redis h:1: refused\",\"name\":\"Error\"},\"level\":\"error\",\"message\":\"run failed: "
                         "redis h:1: refused\",\"timestamp\":\"2026-03-05T12:00:00.123Z\"}\n"
                         "{\"at\":\"y\",\"level\":\"info\",\"message\":\"shown 1\",\"timestamp\":"
                         "\"2026-03-05T12:00:00.123Z\"}\n");
}

/* A stream that is not ours (inherited $JOURNAL_STREAM, redirected stderr) must not swallow records. */
Test(log, foreign_journal_stream_means_json_lines) {
        _cleanup_free_ char *text = NULL;
        int p[2];

        cr_assert_eq(setenv("JOURNAL_STREAM", "1:1", 1), 0);
        cr_assert_eq(pipe(p), 0);
        redirect(p[1]);
        log_init("t", LOG_TARGET_AUTO, LOG_LEVEL_INFO);
        log_info("y", "here");
        restore();
        (void) close(p[1]);
        text = read_all(p[0]);
        cr_assert(strstr(text, "\"message\":\"here\""), "%s", text);
}

static void *write_many(void *userdata) {
        char filler[6000];

        memset(filler, 'a' + (int) (intptr_t) userdata, sizeof(filler) - 1);
        filler[sizeof(filler) - 1] = '\0';
        for (int i = 0; i < 50; i++) {
                const LogField f = LOG_STRING("F", "f", filler);

                log_set_identity("f", "w");
                log_write(LOG_LEVEL_INFO, NULL, "t", &f, 1, "m");
        }
        return NULL;
}

static void *drain(void *userdata) {
        return read_all(*(int *) userdata);
}

Test(log, threads_do_not_mix_their_lines) {
        _cleanup_free_ char *text = NULL;
        pthread_t threads[4], reader;
        size_t lines = 0;
        char *save = NULL;
        int p[2];

        cr_assert_eq(pipe(p), 0);
        redirect(p[1]);
        (void) close(p[1]);
        log_init("t", LOG_TARGET_JSON, LOG_LEVEL_INFO);
        (void) pthread_create(&reader, NULL, drain, &p[0]);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                (void) pthread_create(&threads[i], NULL, write_many, (void *) (intptr_t) i);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                (void) pthread_join(threads[i], NULL);
        restore();
        (void) pthread_join(reader, (void **) &text);
        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *f = strstr(line, "\"f\":\"");

                cr_assert(line[0] == '{' && line[strlen(line) - 1] == '}');
                cr_assert_not_null(f);
                cr_assert_eq(strspn(f + 5, (char[]){ f[5], 0 }), 5999);
                lines++;
        }
        cr_assert_eq(lines, 200);
}

Test(log, stopped_reader_costs_one_wait_and_the_loss_is_told) {
        _cleanup_free_ char *text = NULL;
        char filler[4096];
        int p[2], full = 0;

        cr_assert_eq(pipe(p), 0);
        memset(filler, '\n', sizeof(filler));
        cr_assert_eq(fcntl(p[1], F_SETFL, O_NONBLOCK), 0);
        while (write(p[1], filler, sizeof(filler)) > 0)
                full++;
        cr_assert_gt(full, 0);
        cr_assert_eq(fcntl(p[1], F_SETFL, 0), 0); /* blocking: a plain write(2) would hang here */
        redirect(p[1]);
        (void) close(p[1]);
        log_init("t", LOG_TARGET_JSON, LOG_LEVEL_INFO);
        for (int i = 0; i < 100; i++)
                log_info("t", "lost %d", i);
        for (int i = 0; i < full; i++)
                if (read(p[0], filler, sizeof(filler)) <= 0)
                        break;
        log_info("t", "first after");
        restore();
        text = read_all(p[0]);
        cr_assert_null(strstr(text, "\"message\":\"lost"));
        cr_assert(strstr(text, "\"dropped\":100,"), "%s", text);
        cr_assert(strstr(text, "first after"));
}
