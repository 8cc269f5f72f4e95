/* update_compliance_data: asks about addresses, batch after batch, and keeps what was answered (compliance
 * specification, section 2). Each batch is written before the next one is asked about: answers cost money, and a run
 * that is killed loses one batch at most. The list of a run outlives its slices: selected anew, on a replica that is
 * behind, it would have those in it again whose answers have just been paid for. */

#include "common/clock.h"
#include "common/json.h"
#include "sql/statements.h"
#include "workers/compliance/compliance.h"
#include "workers/compliance/screening_list.h"

#define AT "update_compliance_data"
#define AT_BATCH "updated-compliance-data#getComplianceData" /* sic */

static const MetricTag provider_tag = { "provider", "ELLIPTIC" };

typedef struct Totals {
        uint64_t screen_usec, write_usec;
        int64_t answered, failed, blocked, data, status;
} Totals;

/* What outlives a slice. */
typedef struct Screening {
        ScreeningList list;
        Totals totals;
        size_t asked; /* items of the batches that are done */
        size_t heard; /* items up to the end of the last batch of which somebody was answered */
} Screening;

static void screening_free(void *data) {
        Screening *s = data;

        screening_list_done(&s->list);
        free(s);
}

static void send_timing(TaskContext *ctx, const char *name, uint64_t usec, bool tagged) {
        task_timing(ctx, name, (int64_t) (usec / USEC_PER_MSEC), &provider_tag, tagged ? 1 : 0);
}

static const ScreeningProvider *find_provider(TaskContext *ctx) {
        const char *name = settings_string(task_settings(ctx), "compliance.screening.provider");
        const ScreeningProvider *provider;
        bool known;

        provider = screening_provider_find(name, &known);
        if (!known)
                task_log(
                        ctx, LOG_LEVEL_WARNING, AT, NULL, 0,
                        "compliance.screening.provider \"%s\" is none of ELLIPTIC, PLACEHOLDER, BLOCKLIST; ELLIPTIC is "
                        "asked",
                        name ? name : "");
        return provider;
}

/* JSON list of the addresses (or failures) of the items that `wanted` is true for. */
static void append_list(Buffer *b, const ScreeningItem *items, size_t n, bool unknown, bool failures) {
        bool any = false;

        (void) buffer_append_string(b, "[");
        for (size_t i = 0; i < n; i++) {
                const char *text = failures ? items[i].failure : items[i].address;

                if ((unknown ? !items[i].unknown : items[i].answered) || !text)
                        continue;
                if (any)
                        (void) buffer_append_string(b, ",");
                (void) json_append_string(b, text, strlen(text));
                any = true;
        }
        (void) buffer_append_string(b, "]");
}

static void report_batch(TaskContext *ctx, const ScreeningBatch *batch, Totals *totals) {
        _cleanup_buffer_ Buffer failed = { 0 }, errors = { 0 }, unknown = { 0 };
        int64_t n_unknown = 0, n_failed = 0;

        for (size_t i = 0; i < batch->n; i++) {
                const ScreeningItem *item = &batch->items[i];

                n_unknown += item->unknown;
                n_failed += !item->answered;
                totals->blocked += item->blocked;
                if (!item->answered)
                        task_item_failed(ctx, item->address, "%s",
                                         item->failure ? item->failure : "left to the next run");
        }
        totals->answered += (int64_t) batch->n - n_failed;
        totals->failed += n_failed;
        append_list(&failed, batch->items, batch->n, false, false);
        append_list(&errors, batch->items, batch->n, false, true);
        append_list(&unknown, batch->items, batch->n, true, false);
        if (n_failed > 0) {
                task_count(ctx, "update_compliance_data.get_compliance_data_fail", 1, &provider_tag, 1);
                task_log(ctx, LOG_LEVEL_ERROR, AT_BATCH,
                         (const LogField[]){ LOG_JSON("ADDRESSES", "addresses", failed.data),
                                             LOG_JSON("ERRORS", "errors", errors.data) },
                         2, "Failed to retrieve compliance data for the addresses");
        }
        if (n_unknown > 0) {
                task_count(ctx, "update_compliance_data.get_compliance_data_404", 1, &provider_tag, 1);
                task_log(ctx, LOG_LEVEL_ERROR, AT_BATCH,
                         (const LogField[]){ LOG_JSON("ADDRESSES", "addresses", unknown.data) }, 1,
                         "Failed to retrieve compliance data for the addresses due to elliptic 404");
        }
}

