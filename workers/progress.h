#pragma once

/* How far a run has got. A task says what is done and what is to be done in all (task_progress); rate and expected end
 * are made of it here, for `status`, the journal and the progress bar. Pure functions of their arguments. */

#include "common/util.h"

typedef struct Progress {
        uint64_t done, total;
        char unit[32];
        uint64_t first_usec, last_usec; /* monotonic instants of the run's first and last report; 0: there was none */
        uint64_t first_done;
} Progress;

/* One report. `now_usec` is monotonic. */
void progress_report(Progress *p, uint64_t done, uint64_t total, const char *unit, uint64_t now_usec);
bool progress_is_known(const Progress *p);
/* Units per second since the first report, or 0 as long as that is not known. */
double progress_rate(const Progress *p);
/* Time from `now_usec` (monotonic) to the expected end, or USEC_INFINITY while it is not known. */
uint64_t progress_left_usec(const Progress *p, uint64_t now_usec);

#define PROGRESS_TEXT_SIZE 256
/* "1200 of 10000 heights, 8800 to go, 51.3/s, ends in 2 min 51 s at 12:05:10 UTC". `realtime_usec` is now, too. Returns
 * buf. */
const char *progress_format(const Progress *p, uint64_t now_usec, uint64_t realtime_usec,
                            char buf[static PROGRESS_TEXT_SIZE]);
