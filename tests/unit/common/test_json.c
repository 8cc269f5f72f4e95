/* JSON writing by ECMAScript's rules and the streaming reader. */

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>

#include "common/json.h"

static void expect_double(double value, const char *expected) {
        _cleanup_buffer_ Buffer b = { 0 };

        cr_assert_eq(json_append_double(&b, value, false), 0);
        cr_assert_str_eq(b.data, expected);
}

Test(json, numbers_as_ecmascript_prints_them) {
        expect_double(0.1325, "0.1325");
        expect_double(0.1, "0.1");
        expect_double(1e-7, "1e-7");
        expect_double(1.25e-7, "1.25e-7");
        expect_double(1e-6, "0.000001");
        expect_double(1e21, "1e+21");
        expect_double(1e20, "100000000000000000000");
        expect_double(123456789012345680000.0, "123456789012345680000");
        expect_double(-0.0, "0");
        expect_double(53, "53");
        expect_double(-1.5, "-1.5");
        expect_double(0.1 + 0.2, "0.30000000000000004");
        expect_double(5e-324, "5e-324");
        expect_double(1.7976931348623157e308, "1.7976931348623157e+308");
        expect_double(2.2250738585072014e-308, "2.2250738585072014e-308");
        expect_double(9007199254740993.0, "9007199254740992");
        expect_double(5e22, "5e+22");
        expect_double(NAN, "NaN");
        expect_double(-INFINITY, "-Infinity");
}

Test(json, not_a_number_is_null_in_json) {
        _cleanup_buffer_ Buffer b = { 0 };

        cr_assert_eq(json_append_double(&b, NAN, true), 0);
        cr_assert_eq(json_append_double(&b, INFINITY, true), 0);
        cr_assert_str_eq(b.data, "nullnull");
}

/* Digits of the printed number, without sign, point, exponent and the zeros that only place it. */
static size_t count_digits(const char *text) {
        char digits[512];
        size_t n = 0, start = 0;

        for (; *text && *text != 'e'; text++)
                if (*text >= '0' && *text <= '9')
                        digits[n++] = *text;
        while (start < n && digits[start] == '0')
                start++;
        while (n > start && digits[n - 1] == '0')
                n--;
        return n - start;
}

Test(json, random_doubles_read_back_and_none_is_shorter) {
        uint64_t state = 12345;

        for (int i = 0; i < 20000; i++) {
                _cleanup_buffer_ Buffer b = { 0 };
                char shorter[64];
                double value;
                size_t digits;

                state = state * 6364136223846793005ULL + 1442695040888963407ULL;
                memcpy(&value, &state, sizeof(value));
                if (i % 2)
                        value = (double) (state >> 40) / 1000;
                if (!isfinite(value) || value == 0)
                        continue;
                cr_assert_eq(json_append_double(&b, value, true), 0);
                cr_assert(strtod(b.data, NULL) == value, "%s", b.data);
                digits = count_digits(b.data);
                cr_assert_leq(digits, 17);
                if (digits < 2)
                        continue;
                (void) snprintf(shorter, sizeof(shorter), "%.*e", (int) digits - 2, value);
                cr_assert(strtod(shorter, NULL) != value, "%s is shorter than %s", shorter, b.data);
        }
}

Test(json, locale_with_a_decimal_comma_changes_nothing) {
        if (!setlocale(LC_ALL, "de_DE.UTF-8"))
                cr_skip_test("no locale de_DE.UTF-8 on this machine");
        expect_double(0.1325, "0.1325");
        expect_double(1.25e-7, "1.25e-7");
}

static void expect_string(const char *in, size_t length, const char *expected) {
        _cleanup_buffer_ Buffer b = { 0 };

        cr_assert_eq(json_append_string(&b, in, length), 0);
        cr_assert_str_eq(b.data, expected);
}

