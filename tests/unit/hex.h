#pragma once

/* Bytes as tests write them down. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "common/util.h"

static inline void expect_hex(const void *data, size_t length, const char *expected) {
        _cleanup_buffer_ Buffer text = { 0 };

        (void) buffer_append_string(&text, "");
        for (size_t i = 0; i < length; i++)
                (void) buffer_printf(&text, "%02x", ((const uint8_t *) data)[i]);
        cr_assert_str_eq(text.data, expected);
}

/* `ret` has room for half of the text's length. Returns that. */
static inline size_t from_hex(const char *hex, uint8_t *ret) {
        size_t n = strlen(hex) / 2;

        for (size_t i = 0; i < n; i++) {
                unsigned value;

                cr_assert_eq(sscanf(hex + 2 * i, "%2x", &value), 1);
                ret[i] = (uint8_t) value;
        }
        return n;
}
