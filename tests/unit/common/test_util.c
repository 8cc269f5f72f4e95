/* Strings and buffers. */

#include <criterion/criterion.h>

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
