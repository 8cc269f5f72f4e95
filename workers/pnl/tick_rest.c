/* See tick_rest.h. The value is the hour in ms since 1970, 15 digits; whether the last account was new; its id. */

#include <inttypes.h>
#include <stdio.h>

#include "sql/statements.h"
#include "workers/pnl/latest_ticks.h"
#include "workers/pnl/tick_rest.h"

static TickRest parse_rest(const char *value) {
        TickRest rest = { 0 };
        char id[64];
        int new;

        /* nobody but us writes it; one that is spoilt must not end every run from now on */
        if (sscanf(value, "%15" SCNd64 " %d %63s", &rest.begins_msec, &new, id) != 3 ||
            !subaccount_id_parse(id, strlen(id), rest.cursor.id))
                return (TickRest){ 0 };
        rest.cursor.new = new != 0;
        rest.cursor.set = true;
        return rest;
}

int tick_rest_read(TaskContext *ctx, TickRest *ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *row = NULL;
        int r;

        r = task_query(ctx, PG_PRIMARY, &sql_pnl_read_tick_rest, 0, NULL, &row, reterr);
        if (r < 0)
                return r;
        *ret = PQntuples(row) > 0 ? parse_rest(PQgetvalue(row, 0, 0)) : (TickRest){ 0 };
        return 0;
}

int tick_rest_write(TaskContext *ctx, const TickRest *rest, Error *reterr) {
        char value[24 + UUID_TEXT_SIZE];
        const char *param = value;

        if (!rest->cursor.set) {
                (void) snprintf(value, sizeof(value), "%lld", (long long) rest->begins_msec);
                return task_query(ctx, PG_PRIMARY, &sql_pnl_delete_tick_rest, 1, &param, NULL, reterr);
        }
        (void) snprintf(value, sizeof(value), "%015lld %d %s", (long long) rest->begins_msec, rest->cursor.new,
                        rest->cursor.id);
        return task_query(ctx, PG_PRIMARY, &sql_pnl_write_tick_rest, 1, &param, NULL, reterr);
}
