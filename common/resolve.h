#pragma once

/* Name resolution with a deadline. getaddrinfo(3) can block longer than a lock lives and cannot be cancelled, so a
 * thread of its own does it and is left behind when the caller gives up. Thread-safe. */

#include <netdb.h>

#include "common/cancel.h"
#include "common/error.h"

/* Numeric addresses come back without a thread. Returns 0 and a list for freeaddrinfo(), or a negative errno:
 * -ECANCELED/-ETIMEDOUT (the token, or timeout_usec), -EHOSTUNREACH with an ERROR_RETRY naming host and reason. */
int resolve_host(const char *host, int port, uint64_t timeout_usec, CancelToken *token, struct addrinfo **ret,
                 Error *reterr);
