/* What happens on the private servers, in words: lines of a helper program, because the supervisor's own links neither
 * Kafka nor Redis. The last ones are shown below the tasks. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>

#include "supervisor/dev/dev_internal.h"

int dev_start_watch(Dev *d, Error *reterr) {
        _cleanup_free_ char *admin = dev_program("roundtable-admin");
        _cleanup_close_ int out = -EBADF;
        int fds[2], r;

        if (!admin)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "pipe: %s", strerror(errno));
        d->watch_fd = fds[0];
        out = fds[1];
        /* the reading end alone: a helper that fell behind must wait, not fail */
        if (fcntl(d->watch_fd, F_SETFL, O_NONBLOCK) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "pipe: %s", strerror(errno));
        r = dev_spawn(d, &d->processes[DEV_WATCH], (const char *const[]){ admin, "watch", "--conf", d->conf, NULL },
                      out, reterr);
        return r;
}

static void keep(Dev *d, const char *line, size_t length) {
        char *shown = d->watched[d->n_watched++ % DEV_WATCHED], now[16] = "";
        time_t t = time(NULL);
        struct tm tm;

        if (localtime_r(&t, &tm))
                (void) strftime(now, sizeof(now), "%H:%M:%S", &tm);
        (void) snprintf(shown, sizeof(d->watched[0]), "%s %.*s", now, (int) (length < 200 ? length : 200), line);
}

void dev_read_watch(Dev *d) {
        char buffer[4096];
        ssize_t n;

        if (d->watch_fd < 0)
                return;
        while ((n = read(d->watch_fd, buffer, sizeof(buffer))) > 0)
                (void) buffer_append(&d->watch_text, buffer, (size_t) n);
        for (char *newline;
             d->watch_text.length > 0 && (newline = memchr(d->watch_text.data, '\n', d->watch_text.length)) != NULL;) {
                keep(d, d->watch_text.data, (size_t) (newline - d->watch_text.data));
                buffer_consume(&d->watch_text, (size_t) (newline - d->watch_text.data) + 1);
        }
}

/* Columns of the terminal; a line that wrapped would spoil the count of lines to go back. */
static int columns(void) {
        struct winsize size;

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 240;
}

void dev_format_watch(const Dev *d, Buffer *b, size_t *lines) {
        size_t first = d->n_watched > DEV_WATCHED ? d->n_watched - DEV_WATCHED : 0;

        for (size_t i = first; i < d->n_watched; i++) {
                (void) buffer_printf(b, "  %.*s\n", columns() - 3, d->watched[i % DEV_WATCHED]);
                (*lines)++;
        }
}
