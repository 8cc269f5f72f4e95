#pragma once

/* The random wait of each task after the start of the service: drawn once per supervisor start, by the original's rule;
 * what is left of it is handed to each replacement of a worker. Pure arithmetic: clocks and chance come in. */

#include "common/util.h"

/* floor(u * max(max, fraction * interval)) in whole milliseconds, with u in [0,1); 0 when not enabled. In usec. */
uint64_t start_delay_draw_usec(bool enabled, uint64_t max_usec, double fraction, uint64_t interval_usec, double u);
/* What is left at `now` of a delay that ends at `due`. */
static inline uint64_t start_delay_left_usec(uint64_t due_usec, uint64_t now_usec) {
        return due_usec > now_usec ? due_usec - now_usec : 0;
}
/* One "task=N" of X_ROUNDTABLE_DUE: true with the name's length and the number. */
bool start_delay_parse_due(const char *item, size_t *ret_name_length, uint64_t *ret_usec);
