/* Addresses of the vaults: the check value of the PnL specification, section 7.2, and others of an independent
 * evaluation, which also gave the hash over all of them. */

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "workers/pnl/vault_address.h"

Test(vault_address, check_values) {
        static const struct {
                unsigned n;
                const char *address;
        } cases[] = {
                { 0, "dydx1c0m5x87llaunl5sgv3q5vd7j5uha26d2q2r2q0" },
                { 1, "dydx14rplxdyycc6wxmgl8fggppgq4774l70zt6phkw" },
                { 7, "dydx1c53uruvqn4ss9xg67pn0ealvz3jry8jmq56daz" },
                { 99, "dydx1y73m286vcnvrjnrcwv7d7l4gs2v2x5r65n7726" },
                { 999, "dydx1qah94upkd62l6az822hzrwd5cw3r6lszzyy762" },
        };
        char address[VAULT_ADDRESS_SIZE];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                cr_assert_eq(vault_address(cases[i].n, address), 0);
                cr_assert_str_eq(address, cases[i].address);
        }
}

Test(vault_address, all_of_them) {
        _cleanup_buffer_ Buffer b = { 0 };
        uint8_t hash[EVP_MAX_MD_SIZE];
        char address[VAULT_ADDRESS_SIZE], text[2 * 32 + 1];

        for (unsigned n = 0; n < VAULT_ADDRESSES; n++) {
                cr_assert_eq(vault_address(n, address), 0);
                (void) buffer_printf(&b, "%s%s", n > 0 ? "\n" : "", address);
        }
        cr_assert_eq(EVP_Digest(b.data, b.length, hash, NULL, EVP_sha256(), NULL), 1);
        for (unsigned i = 0; i < 32; i++)
                (void) snprintf(text + 2 * i, 3, "%02x", hash[i]);
        cr_assert_str_eq(text, "73ddecdc533a9ee3fb12bb9be35f9aa274b5fc78dbe1d171a98cd012e95c39f3");
}
