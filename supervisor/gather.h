#pragma once

/* One request to several workers' control sockets at once, without blocking the loop. */

#include "supervisor/supervisor.h"

typedef struct Gather Gather;

/* `replies` maps family -> the worker's whole reply, or {"ok":false,"code":1,"error":text} where there was none;
 * borrowed. Comes exactly once, maybe before gather_finish() returns. */
typedef void (*GatherCallback)(Supervisor *s, json_t *replies, void *userdata);

Gather *gather_new(Supervisor *s, GatherCallback callback, void *userdata);
/* Sends; `message` is borrowed. */
void gather_add(Gather *g, const WorkerProcess *w, json_t *message, uint64_t timeout_usec);
/* No more are added: the callback comes when all have answered. */
void gather_finish(Gather *g);
