#pragma once

/* Which changes of market_updater must still reach websocket clients, across crashes (design, section 7: Kafka). Names
 * are "<market id>:<column>". */

#include "workers/market/market_statistics.h"
#include "workers/task.h"

/* A growing list of owned names; all-zero is an empty one. */
typedef struct MarketNames {
        char **names;
        size_t n, allocated;
} MarketNames;

void market_names_done(MarketNames *l);
#define _cleanup_market_names_ _cleanup_(market_names_done)
/* Appends the names of `columns` (bits) of m. 0 or -ENOMEM. */
int market_names_add(MarketNames *l, const Market *m, unsigned columns);

/* Sets `published` of each market: what changed now and what an earlier run could not send. `ret_gone` gets the names
 * that no market answers to any more. 0 or -ENOMEM. */
int market_publish_select(Market *markets, size_t n, const TaskPending *pending, MarketNames *ret_gone);
/* Sends one record, if there is anything to send, and forgets the names it holds. A broker that cannot be reached does
 * not fail the run: the names stay for the next one. */
int market_publish(TaskContext *ctx, const Market *markets, size_t n, TaskPending *pending, MarketNames *gone,
                   Error *reterr);