typedef struct AnswerArrays {
        PgArray addresses, blocked, scores;
} AnswerArrays;

static void answer_arrays_done(AnswerArrays *a) {
        pg_array_done(&a->addresses);
        pg_array_done(&a->blocked);
        pg_array_done(&a->scores);
}

static void append_answer(AnswerArrays *a, const ScreeningItem *item) {
        _cleanup_free_ char *score = item->has_score ? str_printf("%d", item->score) : NULL;

        pg_array_append(&a->addresses, item->address);
        pg_array_append(&a->blocked, item->blocked ? "true" : "false");
        pg_array_append(&a->scores, score);
}

static int write_answers(TaskContext *ctx, const ScreeningProvider *provider, const ScreeningBatch *batch,
                         Totals *totals, Error *reterr) {
        _cleanup_(answer_arrays_done) AnswerArrays a = { 0 };
        _cleanup_pg_result_ PGresult *result = NULL;
        char now[ISO_TIME_SIZE];
        const char *params[5];
        int r;

        for (size_t i = 0; i < batch->n; i++)
                if (batch->items[i].answered)
                        append_answer(&a, &batch->items[i]);
        if (a.addresses.n == 0)
                return 0;
        params[0] = pg_array_text(&a.addresses);
        params[1] = pg_array_text(&a.blocked);
        params[2] = pg_array_text(&a.scores);
        params[3] = format_iso_msec(clock_realtime_usec(), now);
        params[4] = provider->scores ? "true" : "false";
        if (!params[0] || !params[1] || !params[2])
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for %zu answers", batch->n);
        r = task_begin(ctx, reterr);
        if (r < 0)
                return r;
        r = task_query(ctx, PG_PRIMARY, &sql_compliance_write_answers, ELEMENTSOF(params), params, &result, reterr);
        if (r >= 0)
                r = task_commit(ctx, reterr);
        if (r < 0) {
                task_rollback(ctx);
                return r;
        }
        totals->data += strtoll(PQgetvalue(result, 0, 0), NULL, 10);
        totals->status += strtoll(PQgetvalue(result, 0, 1), NULL, 10);
        return 0;
}

/* Whether somebody was answered, or failed when asked. */
static bool any_heard(const ScreeningBatch *batch) {
        for (size_t i = 0; i < batch->n; i++)
                if (batch->items[i].answered || batch->items[i].failure)
                        return true;
        return false;
}

/* *ret_stopped: the provider says that nobody needs to be asked any more; reterr has why. */
static int run_batch(TaskContext *ctx, const ScreeningProvider *provider, ScreeningBatch *batch, Totals *totals,
                     bool *ret_stopped, Error *reterr) {
        uint64_t start = clock_monotonic_usec(), screened;
        _cleanup_error_ Error stopped = ERROR_INIT;
        int r, k;

        k = provider->screen(ctx, batch, &stopped);
        *ret_stopped = k < 0;
        screened = clock_monotonic_usec();
        if (k == -ENODATA) /* a dry run, which has said what it would ask */
                return 0;
        if (k < 0 && stopped.kind == ERROR_NEVER && !any_heard(batch)) { /* wrong settings: nobody was asked */
                error_move(reterr, &stopped);
                return k;
        }
        totals->screen_usec += screened - start;
        send_timing(ctx, "update_compliance_data.get_batch_compliance_data", screened - start - batch->waited_usec,
                    true);
        report_batch(ctx, batch, totals);
        r = write_answers(ctx, provider, batch, totals, reterr);
        totals->write_usec += clock_monotonic_usec() - screened;
        if (r >= 0 && k < 0) {
                error_move(reterr, &stopped);
                return k;
        }
        return r;
}

/* Batch after batch until all are asked about, or until the slice is over: 0, TASK_MORE or a negative errno. A dry run,
 * which asks nobody, is one slice. */
