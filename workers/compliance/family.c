/* The functions of the compliance family's tasks. */

#include "workers/compliance/compliance.h"

extern const TaskBinding compliance_tasks[];
const TaskBinding compliance_tasks[] = {
        { "delete-old-firebase-notification-tokens", delete_old_firebase_notification_tokens_run },
        { "subaccount_username_generator", subaccount_username_generator_run },
        { "update_affiliate_info", update_affiliate_info_run },
        { "update_compliance_data", update_compliance_data_run },
        { "update_compliance_status", update_compliance_status_run },
        { "update_wallet_total_volume", update_wallet_total_volume_run },
        { NULL, NULL },
};
