#pragma once

/* A short-term order of the sample and of the live feed, as a row of choose_orders.sql or read_open_orders.sql tells
 * it: its row in PostgreSQL, and what Vulcan keeps of it in Redis (orders specification, sections 1 and 3). */

#include "common/clock.h"
#include "workers/sample/sample_internal.h"

typedef struct SampleOrder {
        char uuid[UUID_TEXT_SIZE];
        /* borrowed from the result */
        const char *subaccount, *owner, *clob_pair, *ticker, *side, *size, *price, *block, *client;
        uint32_t number, client_id, clob_pair_id, good_til_block;
        uint64_t quantums, subticks;
} SampleOrder;

int sample_order_read(const PGresult *rows, int row, SampleOrder *ret);
/* Appends what Vulcan writes when it places the order. */
int sample_order_place(const SampleOrder *o, RedisPipeline *p);
/* Appends what Vulcan writes when an update of an order that it does not know comes in at now_msec. The order's id is
 * made a long-term one. */
int sample_order_park(const SampleOrder *o, uint64_t now_msec, RedisPipeline *p);
/* Inserts all orders of `rows` into PostgreSQL by one statement. */
int sample_orders_insert(SampleContext *s, const PGresult *rows, Error *reterr);

/* feed_orders.c */
int feed_orders(SampleContext *s, uint64_t step, Error *reterr);