static int run_batches(TaskContext *ctx, const ScreeningProvider *provider, Screening *s, Error *reterr) {
        size_t size = (size_t) settings_int(task_settings(ctx), "compliance.screening.batch_size");
        uint64_t until = clock_monotonic_usec() + settings_duration_usec(task_settings(ctx), "compliance.slice");
        ScreeningList *l = &s->list;
        bool stopped = false;
        int r = 0;

        while (r >= 0 && !stopped && s->asked < l->n) {
                size_t from = s->asked, n = l->n - from < size ? l->n - from : size;
                ScreeningBatch batch = { .items = l->items + from, .n = n };
                int64_t answered = s->totals.answered;

                r = run_batch(ctx, provider, &batch, &s->totals, &stopped, reterr);
                s->asked = from + n;
                if (s->totals.answered > answered)
                        s->heard = s->asked;
                if (r >= 0 && !stopped)
                        r = screening_list_advance(ctx, l, from, s->asked, s->totals.answered > 0, reterr);
                if (r >= 0)
                        task_progress(ctx, s->asked, l->n, "addresses");
                if (r >= 0 && !stopped && s->asked < l->n && !task_is_dry_run(ctx) && clock_monotonic_usec() >= until)
                        return TASK_MORE;
        }
        return r;
}

static void report_slice(TaskContext *ctx, const Totals *before, const Totals *t) {
        task_field_int(ctx, "screened", t->answered - before->answered);
        task_field_int(ctx, "not_screened", t->failed - before->failed);
        task_field_int(ctx, "blocked", t->blocked - before->blocked);
}

static void report_run(TaskContext *ctx, const Totals *t) {
        send_timing(ctx, "update_compliance_data.query_compliance_data", t->screen_usec, true);
        /* both tables are written by one statement */
        send_timing(ctx, "update_compliance_data.upsert_compliance_data", t->write_usec, true);
        task_gauge(ctx, "update_compliance_data.num_upserted", (double) t->data, &provider_tag, 1);
        send_timing(ctx, "update_compliance_data.upsert_compliance_status", t->write_usec, false);
        task_gauge(ctx, "update_compliance_data.num_compliance_status_upserted", (double) t->status, NULL, 0);
}

/* The addresses of this run, selected in its first slice. */
static int get_screening(TaskContext *ctx, Screening **ret, Error *reterr) {
        Screening *s = task_kept(ctx);
        int r;

        *ret = s;
        if (s)
                return 0;
        s = calloc(1, sizeof(*s));
        if (!s)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = screening_list_read(ctx, &s->list, reterr);
        if (r < 0) {
                free(s);
                return r;
        }
        task_keep(ctx, s, screening_free);
        task_gauge(ctx, "update_compliance_data.num_addresses_to_screen", (double) s->list.n, &provider_tag, 1);
        *ret = s;
        return 0;
}

/* 0, TASK_MORE or a negative errno. */
static int update(TaskContext *ctx, const ScreeningProvider *provider, Error *reterr) {
        _cleanup_error_ Error forgotten = ERROR_INIT;
        Totals before;
        Screening *s;
        int r, k;

        r = get_screening(ctx, &s, reterr);
        if (r < 0)
                return r;
        before = s->totals;
        r = run_batches(ctx, provider, s, reterr);
        report_slice(ctx, &before, &s->totals);
        if (r != TASK_MORE)
                report_run(ctx, &s->totals);
        /* after each slice: the run may be ended before the next one */
        k = screening_list_remember(ctx, &s->list, s->heard, &forgotten);
        if (r >= 0 && k < 0) {
                error_move(reterr, &forgotten);
                r = k;
        }
        if (r == 0 && s->totals.answered == 0 && s->totals.failed > 0)
                r = error_set(reterr, ERROR_RETRY, -EIO, "none of %lld addresses was answered by %s: %s",
                              (long long) s->totals.failed, provider->name, s->list.items[0].failure);
        return r;
}

int update_compliance_data_run(TaskContext *ctx) {
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        r = update(ctx, find_provider(ctx), &e);
        if (r >= 0)
                return r;
        task_log(ctx, LOG_LEVEL_ERROR, AT,
                 (const LogField[]){ LOG_STRING("ERROR_TEXT", "error", error_text(&e)),
                                     LOG_STRING("HINT", "hint", e.hint) },
                 2, "Error occurred in task for updating compliance data");
        return task_fail(ctx, &e);
}
