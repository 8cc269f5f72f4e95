#include "common/proto/redis_text.h"

/* Where the bytes below 0x80, which stand for themselves, end that begin at i. */
static size_t plain_end(const uint8_t *p, size_t i, size_t length) {
        while (i < length && p[i] < 0x80)
                i++;
        return i;
}

int redis_text_encode(const void *bytes, size_t length, Buffer *ret) {
        const uint8_t *p = bytes;

        for (size_t i = 0; i < length;) {
                size_t plain = plain_end(p, i, length);

                if (plain > i)
                        (void) buffer_append(ret, p + i, plain - i);
                if (plain < length) {
                        const uint8_t pair[] = { (uint8_t) (0xc0 | p[plain] >> 6),
                                                 (uint8_t) (0x80 | (p[plain] & 0x3f)) };

                        (void) buffer_append(ret, pair, sizeof(pair));
                        plain++;
                }
                i = plain;
        }
        return buffer_failed(ret) ? -ENOMEM : 0;
}

/* Only these lead bytes can begin a code point of U+0080 to U+00FF; 0xc0 and 0xc1 would be overlong. */
static bool is_pair(const uint8_t *p, size_t left) {
        return left >= 2 && (p[0] == 0xc2 || p[0] == 0xc3) && (p[1] & 0xc0) == 0x80;
}

static void cut(Buffer *b, size_t length) {
        b->length = length;
        if (b->data)
                b->data[length] = '\0';
}

int redis_text_decode(const void *text, size_t length, Buffer *ret, Error *reterr) {
        const uint8_t *p = text;
        size_t before = ret->length;

        for (size_t i = 0; i < length;) {
                size_t plain = plain_end(p, i, length);

                if (plain > i)
                        (void) buffer_append(ret, p + i, plain - i);
                if (plain == length)
                        break;
                if (!is_pair(p + plain, length - plain)) {
                        cut(ret, before);
                        return error_set(reterr, ERROR_NEVER, -EILSEQ,
                                         "byte 0x%02x at offset %zu of %zu is not UTF-8 of U+0000 to U+00FF", p[plain],
                                         plain, length);
                }
                (void) buffer_append(ret, &(uint8_t){ (uint8_t) (p[plain] << 6 | (p[plain + 1] & 0x3f)) }, 1);
                i = plain + 2;
        }
        return buffer_failed(ret) ? error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory") : 0;
}
