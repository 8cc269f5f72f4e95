/* The functions of the orders family's tasks. */

#include "workers/orders/orders.h"

extern const TaskBinding orders_tasks[];
const TaskBinding orders_tasks[] = {
        { "cancel_stale_orders", cancel_stale_orders_run },
        { "remove_expired_orders", remove_expired_orders_run },
        { "remove_old_order_updates", remove_old_order_updates_run },
        { NULL, NULL },
};
