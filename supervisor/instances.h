#pragma once

/* The random id of each worker process, kept in <state_dir>/instances.json before the process exists. A worker clears
 * what locks its predecessors left; the list survives a restart of the supervisor. One that ended in order is on it,
 * too: Redis may have been away just then, and clearing what was given back does nothing. */

#include <jansson.h>

#include "common/error.h"

#define INSTANCES_MAX_DEAD 64
#define INSTANCE_TEXT_SIZE 37

typedef struct Instances {
        char *path;
        json_t *families; /* {"market":{"current":"…","dead":["…"]}} */
} Instances;

/* A missing file is an empty list; a damaged one is set aside as instances.json.bad with -EBADMSG told in reterr while
 * the list starts empty: locks then end by their TTL. Other errors: negative errno. */
int instances_open(const char *state_dir, Instances *ret, Error *reterr);
void instances_done(Instances *i);
/* The current one, if any, becomes a dead one; draws a new one and stores both. *ret_dead is a new reference. */
int instances_next(Instances *i, const char *family, char ret_id[static INSTANCE_TEXT_SIZE], json_t **ret_dead,
                   Error *reterr);
