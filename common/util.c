/* Strings and growing buffers. A buffer is NUL-terminated at all times, so its data can be printed. */

#include <limits.h>
#include <stdio.h>

#include "common/util.h"

char *str_vprintf(const char *format, va_list ap) {
        char *s = NULL;

        if (vasprintf(&s, format, ap) < 0)
                return NULL;
        return s;
}

char *str_printf(const char *format, ...) {
        va_list ap;
        char *s;

        va_start(ap, format);
        s = str_vprintf(format, ap);
        va_end(ap);
        return s;
}

static int buffer_reserve(Buffer *b, size_t extra) {
        size_t need, size;
        char *p;

        if (b->failed)
                return -ENOMEM;
        if (__builtin_add_overflow(b->length, extra, &need) || __builtin_add_overflow(need, 1, &need)) {
                b->failed = true;
                return -ENOMEM;
        }
        if (need <= b->allocated)
                return 0;
        size = b->allocated ? b->allocated : 64;
        while (size < need)
                if (__builtin_mul_overflow(size, 2, &size)) {
                        size = need;
                        break;
                }
        p = realloc(b->data, size);
        if (!p) {
                b->failed = true;
                return -ENOMEM;
        }
        b->data = p;
        b->allocated = size;
        return 0;
}

int buffer_append(Buffer *b, const void *data, size_t length) {
        int r;

        r = buffer_reserve(b, length);
        if (r < 0)
                return r;
        if (length > 0)
                memcpy(b->data + b->length, data, length);
        b->length += length;
        b->data[b->length] = '\0'; /* NOLINT(clang-analyzer-core.NullDereference): reserved above */
        return 0;
}

int buffer_append_string(Buffer *b, const char *s) {
        return buffer_append(b, s, strlen(s));
}

int buffer_printf(Buffer *b, const char *format, ...) {
        _cleanup_free_ char *s = NULL;
        va_list ap;

        va_start(ap, format);
        s = str_vprintf(format, ap);
        va_end(ap);
        if (!s) {
                b->failed = true;
                return -ENOMEM;
        }
        return buffer_append_string(b, s);
}

void buffer_consume(Buffer *b, size_t length) {
        if (length > b->length)
                length = b->length;
        if (length == 0)
                return;
        memmove(b->data, b->data + length, b->length - length);
        b->length -= length;
        b->data[b->length] = '\0';
}

void buffer_clear(Buffer *b) {
        b->length = 0;
        if (b->data)
                b->data[0] = '\0';
}

void buffer_done(Buffer *b) {
        free(b->data);
        *b = (Buffer){ 0 };
}

char *buffer_take(Buffer *b) {
        char *s;

        if (!b->failed && !b->data)
                (void) buffer_append(b, "", 0);
        if (b->failed) {
                buffer_done(b);
                return NULL;
        }
        s = b->data;
        *b = (Buffer){ 0 };
        return s;
}

int parse_int(const char *text, int *ret) {
        char *end = NULL;
        long n;

        *ret = 0;
        if (!text || !*text || strspn(text, "+-0123456789") != strlen(text))
                return -EINVAL;
        errno = 0;
        n = strtol(text, &end, 10);
        if (errno != 0 || *end || n < INT_MIN || n > INT_MAX)
                return -EINVAL;
        *ret = (int) n;
        return 0;
}
