/* See height_pages.h. */

#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/pnl/height_pages.h"

#define MAX_HEIGHTS 1024 /* of a transaction */
#define ALL_HEIGHTS "1000000000"

/* Columns of the statement that reads heights. */
enum { COLUMN_VALUE, COLUMN_CHECKPOINT, COLUMN_HEIGHTS, COLUMN_N, COLUMN_LAST };
/* Columns of a notice. */
enum { NOTICE_WHAT, NOTICE_NAME, NOTICE_HEIGHT, NOTICE_COUNT };

/* Kept between slices. */
typedef struct Backlog {
        uint64_t done; /* heights of this run */
        uint64_t page; /* heights of the next transaction */
} Backlog;

/* One transaction. */
typedef struct Page {
        uint64_t heights;    /* 0: nothing to do */
        int64_t rows, known; /* written; there before, because the checkpoint had been lost */
        char checkpoint[32], last[32];
} Page;

static const char *value_or_null(const PGresult *result, int row, int column) {
        return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

static int read_heights(TaskContext *ctx, const HeightPages *pages, const char *limit, PGresult **ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        r = task_query(ctx, PG_PRIMARY, pages->read, 1, &limit, &result, reterr);
        if (r < 0)
                return r;
        if (PQgetisnull(result, 0, COLUMN_CHECKPOINT)) {
                r = error_set(reterr, ERROR_NEVER, -EBADMSG, "persistent_cache: %s is `%s`, which is no height",
                              pages->cache_key, PQgetvalue(result, 0, COLUMN_VALUE));
                error_set_hint(reterr,
                               "set it to the last height that is done; without the row all heights are done again");
                return r;
        }
        *ret = TAKE_PTR(result);
        return 0;
}

static HeightNotice notice_at(const PGresult *result, int row) {
        return (HeightNotice){
                .what = PQgetvalue(result, row, NOTICE_WHAT),
                .name = value_or_null(result, row, NOTICE_NAME),
                .height = value_or_null(result, row, NOTICE_HEIGHT),
                .count = strtoll(PQgetvalue(result, row, NOTICE_COUNT), NULL, 10),
        };
}

static int check_notices(const HeightPages *pages, const PGresult *notices, Error *reterr) {
        int r = 0;

        for (int i = 0; pages->check && r >= 0 && i < PQntuples(notices); i++) {
                HeightNotice notice = notice_at(notices, i);

                r = pages->check(&notice, reterr);
        }
        return r;
}

static void tell_notices(TaskContext *ctx, const HeightPages *pages, const PGresult *notices, Page *page) {
        for (int i = 0; i < PQntuples(notices); i++) {
                HeightNotice notice = notice_at(notices, i);

                if (str_eq(notice.what, "written"))
                        page->rows = notice.count;
                else if (str_eq(notice.what, "known"))
                        page->known = notice.count;
                else
                        pages->tell(ctx, &notice);
        }
}

static void log_page(TaskContext *ctx, const HeightPages *pages, LogLevel level, const Page *page, const Error *e,
                     const char *message) {
        const LogField fields[] = {
                LOG_STRING("SNAPSHOT_HEIGHT", "positionSnapshotHeight", *page->checkpoint ? page->checkpoint : NULL),
                LOG_STRING("HEIGHT", pages->height_field, *page->last ? page->last : NULL),
                LOG_STRING("ERROR_TEXT", "error", e ? error_text(e) : NULL),
        };

        task_log(ctx, level, pages->at, fields, ELEMENTSOF(fields), "%s", message);
}

/* Within the transaction. */
static int write_page(TaskContext *ctx, const HeightPages *pages, uint64_t limit, Page *page, PGresult **ret_notices,
                      Error *reterr) {
        _cleanup_free_ char *lock = str_printf("roundtable/%s", task_name(ctx));
        _cleanup_pg_result_ PGresult *heights = NULL;
        const char *params[3];
        char text[32];
        int r;

        if (!lock)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a lock's name");
        params[0] = lock;
        /* a statement of its own: what follows must see what the previous holder committed */
        r = task_query(ctx, PG_PRIMARY, &sql_pnl_lock_task, 1, params, NULL, reterr);
        if (r < 0)
                return r;
        (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) limit);
        r = read_heights(ctx, pages, text, &heights, reterr);
        if (r < 0)
                return r;
        page->heights = strtoull(PQgetvalue(heights, 0, COLUMN_N), NULL, 10);
        (void) snprintf(page->checkpoint, sizeof(page->checkpoint), "%s", PQgetvalue(heights, 0, COLUMN_CHECKPOINT));
        if (page->heights == 0)
                return 0;
        (void) snprintf(page->last, sizeof(page->last), "%s", PQgetvalue(heights, 0, COLUMN_LAST));
        log_page(ctx, pages, LOG_LEVEL_DEBUG, page, NULL, pages->computing);
        params[0] = page->checkpoint;
        params[1] = PQgetvalue(heights, 0, COLUMN_HEIGHTS);
        params[2] = pages->parameter ? pages->parameter(ctx) : NULL;
        r = task_query(ctx, PG_PRIMARY, pages->write, pages->parameter ? 3 : 2, params, ret_notices, reterr);
        return r < 0 ? r : check_notices(pages, *ret_notices, reterr);
}

