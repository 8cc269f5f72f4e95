/* The functions of the market family's tasks. */

#include "workers/market/market.h"

extern const TaskBinding market_tasks[];
const TaskBinding market_tasks[] = {
        { "market_updater", market_updater_run },
        { NULL, NULL },
};
