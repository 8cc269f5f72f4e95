/* The height that tells which orders have expired. */

#include "sql/statements.h"
#include "workers/orders/orders.h"

int orders_read_height(TaskContext *ctx, int64_t *ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        r = task_query(ctx, PG_REPLICA, &sql_orders_read_height, 0, NULL, &result, reterr);
        if (r < 0)
                return r;
        if (PQntuples(result) == 0) {
                (void) error_set(reterr, ERROR_RETRY, -ENODATA, "table blocks is empty, so no height is known");
                error_set_hint(reterr, "wait until the indexer has stored its first block");
                return -ENODATA;
        }
        *ret = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        return 0;
}
