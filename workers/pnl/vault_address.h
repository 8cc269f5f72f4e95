#pragma once

/* Addresses of the vaults that were there before the table of vaults (PnL specification, section 7.2). */

#include "common/util.h"

#define VAULT_ADDRESSES 1000
#define VAULT_ADDRESS_SIZE 44 /* "dydx1", 32 characters of data, 6 of checksum, NUL */

/* Bech32 (BIP 173) with prefix dydx of the first 20 bytes of SHA-256("vault-VAULT_TYPE_CLOB-<n>"). 0, or -EIO when
 * libcrypto refuses. Thread-safe. */
int vault_address(unsigned n, char ret[static VAULT_ADDRESS_SIZE]);
