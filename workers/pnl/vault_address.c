/* Bech32 without its reading half, for 20 bytes: 160 bits are 32 groups of five without a rest. */

#include <openssl/evp.h>
#include <stdio.h>

#include "workers/pnl/vault_address.h"

#define ADDRESS_BYTES 20
#define DATA_GROUPS 32
#define CHECKSUM_GROUPS 6

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
static const char prefix[] = "dydx";

/* One step of the checksum's remainder (BIP 173). */
static uint32_t step(uint32_t checksum, uint8_t group) {
        static const uint32_t generator[] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 };
        uint32_t top = checksum >> 25;

        checksum = (checksum & 0x1ffffff) << 5 ^ group;
        for (unsigned i = 0; i < ELEMENTSOF(generator); i++)
                if (top >> i & 1)
                        checksum ^= generator[i];
        return checksum;
}

static uint32_t checksum_of(const uint8_t groups[static DATA_GROUPS]) {
        uint32_t checksum = 1;

        for (const char *p = prefix; *p; p++)
                checksum = step(checksum, (uint8_t) *p >> 5);
        checksum = step(checksum, 0);
        for (const char *p = prefix; *p; p++)
                checksum = step(checksum, (uint8_t) *p & 31);
        for (unsigned i = 0; i < DATA_GROUPS; i++)
                checksum = step(checksum, groups[i]);
        for (unsigned i = 0; i < CHECKSUM_GROUPS; i++)
                checksum = step(checksum, 0);
        return checksum ^ 1;
}

int vault_address(unsigned n, char ret[static VAULT_ADDRESS_SIZE]) {
        uint8_t hash[EVP_MAX_MD_SIZE], groups[DATA_GROUPS];
        uint32_t checksum, bits = 0;
        unsigned n_bits = 0, n_groups = 0;
        char name[64], *out = ret;
        int length;

        length = snprintf(name, sizeof(name), "vault-VAULT_TYPE_CLOB-%u", n);
        if (EVP_Digest(name, (size_t) length, hash, NULL, EVP_sha256(), NULL) != 1)
                return -EIO;
        for (unsigned i = 0; i < ADDRESS_BYTES; i++) {
                bits = bits << 8 | hash[i];
                for (n_bits += 8; n_bits >= 5; n_bits -= 5)
                        groups[n_groups++] = bits >> (n_bits - 5) & 31;
        }
        checksum = checksum_of(groups);
        out = stpcpy(out, "dydx1");
        for (unsigned i = 0; i < DATA_GROUPS; i++)
                *out++ = alphabet[groups[i]];
        for (unsigned i = 0; i < CHECKSUM_GROUPS; i++)
                *out++ = alphabet[checksum >> (5 * (CHECKSUM_GROUPS - 1 - i)) & 31];
        *out = '\0';
        return 0;
}
