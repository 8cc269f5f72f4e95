/* update_wallet_total_volume: what each wallet has traded, all its subaccounts, both sides (compliance specification,
 * section 6). */

#include "sql/statements.h"
#include "workers/compliance/accumulation.h"
#include "workers/compliance/compliance.h"

int update_wallet_total_volume_run(TaskContext *ctx) {
        static const Accumulation volume = {
                .key = "totalVolumeUpdateTime",
                .default_start = "2023-10-26T00:00:00Z",
                .add = &sql_compliance_add_volume,
                .find_bad = &sql_compliance_find_bad_fill_of_volume,
                .at = "update-wallet-total-volume#runTask",
                .updating = "Updating wallet total volume",
                .failed = "Error when updating totalVolume in wallets table",
        };

        return accumulation_run(ctx, &volume);
}
