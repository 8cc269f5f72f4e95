#pragma once

/* Requests to and answers of the screening service Elliptic, byte for byte (compliance specification, section 2.5).
 * Pure functions without shared state, but for the pause, which is drawn. */

#include "common/util.h"

#define ELLIPTIC_PATH "/v2/wallet/synchronous"

/* The secret is base64, read leniently: both alphabets, other characters are skipped, it ends at `=`. */
typedef struct EllipticKey {
        unsigned char *bytes;
        size_t length;
} EllipticKey;
/* NULL is an empty secret. 0 or -ENOMEM. */
int elliptic_key_decode(const char *secret, EllipticKey *ret);
/* Overwrites and frees. */
void elliptic_key_done(EllipticKey *k);

/* Appends the body that asks about an address. 0 or -ENOMEM. */
int elliptic_append_body(Buffer *b, const char *address);

#define ELLIPTIC_SIGNATURE_SIZE 45 /* base64 of 32 bytes */
/* HMAC-SHA-256 over timestamp (milliseconds, decimal), method, path and body. 0, -ENOMEM or -EIO. */
int elliptic_sign(const EllipticKey *key, const char *timestamp, const void *body, size_t length,
                  char ret[static ELLIPTIC_SIGNATURE_SIZE]);

typedef enum EllipticVerdict {
        ELLIPTIC_SCORE,
        ELLIPTIC_NO_RULE,   /* no rule was triggered: score -1 */
        ELLIPTIC_UNKNOWN,   /* an address that is not in any blockchain: score -2 */
        ELLIPTIC_MALFORMED, /* an answer that says nothing: never asked again in the same run */
        ELLIPTIC_THROTTLED,
        ELLIPTIC_TROUBLE, /* theirs, and perhaps over soon */
        ELLIPTIC_REFUSED, /* any other status */
} EllipticVerdict;
/* *ret_score is set for the first three. */
EllipticVerdict elliptic_read_answer(long status, const char *body, size_t length, double *ret_score);

/* What is stored of a score: a whole number, halves away from zero, within what the column takes (numeric(8,2)). */
int32_t elliptic_round_score(double score);

/* How long to wait, in microseconds, before those are asked again who were asked again `retries` times by then, this
 * time included: 200 ms for the first time, twice as long each time, 5 s at most; half as much more or less, drawn anew
 * by each call, or batches that failed together would come back together. Thread-safe. */
uint64_t elliptic_draw_pause_usec(int64_t retries);
