#pragma once

/* Numbers as servers tell them. */

#include <criterion/criterion.h>

#include "common/util.h"

/* Unlike atoi(), fails the test where there is none. */
static inline int number(const char *text) {
        int value = 0;

        cr_assert(text && parse_int(text, &value) >= 0, "\"%s\" is no number", text ?: "(null)");
        return value;
}
