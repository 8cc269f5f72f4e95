/* Decimals: the specification's examples, a second implementation on digit strings, and PostgreSQL's numeric. */

#include <criterion/criterion.h>
#include <libpq-fe.h>
#include <stdio.h>

#include "common/decimal.h"
#include "tests/unit/number.h"

static uint64_t state;

static unsigned pick(unsigned n) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        return (unsigned) (state >> 33) % n;
}

/* Up to 30 digits before and 30 behind the point. */
static void random_number(char *s) {
        unsigned whole = pick(31), fraction = pick(31);

        if (pick(2))
                *s++ = '-';
        for (unsigned i = 0; i < whole; i++)
                *s++ = (char) ('0' + (pick(3) ? pick(10) : 9 * pick(2)));
        if (whole == 0)
                *s++ = '0';
        if (fraction > 0)
                *s++ = '.';
        for (unsigned i = 0; i < fraction; i++)
                *s++ = (char) ('0' + (pick(3) ? pick(10) : 9 * pick(2)));
        *s = '\0';
}

typedef int (*Operation)(Decimal *, const Decimal *, const Decimal *);

static int divide(Decimal *ret, const Decimal *a, const Decimal *b) {
        return decimal_div(ret, a, b, DECIMAL_DIVISION_PLACES);
}

static char *compute(Operation f, const char *a, const char *b) {
        _cleanup_decimal_ Decimal x = DECIMAL_INIT, y = DECIMAL_INIT;

        cr_assert_eq(decimal_parse(&x, a), 0, "%s", a);
        cr_assert_eq(decimal_parse(&y, b), 0, "%s", b);
        if (f(&x, &x, &y) < 0)
                return NULL;
        return decimal_to_fixed(&x);
}

static void expect(Operation f, const char *a, const char *b, const char *expected) {
        _cleanup_free_ char *s = compute(f, a, b);

        cr_assert_str_eq(s, expected, "%s, %s: %s instead of %s", a, b, s, expected);
}

static void expect_text(const char *in, const char *fixed, const char *brief) {
        _cleanup_decimal_ Decimal d = DECIMAL_INIT;
        _cleanup_free_ char *f = NULL, *s = NULL;

        cr_assert_eq(decimal_parse(&d, in), 0, "%s", in);
        f = decimal_to_fixed(&d);
        s = decimal_to_short(&d);
        cr_assert_str_eq(f, fixed);
        cr_assert_str_eq(s, brief);
}

Test(decimal, texts) {
        expect_text("1.25e-7", "0.000000125", "1.25e-7");
        expect_text("-8.75E-7", "-0.000000875", "-8.75e-7");
        expect_text("1e+21", "1000000000000000000000", "1e+21");
        expect_text("123e19", "1230000000000000000000", "1.23e+21");
        expect_text("1e20", "100000000000000000000", "100000000000000000000");
        expect_text("0.000001", "0.000001", "0.000001");
        expect_text("-0", "0", "0");
        expect_text("-0.000", "0", "0");
        expect_text("0e50", "0", "0");
        expect_text("007.500", "7.5", "7.5");
        expect_text(".5", "0.5", "0.5");
        expect_text("-.5e1", "-5", "-5");
        expect_text("1200", "1200", "1200");
        expect_text("12.00e2", "1200", "1200");
}

Test(decimal, refuses_what_is_no_number) {
        static const char *const bad[] = { "",      "-",        ".",         "1.",  "+1",  " 1", "1 ",
                                           "NaN",   "Infinity", "-Infinity", "1e",  "1e+", "e5", "--1",
                                           "1.2.3", "0x10",     "1e5.0",     "1_0", "1,5", "-.", "1ee5" };
        _cleanup_decimal_ Decimal d = DECIMAL_INIT;

        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                cr_assert_eq(decimal_parse(&d, bad[i]), -EINVAL, "%s", bad[i]);
        cr_assert_eq(decimal_parse_n(&d, "1\0002", 3), -EINVAL);
}

