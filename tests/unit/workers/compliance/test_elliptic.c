/* Requests to and answers of the screening service. Expected values: compliance specification, section 2.5. */

#include <criterion/criterion.h>

#include "workers/compliance/elliptic.h"

#define ADDRESS "dydx1v0rks90786p093z6m632sdml77facea7e88thm"
#define BODY                                                                                                           \
        "{\"subject\":{\"asset\":\"holistic\",\"blockchain\":\"holistic\",\"type\":\"address\",\"hash\":\"" ADDRESS    \
        "\"},\"type\":\"wallet_exposure\",\"customer_reference\":\"string\"}"

static void expect_signature(const char *secret, const char *expected) {
        char got[ELLIPTIC_SIGNATURE_SIZE];
        EllipticKey key = { 0 };

        cr_assert_eq(elliptic_key_decode(secret, &key), 0);
        cr_assert_eq(elliptic_sign(&key, "1767225600123", BODY, strlen(BODY), got), 0);
        cr_assert_str_eq(got, expected, "secret %s", secret);
        elliptic_key_done(&key);
}

Test(elliptic, body_byte_for_byte) {
        _cleanup_buffer_ Buffer body = { 0 }, odd = { 0 };

        cr_assert_eq(elliptic_append_body(&body, ADDRESS), 0);
        cr_assert_eq(body.length, 181);
        cr_assert_str_eq(body.data, BODY);
        cr_assert_eq(elliptic_append_body(&odd, "a\"b\\c\nd/ü"), 0);
        cr_assert(strstr(odd.data, "\"hash\":\"a\\\"b\\\\c\\nd/ü\"}"), "%s", odd.data);
}

Test(elliptic, signatures) {
        expect_signature("cm91bmR0YWJsZS1zcGVjLXNlY3JldC0wMTIzNDU2Nzg5",
                         "eLqT3yDZhF44dyKpkMHO1jUHslvDLoER5HkJYuh8jjU=");
        expect_signature("", "rRzhPMEfjrTvpiSr80d55zzbMCWh0yA+c/QPH8myLGU=");
        expect_signature(NULL, "rRzhPMEfjrTvpiSr80d55zzbMCWh0yA+c/QPH8myLGU=");
}

static void expect_key(const char *secret, const char *bytes, size_t length) {
        EllipticKey key = { 0 };

        cr_assert_eq(elliptic_key_decode(secret, &key), 0);
        cr_assert_eq(key.length, length, "%s: %zu bytes", secret, key.length);
        cr_assert_eq(memcmp(key.bytes, bytes, length), 0, "%s", secret);
        elliptic_key_done(&key);
}

Test(elliptic, the_secret_is_read_leniently) {
        expect_key("cm91bmR0YWJsZQ==", "roundtable", 10);
        expect_key("cm91bmR0YWJsZQ", "roundtable", 10);
        expect_key(" cm91\nbmR0!YWJs*ZQ== ", "roundtable", 10);
        expect_key("+/-_", "\xfb\xff\xbf", 3);
        expect_key("YQ==YQ==", "a", 1);
        expect_key("====", "", 0);
        expect_key("Y", "", 0);
}

static void expect_answer(long status, const char *body, EllipticVerdict verdict, double score) {
        double got = 0;
        EllipticVerdict v = elliptic_read_answer(status, body, strlen(body), &got);

        cr_assert_eq(v, verdict, "%ld %s: %d", status, body, (int) v);
        if (verdict <= ELLIPTIC_UNKNOWN)
                cr_assert(got == score, "%ld %s: %g", status, body, got);
}

#define DETAIL ",\"evaluation_detail\":{\"source\":[],\"destination\":null}}"

Test(elliptic, answers_with_a_score) {
        expect_answer(200, "{\"risk_score\":12.4" DETAIL, ELLIPTIC_SCORE, 12.4);
        expect_answer(201, "{\"risk_score\":0" DETAIL, ELLIPTIC_SCORE, 0);
        expect_answer(299, " {\"risk_score\" : 1e1" DETAIL "\n", ELLIPTIC_SCORE, 10);
        expect_answer(200, "{\"risk_score\":1" DETAIL, ELLIPTIC_SCORE, 1);
        expect_answer(200, "{\"id\":123456789012345678901234567890,\"risk_score\":3" DETAIL, ELLIPTIC_SCORE, 3);
        expect_answer(200, "{\"risk_score\":9,\"risk_score\":3" DETAIL, ELLIPTIC_SCORE, 3);
        expect_answer(200, "{\"risk_score\":null}", ELLIPTIC_NO_RULE, -1);
        expect_answer(200, "{\"risk_score\":null,\"evaluation_detail\":7}", ELLIPTIC_NO_RULE, -1);
        expect_answer(404, "{\"name\":\"NotInBlockchain\",\"message\":\"x\"}", ELLIPTIC_UNKNOWN, -2);
}

