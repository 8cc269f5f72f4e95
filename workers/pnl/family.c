/* The functions of the pnl family's tasks. */

#include "workers/pnl/pnl.h"

extern const TaskBinding pnl_tasks[];
const TaskBinding pnl_tasks[] = {
        { "refresh-vault-pnl", refresh_vault_pnl_run },
        { NULL, NULL },
};
