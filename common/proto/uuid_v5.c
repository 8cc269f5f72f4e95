#include <openssl/evp.h>
#include <pthread.h>

#include "common/proto/uuid_v5.h"

#define UUID_SIZE 16

const uint8_t indexer_uuid_namespace[UUID_SIZE] = { 0x0f, 0x9d, 0xa9, 0x48, 0xa6, 0xfb, 0x4c, 0x45,
                                                    0x9e, 0xdc, 0x46, 0x85, 0xc3, 0xf3, 0x31, 0x7d };

static const EVP_MD *sha1;

/* Looked up once: by name it takes longer than the digest. */
static void fetch_sha1(void) {
        sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
}

static int digest(const uint8_t *name_space, const void *name, size_t length, uint8_t ret[static EVP_MAX_MD_SIZE]) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        EVP_MD_CTX *c;
        bool done;

        (void) pthread_once(&once, fetch_sha1);
        c = sha1 ? EVP_MD_CTX_new() : NULL;
        if (!c)
                return sha1 ? -ENOMEM : -EIO;
        done = EVP_DigestInit_ex2(c, sha1, NULL) == 1 && EVP_DigestUpdate(c, name_space, UUID_SIZE) == 1 &&
               EVP_DigestUpdate(c, name, length) == 1 && EVP_DigestFinal_ex(c, ret, NULL) == 1;
        EVP_MD_CTX_free(c);
        return done ? 0 : -EIO;
}

int uuid_v5(const uint8_t name_space[static UUID_SIZE], const void *name, size_t length,
            char ret[static UUID_TEXT_SIZE]) {
        static const char digits[] = "0123456789abcdef";
        uint8_t b[EVP_MAX_MD_SIZE];
        char *p = ret;
        int r;

        r = digest(name_space, name, length, b);
        if (r < 0)
                return r;
        b[6] = (uint8_t) ((b[6] & 0x0f) | 0x50);
        b[8] = (uint8_t) ((b[8] & 0x3f) | 0x80);
        for (size_t i = 0; i < UUID_SIZE; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *p++ = '-';
                *p++ = digits[b[i] >> 4];
                *p++ = digits[b[i] & 0xf];
        }
        *p = '\0';
        return 0;
}
