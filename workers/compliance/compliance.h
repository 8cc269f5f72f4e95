#pragma once

/* Tasks of the compliance family (compliance specification). */

#include "workers/task.h"

int delete_old_firebase_notification_tokens_run(TaskContext *ctx);
int subaccount_username_generator_run(TaskContext *ctx);
int update_affiliate_info_run(TaskContext *ctx);
int update_compliance_data_run(TaskContext *ctx);
int update_compliance_status_run(TaskContext *ctx);
int update_wallet_total_volume_run(TaskContext *ctx);
