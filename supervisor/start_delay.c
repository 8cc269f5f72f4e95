/* See start_delay.h. */

#include <ctype.h>

#include "supervisor/start_delay.h"

uint64_t start_delay_draw_usec(bool enabled, uint64_t max_usec, double fraction, uint64_t interval_usec, double u) {
        double bound_msec = (double) max_usec / (double) USEC_PER_MSEC;
        double part_msec = fraction * ((double) interval_usec / (double) USEC_PER_MSEC);

        if (!enabled)
                return 0;
        if (part_msec > bound_msec)
                bound_msec = part_msec;
        return (uint64_t) (u * bound_msec) * USEC_PER_MSEC;
}

bool start_delay_parse_due(const char *item, size_t *ret_name_length, uint64_t *ret_usec) {
        const char *equals = strchr(item, '=');
        unsigned long long value;
        char *end;

        if (!equals || equals == item || !isdigit((unsigned char) equals[1]))
                return false;
        errno = 0;
        value = strtoull(equals + 1, &end, 10);
        if (errno != 0 || *end != '\0')
                return false;
        *ret_name_length = (size_t) (equals - item);
        *ret_usec = value;
        return true;
}
