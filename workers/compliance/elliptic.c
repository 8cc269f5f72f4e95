/* Signing with libcrypto and reading with jansson; see the header. */

#include <jansson.h>
#include <math.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "common/clock.h"
#include "common/json.h"
#include "workers/compliance/elliptic.h"

#define METHOD "POST"
#define LARGEST_STORED 999999
#define FIRST_PAUSE_USEC (200 * USEC_PER_MSEC)
#define LONGEST_PAUSE_USEC (5 * USEC_PER_SEC)

static int base64_value(char c) {
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        if (c == '+' || c == '-')
                return 62;
        return c == '/' || c == '_' ? 63 : -1;
}

/* libcrypto's decoder knows one alphabet and refuses what it does not know. */
int elliptic_key_decode(const char *secret, EllipticKey *ret) {
        size_t length = secret ? strlen(secret) : 0, n = 0;
        unsigned char *bytes = malloc(length + 1);
        uint32_t bits = 0;
        unsigned have = 0;

        if (!bytes)
                return -ENOMEM;
        for (size_t i = 0; i < length && secret[i] != '='; i++) {
                int value = base64_value(secret[i]);

                if (value < 0)
                        continue;
                bits = bits << 6 | (uint32_t) value;
                have += 6;
                if (have >= 8) {
                        have -= 8;
                        bytes[n++] = (unsigned char) (bits >> have);
                }
        }
        *ret = (EllipticKey){ .bytes = bytes, .length = n };
        return 0;
}

void elliptic_key_done(EllipticKey *k) {
        if (k->bytes)
                OPENSSL_cleanse(k->bytes, k->length);
        free(k->bytes);
        *k = (EllipticKey){ 0 };
}

int elliptic_append_body(Buffer *b, const char *address) {
        (void) buffer_append_string(
                b, "{\"subject\":{\"asset\":\"holistic\",\"blockchain\":\"holistic\",\"type\":\"address\",\"hash\":");
        (void) json_append_string(b, address, strlen(address));
        return buffer_append_string(b, "},\"type\":\"wallet_exposure\",\"customer_reference\":\"string\"}");
}

int elliptic_sign(const EllipticKey *key, const char *timestamp, const void *body, size_t length,
                  char ret[static ELLIPTIC_SIGNATURE_SIZE]) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        _cleanup_buffer_ Buffer text = { 0 };
        unsigned n = 0;

        (void) buffer_append_string(&text, timestamp);
        (void) buffer_append_string(&text, METHOD ELLIPTIC_PATH);
        if (buffer_append(&text, body, length) < 0)
                return -ENOMEM;
        if (!HMAC(EVP_sha256(), key->bytes, (int) key->length, (const unsigned char *) text.data, text.length, digest,
                  &n) ||
            n != 32)
                return -EIO;
        (void) EVP_EncodeBlock((unsigned char *) ret, digest, 32);
        return 0;
}

static EllipticVerdict read_score(const json_t *answer, double *ret_score) {
        const json_t *score = json_object_get(answer, "risk_score");
        const json_t *detail = json_object_get(answer, "evaluation_detail");

        if (json_is_null(score)) {
                *ret_score = -1;
                return ELLIPTIC_NO_RULE;
        }
        if (!json_is_number(score) || !json_object_get(detail, "source") || !json_object_get(detail, "destination"))
                return ELLIPTIC_MALFORMED;
        *ret_score = json_number_value(score);
        return isfinite(*ret_score) ? ELLIPTIC_SCORE : ELLIPTIC_MALFORMED;
}

EllipticVerdict elliptic_read_answer(long status, const char *body, size_t length, double *ret_score) {
        EllipticVerdict verdict = ELLIPTIC_REFUSED;
        json_t *answer;

        if (status == 429)
                return ELLIPTIC_THROTTLED;
        if (status == 500 || (status >= 502 && status <= 504))
                return ELLIPTIC_TROUBLE;
        if ((status < 200 || status > 299) && status != 404)
                return ELLIPTIC_REFUSED;
        /* a whole number beyond 64 bits may stand in a field that is not looked at */
        answer = json_loadb(body, length, JSON_DECODE_INT_AS_REAL, NULL);
        if (status != 404)
                verdict = read_score(answer, ret_score);
        else if (str_eq(json_string_value(json_object_get(answer, "name")), "NotInBlockchain")) {
                *ret_score = -2;
                verdict = ELLIPTIC_UNKNOWN;
        }
        json_decref(answer);
        return verdict;
}

int32_t elliptic_round_score(double score) {
        double rounded = round(score);

        return (int32_t) (rounded > LARGEST_STORED    ? LARGEST_STORED
                          : rounded < -LARGEST_STORED ? -LARGEST_STORED
                                                      : rounded);
}

uint64_t elliptic_draw_pause_usec(int64_t retries) {
        uint64_t pause = FIRST_PAUSE_USEC;

        for (int64_t i = 1; i < retries && pause < LONGEST_PAUSE_USEC; i++)
                pause *= 2;
        if (pause > LONGEST_PAUSE_USEC)
                pause = LONGEST_PAUSE_USEC;
        return (uint64_t) ((double) pause * (0.5 + random_fraction()));
}
