#pragma once

/* A stand-in for Criterion's header in ThreadSanitizer builds: Criterion's process machinery maps memory at addresses
 * that ThreadSanitizer keeps for itself. Test(), the cr_assert family and cr_skip are enough for our tests. Each test
 * runs in a child of its own; outcomes are written as TAP to the file that `-O tap:FILE` names. */

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef void (*PlainFunction)(void);

typedef struct PlainOptions {
        PlainFunction init, fini;
        int signal, exit_code;
        double timeout;
        bool disabled;
        const char *description;
} PlainOptions;

void plain_register(const char *suite, const char *name, PlainFunction function, PlainOptions options);
void plain_register_suite(const char *suite, PlainOptions options);
void plain_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
void plain_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define Test(suite_, name_, ...)                                                                                       \
        static void suite_##_##name_##_body(void);                                                                     \
        __attribute__((constructor)) static void suite_##_##name_##_register(void) {                                   \
                plain_register(#suite_, #name_, suite_##_##name_##_body, (PlainOptions){ __VA_ARGS__ });               \
        }                                                                                                              \
        static void suite_##_##name_##_body(void)

#define TestSuite(suite_, ...)                                                                                         \
        __attribute__((constructor(200))) static void suite_##_suite_register(void) {                                  \
                plain_register_suite(#suite_, (PlainOptions){ __VA_ARGS__ });                                          \
        }                                                                                                              \
        struct plain_semicolon

#define cr_skip_test(...) plain_skip("" __VA_ARGS__)
#define cr_skip(...) plain_skip("" __VA_ARGS__)
#define cr_fatal(...) plain_fail(__FILE__, __LINE__, "" __VA_ARGS__)
#define cr_assert_fail(...) plain_fail(__FILE__, __LINE__, "" __VA_ARGS__)
#define cr_fail(...) plain_fail(__FILE__, __LINE__, "" __VA_ARGS__)
#define plain_check(condition_, text_, ...)                                                                            \
        do {                                                                                                           \
                if (!(condition_))                                                                                     \
                        plain_fail(__FILE__, __LINE__, text_ " " __VA_ARGS__);                                         \
        } while (0)
#define cr_assert(c, ...) plain_check(c, #c, __VA_ARGS__)
#define cr_expect(c, ...) plain_check(c, #c, __VA_ARGS__)
#define cr_assert_not(c, ...) plain_check(!(c), "!" #c, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) plain_check((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) plain_check((a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) plain_check((a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) plain_check((a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) plain_check((a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) plain_check((a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) plain_check((a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(a, ...) plain_check((a) == NULL, #a " is NULL", __VA_ARGS__)
#define cr_assert_not_null(a, ...) plain_check((a) != NULL, #a " is not NULL", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) plain_check(strcmp((a), (b)) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) plain_check(strcmp((a), (b)) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) plain_check(strcmp((a), (b)) != 0, #a " differs from " #b, __VA_ARGS__)
#define cr_assert_str_empty(a, ...) plain_check(!*(a), #a " is empty", __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) plain_check(memcmp((a), (b), (n)) == 0, #a " equals " #b, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...) plain_check(fabs((a) - (b)) <= (e), #a " near " #b, __VA_ARGS__)
