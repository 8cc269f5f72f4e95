/* See backoff.h. */

#include "supervisor/backoff.h"

uint64_t backoff_delay_usec(unsigned step, double u) {
        uint64_t delay = BACKOFF_FIRST_USEC;

        if (step == 0)
                return 0;
        for (unsigned i = 1; i < step && delay < BACKOFF_MAX_USEC; i++)
                delay *= 2;
        delay += (uint64_t) (u * (double) delay / 4);
        return delay < BACKOFF_MAX_USEC ? delay : BACKOFF_MAX_USEC;
}
