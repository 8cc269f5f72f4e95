#pragma once

/* Updates of stateful orders that Vulcan parked, as text for people (orders specification, section 6). No shared
 * state. */

#include "common/error.h"
#include "common/util.h"

/* Appends the JSON of an OrderUpdate, given as a value of v4/stateful_order_updates. -EILSEQ or -EBADMSG with a text
 * for values that are none; -ENOMEM. On failure `ret` is left as it was. */
int order_update_to_json(const char *value, size_t length, Buffer *ret, Error *reterr);
