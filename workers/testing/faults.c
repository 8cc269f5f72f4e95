/* Tasks that take their worker down. Each does so only while testing_control has a row (its name, 'on'), so that a test
 * decides at run time, and each leaves a begin row first: the test knows the fault was reached. */

#include <poll.h>

#include "workers/testing/testing.h"

/* True when the fault is to happen; *ret_result is the run's result otherwise. */
static bool fault_wanted(TaskContext *ctx, int *ret_result) {
        _cleanup_error_ Error e = ERROR_INIT;
        bool wanted = false;
        int r;

        r = testing_row(ctx, "begin", &e);
        if (r >= 0)
                r = testing_mode(ctx, "on", &wanted, &e);
        if (r >= 0 && !wanted)
                r = testing_row(ctx, "end", &e);
        *ret_result = r < 0 ? task_fail(ctx, &e) : 0;
        return r >= 0 && wanted;
}

int testing_abort_run(TaskContext *ctx) {
        int result;

        if (fault_wanted(ctx, &result))
                abort();
        return result;
}

__attribute__((no_sanitize("undefined"))) /* it is meant */
int testing_segfault_run(TaskContext *ctx) {
        int result;

        if (fault_wanted(ctx, &result)) {
                /* read anew, or the compiler makes a trap of it, which is another signal; and the store is not to be
                 * optimized away */
                volatile int *volatile nowhere = NULL;

                *nowhere = 1; /* NOLINT(clang-analyzer-core.NullDereference): that is the fault */
        }
        return result;
}

int testing_hang_run(TaskContext *ctx) {
        int result;

        if (fault_wanted(ctx, &result))
                for (;;)
                        (void) poll(NULL, 0, -1);
        return result;
}
