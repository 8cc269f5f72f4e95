#pragma once

/* `roundtable-admin watch`: says in words what happens on the private servers of `roundtable dev`, a line each:
 * messages for websocket clients, books that become crossed and whole again. Until SIGTERM or SIGINT. */

#include "common/postgres.h"
#include "common/redis.h"
#include "common/settings.h"

int watch_run(int argc, char **argv);

/* watch_message.c. Words for the value of a market message (protobuf MarketMessage): "BTC-USD: price down 456.65,
 * volume 1.70734e+06 USD, …, and 49 more markets". New string, or NULL for a message that is none. Only for people:
 * amounts are rounded. */
char *watch_message_words(const void *value, size_t length);

/* watch_books.c. Remembers which books are crossed and prints when that changes. */
typedef struct WatchBooks WatchBooks;
int watch_books_new(WatchBooks **ret);
WatchBooks *watch_books_free(WatchBooks *w);
DEFINE_CLEANUP(WatchBooks, watch_books_free)
int watch_books_look(WatchBooks *w, PgConn *postgres, RedisConn *redis, uint64_t now_usec, Error *reterr);