Test(elliptic, answers_that_say_nothing) {
        static const char *const malformed[] = {
                "",
                "{",
                "nonsense",
                "[]",
                "null",
                "{}",
                "12",
                "{\"risk_score\":\"12\"" DETAIL,
                "{\"risk_score\":12}",
                "{\"risk_score\":12,\"evaluation_detail\":{\"source\":[]}}",
                "{\"risk_score\":12,\"evaluation_detail\":{\"destination\":[]}}",
                "{\"risk_score\":12,\"evaluation_detail\":[\"source\",\"destination\"]}",
                "{\"risk_score\":1e400" DETAIL,
                "{\"risk_score\":true" DETAIL,
                "{\"risk_score\":{}" DETAIL,
                "{\"risk_score\":12" DETAIL "}",
                "{\"risk_score\":12,\"evaluation_detail.source\":1,\"evaluation_detail.destination\":1}",
        };

        for (size_t i = 0; i < ELEMENTSOF(malformed); i++)
                expect_answer(200, malformed[i], ELLIPTIC_MALFORMED, 0);
}

Test(elliptic, other_statuses) {
        static const long trouble[] = { 500, 502, 503, 504 },
                          refused[] = { 301, 302, 307, 400, 401, 403, 418, 501, 599 };

        expect_answer(404, "{\"name\":\"Other\"}", ELLIPTIC_REFUSED, 0);
        expect_answer(404, "{\"name\":1}", ELLIPTIC_REFUSED, 0);
        expect_answer(404, "not found", ELLIPTIC_REFUSED, 0);
        expect_answer(429, "{\"risk_score\":null}", ELLIPTIC_THROTTLED, 0);
        for (size_t i = 0; i < ELEMENTSOF(trouble); i++)
                expect_answer(trouble[i], "{\"risk_score\":null}", ELLIPTIC_TROUBLE, 0);
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                expect_answer(refused[i], "{\"risk_score\":null}", ELLIPTIC_REFUSED, 0);
}

Test(elliptic, scores_are_rounded_half_away_from_zero_and_fit_the_column) {
        static const struct {
                double score;
                int32_t expected;
        } cases[] = { { 9.49, 9 },        { 9.5, 10 },     { 9.999, 10 },     { 0.5, 1 },
                      { 0.49, 0 },        { -0.5, -1 },    { -1, -1 },        { -0.4, 0 },
                      { 999999, 999999 }, { 1e6, 999999 }, { 1e300, 999999 }, { -1e9, -999999 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                cr_assert_eq(elliptic_round_score(cases[i].score), cases[i].expected, "%g", cases[i].score);
}

static int compare_pauses(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* A thousand drawn pauses stay within half of the middle one, come near both ends and are hardly ever alike. */
static void expect_pauses(int64_t retries, uint64_t middle_usec) {
        static uint64_t pauses[1000];
        size_t n = ELEMENTSOF(pauses), distinct = 1;

        for (size_t i = 0; i < n; i++)
                pauses[i] = elliptic_draw_pause_usec(retries);
        qsort(pauses, n, sizeof(*pauses), compare_pauses);
        for (size_t i = 1; i < n; i++)
                distinct += pauses[i] != pauses[i - 1];
        cr_assert_geq(pauses[0], middle_usec / 2);
        cr_assert_lt(pauses[0], middle_usec * 6 / 10);
        cr_assert_gt(pauses[n - 1], middle_usec * 14 / 10);
        cr_assert_leq(pauses[n - 1], middle_usec * 15 / 10);
        cr_assert_gt(distinct, n * 9 / 10, "%zu different pauses", distinct);
}

Test(elliptic, pauses_grow_and_vary) {
        expect_pauses(0, 200000);
        expect_pauses(1, 200000);
        expect_pauses(2, 400000);
        expect_pauses(3, 800000);
        expect_pauses(5, 3200000);
        expect_pauses(6, 5000000);
        expect_pauses(100, 5000000);
}
