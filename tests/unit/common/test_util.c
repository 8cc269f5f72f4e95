/* Strings and buffers. */

#include <criterion/criterion.h>
#include <limits.h>

#include "common/error.h"
#include "common/util.h"

Test(buffer, grows_and_stays_terminated) {
        _cleanup_buffer_ Buffer b = { 0 };

        for (int i = 0; i < 1000; i++)
                cr_assert_eq(buffer_printf(&b, "%d,", i), 0);
        cr_assert_eq(strlen(b.data), b.length);
        cr_assert(strncmp(b.data, "0,1,2,", 6) == 0);
        buffer_consume(&b, 4);
        cr_assert(strncmp(b.data, "2,3,", 4) == 0);
}

Test(buffer, take_leaves_an_empty_one) {
        _cleanup_buffer_ Buffer b = { 0 };
        _cleanup_free_ char *s = buffer_take(&b);

        cr_assert_str_eq(s, "");
        cr_assert_eq(b.length, 0);
}

Test(error, keeps_the_last_text_and_prefixes_it) {
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(error_set(&e, ERROR_RETRY, -EIO, "first"), -EIO);
        cr_assert_eq(error_set(&e, ERROR_NEVER, -EINVAL, "second %d", 2), -EINVAL);
        error_prefix(&e, "redis %s", "localhost");
        cr_assert_str_eq(error_text(&e), "redis localhost: second 2");
        cr_assert_eq(e.kind, ERROR_NEVER);
}

Test(util, integers_are_whole_texts) {
        static const struct {
                const char *text;
                int r, value;
        } cases[] = { { "0", 0, 0 },        { "-7", 0, -7 },
                      { "+07", 0, 7 },      { "2147483647", 0, INT_MAX },
                      { "", -EINVAL, 0 },   { "2147483648", -EINVAL, 0 },
                      { "1x", -EINVAL, 0 }, { " 1", -EINVAL, 0 },
                      { NULL, -EINVAL, 0 }, { "-", -EINVAL, 0 },
                      { "0x1", -EINVAL, 0 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int value = 99;

                cr_assert_eq(parse_int(cases[i].text, &value), cases[i].r, "%s", cases[i].text);
                cr_assert_eq(value, cases[i].value, "%s", cases[i].text);
        }
}
