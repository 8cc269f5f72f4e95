/* market_updater: five statistics of every perpetual market (market specification, section 9). */

#include "workers/market/market.h"

int market_updater_run(TaskContext *ctx) {
        (void) ctx;
        return -ENOSYS;
}
