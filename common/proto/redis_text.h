#pragma once

/* The text form of protobuf bytes in Redis: the original writes them as a string of the code points U+0000 to U+00FF in
 * UTF-8, so every byte from 0x80 on takes two (orders specification, section 3.1). Values of v4/orders/<uuid> and of
 * the hash v4/stateful_order_updates; Kafka's messages are plain bytes. Thread-safe. */

#include "common/error.h"
#include "common/util.h"

/* Appends the text of `bytes`. 0 or -ENOMEM. */
int redis_text_encode(const void *bytes, size_t length, Buffer *ret);
/* Appends the bytes of `text`. -EILSEQ, with the offset and the byte in reterr, for what the encoder cannot have
 * written (overlong, cut off, above U+00FF, no UTF-8); ret is left as it was. -ENOMEM. */
int redis_text_decode(const void *text, size_t length, Buffer *ret, Error *reterr);