static int run_page(TaskContext *ctx, const HeightPages *pages, uint64_t limit, Page *page, Error *reterr) {
        _cleanup_free_ char *gauge = str_printf("%s.last_processed_height", pages->metrics);
        _cleanup_pg_result_ PGresult *notices = NULL;
        int r;

        *page = (Page){ 0 };
        if (!gauge)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for a metric's name");
        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        r = write_page(ctx, pages, limit, page, &notices, reterr);
        if (r >= 0 && page->heights > 0)
                r = task_commit(ctx, reterr);
        if (r < 0 || page->heights == 0) {
                task_rollback(ctx);
                return r;
        }
        tell_notices(ctx, pages, notices, page);
        task_gauge(ctx, gauge, strtod(page->last, NULL), NULL, 0);
        log_page(ctx, pages, LOG_LEVEL_DEBUG, page, NULL, pages->computed);
        return 0;
}

/* Twice as many heights while they are few rows, half as many when they are too many. */
static uint64_t next_size(uint64_t size, int64_t rows, int64_t wanted) {
        if (rows > wanted)
                return size > 1 ? size / 2 : 1;
        if (rows > wanted / 2)
                return size;
        return size < MAX_HEIGHTS ? size * 2 : MAX_HEIGHTS;
}

static int count_heights(TaskContext *ctx, const HeightPages *pages, uint64_t *ret, Error *reterr) {
        _cleanup_pg_result_ PGresult *result = NULL;
        int r;

        r = read_heights(ctx, pages, ALL_HEIGHTS, &result, reterr);
        if (r >= 0)
                *ret = strtoull(PQgetvalue(result, 0, COLUMN_N), NULL, 10);
        return r;
}

/* Transactions until the heights or the slice's time are used up. */
static int run_pages(TaskContext *ctx, const HeightPages *pages, Backlog *b, uint64_t to_go, Error *reterr) {
        uint64_t start = clock_monotonic_usec(), slice = settings_duration_usec(task_settings(ctx), "pnl.slice"),
                 total = b->done + to_go;
        int64_t wanted = settings_int(task_settings(ctx), "pnl.transaction_rows"), heights = 0, rows = 0;

        for (;;) {
                Page page;
                int r;

                r = run_page(ctx, pages, b->page, &page, reterr);
                if (r < 0 && reterr->kind == ERROR_NEVER && b->page > 1 && page.heights > 1) {
                        log_page(ctx, pages, LOG_LEVEL_DEBUG, &page, reterr, "Trying these heights one by one");
                        error_done(reterr);
                        b->page = 1;
                        continue;
                }
                if (r < 0) {
                        log_page(ctx, pages, LOG_LEVEL_ERROR, &page, reterr, pages->failed);
                        if (page.heights > 0)
                                error_prefix(reterr, "height %s", page.last);
                        return r;
                }
                if (page.heights == 0)
                        return 0;
                b->done += page.heights;
                b->page = next_size(b->page, page.rows + page.known, wanted);
                heights += (int64_t) page.heights;
                rows += page.rows;
                task_field_int(ctx, "heights", heights);
                task_field_int(ctx, "rows", rows);
                task_progress(ctx, b->done, b->done > total ? b->done : total, "heights");
                if (b->done >= total)
                        return 0;
                /* a preview shows one transaction a page */
                if (task_is_dry_run(ctx) || clock_monotonic_usec() - start >= slice)
                        return TASK_MORE;
        }
}

static Backlog *get_backlog(TaskContext *ctx) {
        Backlog *b = task_kept(ctx);

        if (b)
                return b;
        b = calloc(1, sizeof(*b));
        if (!b)
                return NULL;
        b->page = 1;
        task_keep(ctx, b, free);
        return b;
}

int height_pages_run(TaskContext *ctx, const HeightPages *pages) {
        _cleanup_free_ char *gauge = str_printf("%s.num_funding_index_updates_to_process", pages->metrics);
        _cleanup_error_ Error e = ERROR_INIT;
        Backlog *b = get_backlog(ctx);
        uint64_t to_go = 0;
        int r;

        if (!b || !gauge) {
                (void) error_set(&e, ERROR_RETRY, -ENOMEM, "out of memory for a backlog");
                return task_fail(ctx, &e);
        }
        r = count_heights(ctx, pages, &to_go, &e);
        if (r < 0)
                return task_fail(ctx, &e);
        if (b->done == 0)
                task_gauge(ctx, gauge, (double) to_go, NULL, 0);
        if (to_go == 0) {
                task_log(ctx, LOG_LEVEL_DEBUG, pages->at, NULL, 0, "No new blocks to process");
                return 0;
        }
        /* from here on rate and end are reckoned */
        if (to_go > 1 || b->done > 0)
                task_progress(ctx, b->done, b->done + to_go, "heights");
        r = run_pages(ctx, pages, b, to_go, &e);
        return r < 0 ? task_fail(ctx, &e) : r;
}
