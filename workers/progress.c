/* See progress.h. */

#include <inttypes.h>
#include <stdio.h>

#include "common/clock.h"
#include "workers/progress.h"

#define DAY_USEC (86400 * USEC_PER_SEC)

void progress_report(Progress *p, uint64_t done, uint64_t total, const char *unit, uint64_t now_usec) {
        if (!progress_is_known(p)) {
                p->first_usec = now_usec;
                p->first_done = done;
        }
        p->done = done;
        p->total = total;
        p->last_usec = now_usec;
        (void) snprintf(p->unit, sizeof(p->unit), "%s", unit ? unit : "");
}

bool progress_is_known(const Progress *p) {
        return p->first_usec != 0;
}

double progress_rate(const Progress *p) {
        if (p->last_usec <= p->first_usec || p->done <= p->first_done)
                return 0;
        return (double) (p->done - p->first_done) * (double) USEC_PER_SEC / (double) (p->last_usec - p->first_usec);
}

uint64_t progress_left_usec(const Progress *p, uint64_t now_usec) {
        double rate = progress_rate(p), left, passed;

        if (rate <= 0 || p->total < p->done)
                return USEC_INFINITY;
        left = (double) (p->total - p->done) / rate * (double) USEC_PER_SEC;
        passed = now_usec > p->last_usec ? (double) (now_usec - p->last_usec) : 0;
        if (left <= passed)
                return 0;
        /* a guess beyond a thousand years is none */
        return left - passed < 365000.0 * (double) DAY_USEC ? (uint64_t) (left - passed) : USEC_INFINITY;
}

const char *progress_format(const Progress *p, uint64_t now_usec, uint64_t realtime_usec,
                            char buf[static PROGRESS_TEXT_SIZE]) {
        uint64_t left = progress_left_usec(p, now_usec), to_go = p->total > p->done ? p->total - p->done : 0;
        char duration[64], end[ISO_TIME_SIZE];
        int n;

        n = snprintf(buf, PROGRESS_TEXT_SIZE, "%" PRIu64 " of %" PRIu64 "%s%s, %" PRIu64 " to go", p->done, p->total,
                     *p->unit ? " " : "", p->unit, to_go);
        if (left == USEC_INFINITY || to_go == 0)
                return buf;
        /* tenths of seconds would only flicker */
        if (left > 10 * USEC_PER_SEC)
                left -= left % USEC_PER_SEC;
        (void) format_iso_msec(realtime_usec + left, end);
        end[sizeof("2026-03-05T12:00:00") - 1] = '\0';
        (void) snprintf(buf + n, PROGRESS_TEXT_SIZE - (size_t) n, ", %.*f/s, ends in %s at %s UTC",
                        progress_rate(p) < 100 ? 1 : 0, progress_rate(p),
                        format_duration(left, duration, sizeof(duration)),
                        left < DAY_USEC ? end + sizeof("2026-03-05") : end);
        return buf;
}
