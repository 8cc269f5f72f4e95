/* Writing strings and numbers as JSON.stringify does. Nothing here may depend on the locale: a decimal comma in a
 * metric or a message would be read as another number, or not at all. */

#include <math.h>
#include <stdio.h>

#include "common/json.h"

size_t utf8_length(const unsigned char *s, size_t left) {
        size_t n;

        if (s[0] < 0x80)
                return 1;
        if (s[0] >= 0xc2 && s[0] <= 0xdf)
                n = 2;
        else if ((s[0] & 0xf0) == 0xe0)
                n = 3;
        else if (s[0] >= 0xf0 && s[0] <= 0xf4)
                n = 4;
        else
                return 0;
        if (n > left)
                return 0;
        for (size_t i = 1; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
            (s[0] == 0xf4 && s[1] > 0x8f))
                return 0;
        return n;
}

static void append_escaped(Buffer *b, unsigned char c) {
        static const char hex[] = "0123456789abcdef";
        char text[] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

        switch (c) {
        case '"':
        case '\\':
                text[1] = (char) c;
                break;
        case '\b':
                text[1] = 'b';
                break;
        case '\f':
                text[1] = 'f';
                break;
        case '\n':
                text[1] = 'n';
                break;
        case '\r':
                text[1] = 'r';
                break;
        case '\t':
                text[1] = 't';
                break;
        }
        (void) buffer_append(b, text, text[1] == 'u' ? 6 : 2);
}

int json_append_string(Buffer *b, const char *s, size_t length) {
        const unsigned char *p = (const unsigned char *) s;
        size_t start = 0, i = 0;

        /* Failures stick in the buffer: looked at once, at the end. */
        (void) buffer_append(b, "\"", 1);
        while (i < length) {
                size_t n = utf8_length(p + i, length - i);

                if (n > 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
                        i += n;
                        continue;
                }
                (void) buffer_append(b, s + start, i - start);
                if (n == 0)
                        (void) buffer_append(b, "\xef\xbf\xbd", 3);
                else
                        append_escaped(b, p[i]);
                start = ++i;
        }
        (void) buffer_append(b, s + start, length - start);
        (void) buffer_append(b, "\"", 1);
        return buffer_failed(b) ? -ENOMEM : 0;
}

/* The fewest digits that read back as |value| (finite, not 0), and the position of the decimal point relative to
 * their start. printf and strtod round correctly in glibc, so the first precision that survives the round trip is the
 * shortest, and of that length the nearest. Both use the locale's radix: it is cut out for the digits, and
 * comparing needs no other reading than strtod's own. */
static size_t shortest_digits(double value, char digits[static 18], int *ret_point) {
        char text[64];
        size_t n = 0;
        char *e;

        for (int precision = 0; precision <= 16; precision++) {
                (void) snprintf(text, sizeof(text), "%.*e", precision, value);
                if (strtod(text, NULL) == value)
                        break;
        }
        e = strchr(text, 'e');
        for (const char *p = text; p < e; p++)
                if (*p >= '0' && *p <= '9')
                        digits[n++] = *p;
        while (n > 1 && digits[n - 1] == '0')
                n--;
        digits[n] = '\0';
        (void) parse_int(e + 1, ret_point); /* printf's own "+07" */
        ++*ret_point;
        return n;
}

/* ECMA-262, Number::toString: k digits s, value = s * 10^(n - k). */
int json_append_double(Buffer *b, double value, bool json) {
        char digits[18];
        size_t length;
        int k, n;

        if (!isfinite(value))
                return buffer_append_string(b, json           ? "null"
                                               : isnan(value) ? "NaN"
                                               : value > 0    ? "Infinity"
                                                              : "-Infinity");
        if (value == 0)
                return buffer_append(b, "0", 1); /* also -0 */
        if (value < 0)
                (void) buffer_append(b, "-", 1);
        length = shortest_digits(fabs(value), digits, &n);
        k = (int) length;
        if (k <= n && n <= 21) {
                (void) buffer_append(b, digits, length);
                for (int i = k; i < n; i++)
                        (void) buffer_append(b, "0", 1);
        } else if (n > 0 && n <= 21) {
                (void) buffer_append(b, digits, (size_t) n);
                (void) buffer_append(b, ".", 1);
                (void) buffer_append(b, digits + n, length - (size_t) n);
        } else if (n > -6 && n <= 0) {
                (void) buffer_append(b, "0.", 2);
                for (int i = n; i < 0; i++)
                        (void) buffer_append(b, "0", 1);
                (void) buffer_append(b, digits, length);
        } else {
                (void) buffer_append(b, digits, 1);
                if (k > 1) {
                        (void) buffer_append(b, ".", 1);
                        (void) buffer_append(b, digits + 1, length - 1);
                }
                (void) buffer_printf(b, "e%c%d", n - 1 < 0 ? '-' : '+', abs(n - 1));
        }
        return buffer_failed(b) ? -ENOMEM : 0;
}
