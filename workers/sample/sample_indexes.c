/* Building an index at once takes a tenth of the time of keeping it up to date over millions of rows in random order.
 */

#include "sql/statements.h"
#include "workers/sample/sample_internal.h"

enum { COLUMN_DROP, COLUMN_CREATE };

int sample_indexes_drop(SampleContext *s, char **ret_script, Error *reterr) {
        _cleanup_pg_result_ PGresult *indexes = NULL;
        _cleanup_buffer_ Buffer drop = { 0 }, create = { 0 };
        _cleanup_pg_array_ PgArray tables = { 0 };
        const char *params[1];
        int r;

        for (const SampleFamily *const *f = sample_families; *f; f++)
                for (const char *const *t = (*f)->bulk_tables; t && *t; t++)
                        pg_array_append(&tables, *t);
        params[0] = pg_array_text(&tables);
        if (!params[0])
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = sample_query(s, &sql_sample_read_indexes, ELEMENTSOF(params), params, &indexes, reterr);
        if (r < 0)
                return r;
        for (int i = 0; i < PQntuples(indexes); i++) {
                (void) buffer_printf(&drop, "%s;\n", PQgetvalue(indexes, i, COLUMN_DROP));
                (void) buffer_printf(&create, "%s;\n", PQgetvalue(indexes, i, COLUMN_CREATE));
        }
        if (buffer_failed(&drop) || buffer_failed(&create))
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for the indexes");
        r = PQntuples(indexes) > 0 ? pg_script(s->postgres, "drop_indexes", drop.data, s->token, reterr) : 0;
        if (r < 0)
                return r;
        *ret_script = PQntuples(indexes) > 0 ? buffer_take(&create) : NULL;
        return 0;
}