/* GMP would abort the process: each of these must be refused before it. */
Test(decimal, sizes_are_bounded) {
        static char text[DECIMAL_MAX_TEXT + 2];
        _cleanup_decimal_ Decimal d = DECIMAL_INIT, tiny = DECIMAL_INIT;
        int r = 0;

        memset(text, '9', DECIMAL_MAX_TEXT);
        cr_assert_eq(decimal_parse(&d, text), 0);
        text[DECIMAL_MAX_TEXT] = '9';
        cr_assert_eq(decimal_parse(&d, text), -ERANGE);
        cr_assert_eq(decimal_parse(&d, "1e10001"), -ERANGE);
        cr_assert_eq(decimal_parse(&d, "1e-10001"), -ERANGE);
        cr_assert_eq(decimal_parse(&d, "1e99999999999999999999999999"), -ERANGE);
        cr_assert_eq(decimal_parse(&d, "1e10000"), 0);
        cr_assert_eq(decimal_parse(&tiny, "1e-10000"), 0);
        for (int i = 0; i < 64 && r == 0; i++)
                r = decimal_mul(&d, &d, &d);
        cr_assert_eq(r, -ERANGE);
        r = 0;
        for (int i = 0; i < 64 && r == 0; i++)
                r = decimal_mul(&tiny, &tiny, &tiny);
        cr_assert_eq(r, -ERANGE);
        cr_assert_eq(decimal_pow10(&d, 10001), -ERANGE);
        cr_assert_eq(decimal_pow10(&d, INT32_MIN), -ERANGE);
}

Test(decimal, division_and_powers_of_ten) {
        _cleanup_decimal_ Decimal d = DECIMAL_INIT;
        _cleanup_free_ char *s = NULL, *z = NULL;

        expect(divide, "0.00002", "3", "0.00000666666666666667");
        expect(divide, "0.00001", "3", "0.00000333333333333333");
        expect(divide, "-0.00002", "3", "-0.00000666666666666667");
        expect(divide, "1e-20", "2", "0.00000000000000000001");
        expect(divide, "-1e-20", "2", "-0.00000000000000000001");
        expect(divide, "0.9e-20", "2", "0");
        expect(divide, "10", "4", "2.5");
        expect(divide, "1e30", "1e-30", "1000000000000000000000000000000000000000000000000000000000000");
        cr_assert_null(compute(divide, "1", "0.00"));
        cr_assert_eq(decimal_pow10(&d, -20), 0);
        s = decimal_to_fixed(&d);
        cr_assert_str_eq(s, "0.00000000000000000001");
        cr_assert_eq(decimal_pow10(&d, -21), 0);
        z = decimal_to_fixed(&d);
        cr_assert_str_eq(z, "0");
}

/* Sections 7 and 9.8 of the market rules. */
Test(decimal, market_figures) {
        expect(decimal_mul, "2500000", "1e-7", "0.25");
        expect(decimal_sub, "139.5", "141", "-1.5");
        expect(decimal_add, "0.000000375", "0.0000125", "0.000012875");
        expect(divide, "0.000001125", "3", "0.000000375");
        expect(decimal_mul, "10050000000", "1e-8", "100.5");
}

Test(decimal, an_unset_one_is_zero_and_operands_may_be_the_result) {
        _cleanup_decimal_ Decimal sum = DECIMAL_INIT, one = DECIMAL_INIT;

        decimal_set_int(&one, INT64_MIN);
        cr_assert_eq(decimal_sign(&sum), 0);
        cr_assert_eq(decimal_compare(&sum, &one), 1);
        cr_assert_eq(decimal_to_double(&sum), 0.0);
        cr_assert_eq(decimal_sub(&sum, &sum, &one), 0);
        cr_assert_eq(decimal_add(&sum, &sum, &sum), 0);
        cr_assert_eq(decimal_to_double(&sum), 0x1p64);
}

Test(decimal, doubles_are_the_nearest) {
        state = 7;
        for (int i = 0; i < 2000; i++) {
                _cleanup_decimal_ Decimal d = DECIMAL_INIT;
                char s[80];

                random_number(s);
                cr_assert_eq(decimal_parse(&d, s), 0);
                cr_assert(decimal_to_double(&d) == strtod(s, NULL), "%s", s);
        }
}

