/* Any line to the control protocol's parser: a message that has protocol and verb, or -EBADMSG with a text. */

#include <stdint.h>
#include <stdlib.h>

#include "common/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *message = NULL;
        int r = control_parse_line((const char *) data, size, &message, &e);

        if (r == 0) {
                if (json_integer_value(json_object_get(message, "protocol")) != CONTROL_PROTOCOL ||
                    !json_string_value(json_object_get(message, "verb")))
                        abort();
                json_decref(message);
        } else if (r != -EBADMSG || message || str_empty(error_text(&e)))
                abort();
        return 0;
}
