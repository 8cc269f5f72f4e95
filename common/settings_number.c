/* ECMAScript's Number(text), by which the original reads numbers. Decimal points are read with the C locale, whatever
 * the process has set. */

#include <locale.h>
#include <math.h>

#include "common/settings_internal.h"

static double parse_decimal(const char *text, char **end) {
        static locale_t c_locale;
        locale_t l = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);

        if (!l) {
                locale_t expected = (locale_t) 0;

                l = newlocale(LC_ALL_MASK, "C", (locale_t) 0);
                if (!l)
                        return strtod(text, end); /* out of memory; without setlocale this is the C locale too */
                if (!__atomic_compare_exchange_n(&c_locale, &expected, l, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
                        freelocale(l);
                        l = expected;
                }
        }
        return strtod_l(text, end, l);
}

/* Length of the white space that ECMAScript's StringToNumber strips, at p; 0 if there is none. */
static size_t space_length(const char *p) {
        static const char *const wide[] = {
                "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82",
                "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87",
                "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9",
                "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80", "\xef\xbb\xbf",
        };

        if (*p && strchr(" \t\n\v\f\r", *p))
                return 1;
        for (size_t i = 0; i < ELEMENTSOF(wide); i++)
                if (strncmp(p, wide[i], strlen(wide[i])) == 0)
                        return strlen(wide[i]);
        return 0;
}

static bool only_space(const char *p) {
        size_t n;

        while ((n = space_length(p)) > 0)
                p += n;
        return *p == '\0';
}

static double parse_radix(const char *p, unsigned radix) {
        double v = 0;
        bool any = false;

        for (;; p++, any = true) {
                unsigned d;

                if (*p >= '0' && *p <= '9')
                        d = (unsigned) (*p - '0');
                else if ((*p | 32) >= 'a' && (*p | 32) <= 'f')
                        d = (unsigned) ((*p | 32) - 'a' + 10);
                else
                        break;
                if (d >= radix)
                        return NAN;
                v = v * radix + d;
        }
        return any && only_space(p) ? v : NAN;
}

double settings_ecmascript_number(const char *text) {
        const char *p = text, *q;
        bool digits = false;
        char *end;
        size_t n;
        double v;

        while ((n = space_length(p)) > 0)
                p += n;
        if (!*p)
                return 0;
        if (p[0] == '0' && p[1] && strchr("xXoObB", p[1]))
                return parse_radix(p + 2, (p[1] | 32) == 'x' ? 16 : (p[1] | 32) == 'o' ? 8 : 2);
        q = p + (*p == '+' || *p == '-');
        if (strncmp(q, "Infinity", 8) == 0)
                return only_space(q + 8) ? (*p == '-' ? -INFINITY : INFINITY) : NAN;
        /* strtod also knows nan, inf and hexadecimal floats: the shape is checked first. */
        for (; *q >= '0' && *q <= '9'; q++)
                digits = true;
        if (*q == '.')
                for (q++; *q >= '0' && *q <= '9'; q++)
                        digits = true;
        if (!digits)
                return NAN;
        if (*q == 'e' || *q == 'E') {
                q++;
                q += *q == '+' || *q == '-';
                if (*q < '0' || *q > '9')
                        return NAN;
                while (*q >= '0' && *q <= '9')
                        q++;
        }
        if (!only_space(q))
                return NAN;
        v = parse_decimal(p, &end);
        return end == q ? v : NAN;
}