Test(decimal, rounding_of_halves) {
        static const struct {
                const char *in;
                uint32_t places;
                const char *half, *cut;
        } rows[] = {
                { "0.5", 0, "1", "0" },         { "-0.5", 0, "-1", "0" },          { "0.49", 0, "0", "0" },
                { "2.345", 2, "2.35", "2.34" }, { "-2.345", 2, "-2.35", "-2.34" }, { "99.995", 2, "100", "99.99" },
                { "1.5", 3, "1.5", "1.5" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_decimal_ Decimal d = DECIMAL_INIT, r = DECIMAL_INIT;
                _cleanup_free_ char *half = NULL, *cut = NULL;

                cr_assert_eq(decimal_parse(&d, rows[i].in), 0);
                decimal_round(&r, &d, rows[i].places, DECIMAL_HALF_AWAY);
                half = decimal_to_fixed(&r);
                decimal_round(&r, &d, rows[i].places, DECIMAL_TRUNCATE);
                cut = decimal_to_fixed(&r);
                cr_assert_str_eq(half, rows[i].half);
                cr_assert_str_eq(cut, rows[i].cut);
        }
}

/* The second implementation: magnitudes as arrays of digits, all of one fixed scale, as on paper. */
#define WIDTH 192
#define POINT 60 /* digits behind the point */
typedef struct Paper {
        bool negative;
        unsigned char digit[WIDTH]; /* least first */
} Paper;

static Paper paper_read(const char *s) {
        Paper p = { 0 };
        const char *dot = strchr(s, '.'), *end = s + strlen(s), *first = *s == '-' ? s + 1 : s;
        size_t at = POINT - (dot ? (size_t) (end - dot - 1) : 0);

        p.negative = *s == '-';
        for (const char *q = end; q-- > first;)
                if (*q != '.')
                        p.digit[at++] = (unsigned char) (*q - '0');
        return p;
}

static char *paper_print(const Paper *p) {
        char s[WIDTH + 4];
        size_t n = 0, high = WIDTH - 1, low = 0;
        bool zero = true;

        while (high > POINT && p->digit[high] == 0)
                high--;
        while (low < POINT && p->digit[low] == 0)
                low++;
        for (size_t i = 0; i < WIDTH; i++)
                zero = zero && p->digit[i] == 0;
        if (p->negative && !zero)
                s[n++] = '-';
        for (size_t i = high + 1; i-- > low;) {
                s[n++] = (char) ('0' + p->digit[i]);
                if (i == POINT && low < POINT)
                        s[n++] = '.';
        }
        s[n] = '\0';
        return strdup(s);
}

static int paper_order(const Paper *a, const Paper *b) {
        for (size_t i = WIDTH; i-- > 0;)
                if (a->digit[i] != b->digit[i])
                        return a->digit[i] < b->digit[i] ? -1 : 1;
        return 0;
}

static void paper_subtract(Paper *a, const Paper *b) { /* magnitudes, a >= b */
        int borrow = 0;

        for (size_t i = 0; i < WIDTH; i++) {
                int d = a->digit[i] - b->digit[i] - borrow;

                borrow = d < 0;
                a->digit[i] = (unsigned char) (borrow ? d + 10 : d);
        }
}

static Paper paper_add(Paper a, Paper b) {
        int carry = 0;

        if (a.negative != b.negative) {
                if (paper_order(&a, &b) < 0) {
                        paper_subtract(&b, &a);
                        return b;
                }
                paper_subtract(&a, &b);
                return a;
        }
        for (size_t i = 0; i < WIDTH; i++) {
                int d = a.digit[i] + b.digit[i] + carry;

                carry = d > 9;
                a.digit[i] = (unsigned char) (d % 10);
        }
        return a;
}

static Paper paper_multiply(const Paper *a, const Paper *b) { /* products have at most 60 places: none is lost */
        unsigned columns[2 * WIDTH] = { 0 };
        Paper p = { .negative = a->negative != b->negative };

        for (size_t i = 0; i < WIDTH; i++)
                for (size_t j = 0; a->digit[i] && j < WIDTH; j++)
                        columns[i + j] += (unsigned) a->digit[i] * b->digit[j];
        for (size_t i = 0; i + 1 < 2 * WIDTH; i++) {
                columns[i + 1] += columns[i] / 10;
                columns[i] %= 10;
        }
        for (size_t i = 0; i < WIDTH; i++)
                p.digit[i] = (unsigned char) columns[i + POINT];
        return p;
}

/* Long division: the remainder is moved left digit by digit; 20 places and one more to round by (half away). */
static Paper paper_divide(const Paper *a, const Paper *b) {
        Paper q = { .negative = a->negative != b->negative }, rest = { 0 }, one = { 0 };
        unsigned next = 0;

        for (int i = WIDTH - 1; i >= -21; i--) {
                unsigned d = 0;

                memmove(rest.digit + 1, rest.digit, WIDTH - 1);
                rest.digit[0] = i >= 0 ? a->digit[i] : 0;
                while (paper_order(&rest, b) >= 0) {
                        paper_subtract(&rest, b);
                        d++;
                }
                if (i == -21)
                        next = d;
                else if (i + POINT < WIDTH)
                        q.digit[i + POINT] = (unsigned char) d;
        }
        one.negative = q.negative;
        one.digit[POINT - 20] = 1;
        return next >= 5 ? paper_add(q, one) : q;
}

Test(decimal, agrees_with_arithmetic_on_paper) {
        state = 42;
        for (int i = 0; i < 3000; i++) {
                char a[80], b[80];
                Paper x, y, z;
                _cleanup_free_ char *sum = NULL, *difference = NULL, *product = NULL, *quotient = NULL;

                random_number(a);
                random_number(b);
                x = paper_read(a);
                y = paper_read(b);
                z = paper_add(x, y);
                sum = paper_print(&z);
                expect(decimal_add, a, b, sum);
                z = paper_multiply(&x, &y);
                product = paper_print(&z);
                expect(decimal_mul, a, b, product);
                if (strspn(b, "-0.") != strlen(b)) {
                        z = paper_divide(&x, &y);
                        quotient = paper_print(&z);
                        expect(divide, a, b, quotient);
                }
                y.negative = !y.negative;
                z = paper_add(x, y);
                difference = paper_print(&z);
                expect(decimal_sub, a, b, difference);
        }
}

/* trim_scale drops the zeros that numeric keeps. */
Test(decimal, agrees_with_postgresql) {
        static const char sql[] =
                "SELECT trim_scale($1::numeric + $2::numeric), trim_scale($1::numeric - $2::numeric),"
                " trim_scale($1::numeric * $2::numeric),"
                " trim_scale(round(round($1::numeric, 60) / nullif($2::numeric, 0), 20)),"
                " CASE WHEN $1::numeric < $2::numeric THEN -1 WHEN $1::numeric = $2::numeric THEN 0 ELSE 1 END";
        static const Operation operations[] = { decimal_add, decimal_sub, decimal_mul, divide };
        const char *names[] = { "host", "port", "user", "dbname", NULL };
        const char *values[] = { getenv("ROUNDTABLE_TEST_PG_HOST"), getenv("ROUNDTABLE_TEST_PG_PORT"),
                                 getenv("ROUNDTABLE_TEST_PG_USER"), getenv("ROUNDTABLE_TEST_PG_DATABASE"), NULL };
        PGconn *connection;

        if (!values[0])
                cr_skip_test("ROUNDTABLE_TEST_PG_HOST is not set: run it through tests/with-servers");
        connection = PQconnectdbParams(names, values, 0);
        cr_assert_eq(PQstatus(connection), CONNECTION_OK, "%s", PQerrorMessage(connection));
        state = 2026;
        for (int i = 0; i < 4000; i++) {
                _cleanup_decimal_ Decimal x = DECIMAL_INIT, y = DECIMAL_INIT;
                char a[80], b[80];
                const char *params[] = { a, b };
                PGresult *r;

                random_number(a);
                random_number(b);
                if (i % 20 == 0)
                        strcpy(b, a);
                r = PQexecParams(connection, sql, 2, NULL, params, NULL, NULL, 0);
                cr_assert_eq(PQresultStatus(r), PGRES_TUPLES_OK, "%s", PQerrorMessage(connection));
                for (int f = 0; f < (int) ELEMENTSOF(operations); f++)
                        if (!PQgetisnull(r, 0, f))
                                expect(operations[f], a, b, PQgetvalue(r, 0, f));
                (void) decimal_parse(&x, a);
                (void) decimal_parse(&y, b);
                cr_assert_eq(decimal_compare(&x, &y), number(PQgetvalue(r, 0, 4)), "%s, %s", a, b);
                PQclear(r);
        }
        PQfinish(connection);
}