Test(json, strings_are_escaped_as_json_stringify_does) {
        expect_string("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
        expect_string("\b\f\n\r\t\x01\x1f\x7f", 8, "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
        expect_string("a\0b", 3, "\"a\\u0000b\"");
        expect_string("\xe2\x82\xac\xf0\x9f\x98\x80", 7, "\"\xe2\x82\xac\xf0\x9f\x98\x80\"");
        /* overlong, surrogate, cut short, beyond U+10FFFF: a U+FFFD for each byte */
        expect_string("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
        expect_string("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
        expect_string("a\xe2\x82", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
        expect_string("\xf5", 1, "\"\xef\xbf\xbd\"");
        expect_string("", 0, "\"\"");
}

static int collect(const char *path, JsonEvent event, const char *text, size_t length, void *userdata) {
        static const char *const names[] = { "string", "number", "true", "false", "null", "object", "array" };

        cr_assert_eq(strlen(text), length);
        return buffer_printf(userdata, "%s %s %s\n", path, names[event], text);
}

static const char document[] =
        "{\"data\":[{\"price\":0.1000,\"s\":\"a\\u00e4\"},[],[1,[2]],null,true],\"z\":{\"k\":1e400},\"f\":false}";
static const char collected[] =
        "$.data[0].price number 0.1000\n$.data[0].s string a\xc3\xa4\n$.data[0] object \n$.data[1] array \n"
        "$.data[2][0] number 1\n$.data[2][1][0] number 2\n$.data[2][1] array \n$.data[2] array \n$.data[3] null null\n"
        "$.data[4] true true\n$.data array \n$.z.k number 1e400\n$.z object \n$.f false false\n$ object \n";

Test(json, reader_gives_paths_and_original_numbers_in_any_pieces) {
        for (size_t piece = 1; piece <= strlen(document); piece++) {
                JsonReader *r = NULL;
                _cleanup_buffer_ Buffer b = { 0 };

                cr_assert_eq(json_reader_new(collect, &b, 8, &r), 0);
                for (size_t at = 0; at < strlen(document); at += piece) {
                        size_t left = strlen(document) - at;

                        cr_assert_eq(json_reader_feed(r, document + at, left < piece ? left : piece, NULL), 0);
                }
                cr_assert_eq(json_reader_finish(r, NULL), 0);
                cr_assert_str_eq(b.data, collected);
                json_reader_free(r);
        }
}

static int read_text(const char *text, size_t max_depth, JsonCallback callback, Error *e) {
        _cleanup_(json_reader_freep) JsonReader *r = NULL;
        _cleanup_buffer_ Buffer b = { 0 };
        int k;

        cr_assert_eq(json_reader_new(callback, &b, max_depth, &r), 0);
        k = json_reader_feed(r, text, strlen(text), e);
        return k < 0 ? k : json_reader_finish(r, e);
}

static int refuse(const char *path, JsonEvent event, const char *text, size_t length, void *userdata) {
        (void) path, (void) event, (void) text, (void) length, (void) userdata;
        return -E2BIG;
}

Test(json, reader_refuses_what_is_broken) {
        _cleanup_error_ Error e = ERROR_INIT;

        cr_assert_eq(read_text("[[1]]", 2, collect, &e), 0);
        cr_assert_eq(read_text("[[[1]]]", 2, collect, &e), -EBADMSG);
        cr_assert(strstr(error_text(&e), "deeper than 2"));
        cr_assert_eq(read_text("[1,", 4, collect, &e), -EBADMSG);
        cr_assert_eq(read_text("{\"a\":1", 4, collect, &e), -EBADMSG);
        cr_assert_eq(read_text("", 4, collect, &e), -EBADMSG);
        cr_assert_eq(read_text("[1] x", 4, collect, &e), -EBADMSG);
        cr_assert_eq(read_text("{\"secret\" 1}", 4, collect, &e), -EBADMSG);
        cr_assert_eq(read_text("[\"\xff\"]", 4, collect, &e), -EBADMSG);
        cr_assert_eq(read_text("[1]", 4, refuse, &e), -E2BIG);
}
