/* Any datagram to the parser of worker notifications: no crash, and every text it hands on is printable. */

#include <stdint.h>
#include <stdlib.h>

#include "supervisor/notify_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *copy = malloc(size + 1);
        NotifyMessage m;

        if (!copy)
                return 0;
        if (size > 0)
                memcpy(copy, data, size);
        notify_message_parse(copy, size, &m);
        const char *texts[] = { m.status, m.running, m.culprit, m.due, m.health };
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                for (const char *p = texts[i]; p && *p; p++)
                        if ((unsigned char) *p < 0x20 || *p == 0x7f)
                                abort();
        return 0;
}
