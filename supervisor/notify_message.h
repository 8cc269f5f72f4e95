#pragma once

/* One sd_notify datagram of a worker, taken apart. Workers may be out of their mind: any bytes are harmless. */

#include "common/util.h"

#define NOTIFY_MAX_DATAGRAM 8192

typedef struct NotifyMessage {
        bool ready, stopping, watchdog, watchdog_trigger;
        /* NULL when absent; into the datagram's own bytes */
        const char *status, *running, *culprit, *due, *health;
} NotifyMessage;

/* Cuts `data` (length bytes and room for a NUL behind them) into lines. Unknown fields are passed over. Values with
 * control characters are dropped: they end up in logs and on terminals. */
void notify_message_parse(char *data, size_t length, NotifyMessage *ret);
