/* The screening service Elliptic: a batch is asked side by side; what failed for a reason that may pass is asked again
 * after a pause with jitter, while the fleet's limit holds for repetitions, too. Neither key nor signature gets into an
 * error or a log: errors of the HTTP client name host and request alone. */

#include <stdio.h>

#include "common/clock.h"
#include "workers/compliance/elliptic.h"
#include "workers/compliance/screening.h"
#include "workers/compliance/screening_limit.h"

#define REQUEST_NAME "elliptic.screen"
#define DEFAULT_API_KEY "default_elliptic_api_key"
/* An answer is a few kilobytes. */
#define MAX_BODY ((size_t) 1024 * 1024)
#define LONGEST_RETRY_AFTER_USEC (3600 * USEC_PER_SEC)

enum { HEADER_TYPE, HEADER_ACCEPT, HEADER_KEY, HEADER_SIGNATURE, HEADER_TIMESTAMP, N_HEADERS };

typedef struct Call {
        ScreeningItem *item;
        Buffer body;
        char *headers[N_HEADERS + 1];
        int64_t retries;
        bool open; /* neither answered nor failed */
} Call;

typedef struct Elliptic {
        TaskContext *ctx;
        char *url;
        const char *api_key, *ca_file;
        EllipticKey key;
        bool plain;
        uint64_t timeout_usec;
        uint64_t start_usec; /* of the first round, after the wait for its turn */
        int64_t max_retries, threshold;
        Call *calls;
        size_t n;
        HttpRequest *requests; /* of the open calls, in order */
        HttpOutcome *outcomes;
        uint64_t retry_after_usec; /* the longest that was asked for in this round */
        bool throttled;
} Elliptic;

static void clear_headers(Call *call) {
        for (size_t i = 0; i < ELEMENTSOF(call->headers); i++) {
                free(call->headers[i]);
                call->headers[i] = NULL;
        }
}

static void elliptic_done(Elliptic *e) {
        for (size_t i = 0; e->calls && i < e->n; i++) {
                clear_headers(&e->calls[i]);
                buffer_done(&e->calls[i].body);
        }
        free(e->calls);
        free(e->requests);
        free(e->outcomes);
        free(e->url);
        elliptic_key_done(&e->key);
}

static int out_of_memory(Error *reterr) {
        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory for requests to the screening service");
}

/* A line break in it would be another header. */
static bool is_header_value(const char *text) {
        for (const char *c = text; *c; c++)
                if (*c <= ' ' || *c > '~')
                        return false;
        return *text;
}

static int check_settings(const char *url, const char *key, bool plain, Error *reterr) {
        int r = -EINVAL;

        if (strpbrk(url, "?#@ \t"))
                (void) error_set(reterr, ERROR_NEVER, r, "compliance.elliptic.url has more than an address in it");
        else if (!http_url_is_confidential(url)) {
                (void) error_set(reterr, ERROR_NEVER, r, "compliance.elliptic.url is neither https:// nor this host");
                error_set_hint(reterr, "the key must not travel in plain text: use https://, or http:// towards "
                                       "127.0.0.1, [::1] or localhost");
        } else if (!is_header_value(key))
                (void) error_set(reterr, ERROR_NEVER, r, "compliance.elliptic.api_key is empty or has blanks in it");
        else if (!plain && str_eq(key, DEFAULT_API_KEY)) {
                (void) error_set(reterr, ERROR_NEVER, r, "compliance.elliptic.api_key is not set");
                error_set_hint(reterr, "set it and compliance.elliptic.api_secret (ELLIPTIC_API_KEY, "
                                       "ELLIPTIC_API_SECRET), or another compliance.screening.provider");
        } else
                r = 0;
        return r;
}

static int elliptic_init(Elliptic *e, TaskContext *ctx, ScreeningBatch *batch, Error *reterr) {
        const Settings *s = task_settings(ctx);
        const char *url = settings_string(s, "compliance.elliptic.url");
        const char *key = settings_string(s, "compliance.elliptic.api_key");
        size_t length = url ? strlen(url) : 0;
        int r;

        e->ctx = ctx;
        e->api_key = key ? key : "";
        e->ca_file = settings_string(s, "compliance.elliptic.ca_file");
        e->plain = url && strncasecmp(url, "http:", 5) == 0;
        e->timeout_usec = settings_duration_usec(s, "compliance.elliptic.timeout");
        e->max_retries = settings_int(s, "compliance.elliptic.max_retries");
        e->threshold = settings_int(s, "compliance.elliptic.risk_score_threshold");
        r = check_settings(url ? url : "", e->api_key, e->plain, reterr);
        if (r < 0)
                return r;
        while (length > 0 && url[length - 1] == '/')
                length--;
        e->url = str_printf("%.*s%s", (int) length, url, ELLIPTIC_PATH);
        e->calls = calloc(batch->n, sizeof(*e->calls));
        e->requests = calloc(batch->n, sizeof(*e->requests));
        e->outcomes = calloc(batch->n, sizeof(*e->outcomes));
        if (!e->url || !e->calls || !e->requests || !e->outcomes)
                return out_of_memory(reterr);
        e->n = batch->n;
        if (elliptic_key_decode(settings_string(s, "compliance.elliptic.api_secret"), &e->key) < 0)
                return out_of_memory(reterr);
        for (size_t i = 0; i < e->n; i++) {
                e->calls[i].item = &batch->items[i];
                e->calls[i].open = true;
                if (elliptic_append_body(&e->calls[i].body, batch->items[i].address) < 0)
                        return out_of_memory(reterr);
        }
        return 0;
}

/* Each repetition has a timestamp and a signature of its own. */
static int make_request(const Elliptic *e, Call *call, HttpRequest *ret, Error *reterr) {
        char timestamp[24], signature[ELLIPTIC_SIGNATURE_SIZE];
        int r;

        (void) snprintf(timestamp, sizeof(timestamp), "%llu",
                        (unsigned long long) (clock_realtime_usec() / USEC_PER_MSEC));
        r = elliptic_sign(&e->key, timestamp, call->body.data, call->body.length, signature);
        if (r < 0)
                return error_set(reterr, ERROR_NEVER, r, "cannot sign a request: %s", strerror(-r));
        clear_headers(call);
        call->headers[HEADER_TYPE] = strdup("Content-Type: application/json");
        call->headers[HEADER_ACCEPT] = strdup("Accept: application/json, text/plain, */*");
        call->headers[HEADER_KEY] = str_printf("x-access-key: %s", e->api_key);
        call->headers[HEADER_SIGNATURE] = str_printf("x-access-sign: %s", signature);
        call->headers[HEADER_TIMESTAMP] = str_printf("x-access-timestamp: %s", timestamp);
        for (size_t i = 0; i < N_HEADERS; i++)
                if (!call->headers[i])
                        return out_of_memory(reterr);
        *ret = (HttpRequest){ .name = REQUEST_NAME,
                              .method = "POST",
                              .url = e->url,
                              .headers = (const char *const *) call->headers,
                              .body = call->body.data,
                              .body_length = call->body.length,
                              .timeout_usec = e->timeout_usec,
                              .max_body = MAX_BODY,
                              .ca_file = e->ca_file,
                              .direct = e->plain };
        return 0;
}

static void count_status(const Elliptic *e, const char *status) {
        task_count(e->ctx, "get_elliptic_risk_score.status_code", 1, &(MetricTag){ "status", status }, 1);
}

static void take_score(const Elliptic *e, Call *call, EllipticVerdict verdict, double score) {
        ScreeningItem *item = call->item;

        item->answered = item->has_score = true;
        item->unknown = verdict == ELLIPTIC_UNKNOWN;
        item->blocked = score >= (double) e->threshold; /* before it is rounded */
        item->score = elliptic_round_score(score);
        call->open = false;
        count_status(e, item->unknown ? "404" : "200");
}

/* Whether it may be asked once more in this run. */
static bool may_retry(const Elliptic *e, Call *call) {
        return call->retries++ < e->max_retries;
}

static void fail_call(Call *call, const char *why) {
        screening_item_fail(call->item, "%s", why);
        call->open = false;
}

static void take_answer(Elliptic *e, Call *call, const HttpResponse *response) {
        double score = 0;
        EllipticVerdict verdict =
                elliptic_read_answer(response->status, response->body.data, response->body.length, &score);
        char status[48];

        if (response->status >= 200 && response->status <= 299)
                task_timing(e->ctx, "get_elliptic_risk_score_total_time",
                            (int64_t) ((clock_monotonic_usec() - e->start_usec) / USEC_PER_MSEC), NULL, 0);
        (void) snprintf(status, sizeof(status), "answered with status %ld", response->status);
        switch (verdict) {
        case ELLIPTIC_SCORE:
        case ELLIPTIC_NO_RULE:
        case ELLIPTIC_UNKNOWN:
                take_score(e, call, verdict, score);
                break;
        case ELLIPTIC_MALFORMED:
                count_status(e, "malformed");
                task_log(e->ctx, LOG_LEVEL_ERROR, "elliptic-provider#getRiskScore",
                         &LOG_STRING("ADDRESS", "address", call->item->address), 1, "Malformed response from Elliptic");
                fail_call(call, "Malformed response");
                break;
        case ELLIPTIC_THROTTLED:
                count_status(e, "429");
                e->throttled = true;
                if (response->retry_after_usec > e->retry_after_usec)
                        e->retry_after_usec = response->retry_after_usec;
                if (!may_retry(e, call))
                        fail_call(call, "Too many requests");
                break;
        case ELLIPTIC_TROUBLE:
                if (!may_retry(e, call))
                        fail_call(call, status);
                else if (response->status == 500)
                        count_status(e, "500");
                break;
        case ELLIPTIC_REFUSED:
                fail_call(call, status);
        }
}

static void take_failure(const Elliptic *e, Call *call, const HttpOutcome *outcome) {
        /* a lost connection may have been chance; who waited in vain once does not wait again */
        bool lost = (outcome->error.kind == ERROR_RETRY || outcome->error.kind == ERROR_UNCERTAIN) &&
                    outcome->result != -ETIMEDOUT && outcome->result != -ENOMEM;

        if (!lost || !may_retry(e, call))
                fail_call(call, error_text(&outcome->error));
}

/* One round: everybody who is open is asked once. */
static int ask_open(Elliptic *e, uint64_t *waited_usec, Error *reterr) {
        size_t n = 0, k = 0;
        int r = 0;

        for (size_t i = 0; i < e->n; i++)
                n += e->calls[i].open;
        r = screening_limit_take(e->ctx, n, waited_usec, reterr);
        if (r < 0)
                return r;
        if (e->start_usec == 0)
                e->start_usec = clock_monotonic_usec();
        e->throttled = false;
        e->retry_after_usec = 0;
        for (size_t i = 0; i < e->n; i++)
                if (e->calls[i].open) {
                        r = make_request(e, &e->calls[i], &e->requests[k++], reterr);
                        if (r < 0)
                                return r;
                }
        r = task_http_all(e->ctx, n, e->requests, true, e->outcomes, reterr);
        k = 0;
        for (size_t i = 0; i < e->n; i++) {
                HttpOutcome *outcome = &e->outcomes[k];
                Call *call = &e->calls[i];

                if (!call->open)
                        continue;
                k++;
                if (outcome->result >= 0)
                        take_answer(e, call, &outcome->response);
                else if (r >= 0)
                        take_failure(e, call, outcome);
                http_outcome_done(outcome);
        }
        return r;
}

static size_t count_open(const Elliptic *e, int64_t *ret_retries) {
        size_t n = 0;

        *ret_retries = 0;
        for (size_t i = 0; i < e->n; i++)
                if (e->calls[i].open) {
                        n++;
                        if (e->calls[i].retries > *ret_retries)
                                *ret_retries = e->calls[i].retries;
                }
        return n;
}

/* Between two rounds; a service that throttles is left alone by the whole fleet. */
static int pause_before_round(Elliptic *e, int64_t retries, Error *reterr) {
        int r;

        if (e->throttled) {
                uint64_t asked = e->retry_after_usec > 0 ? e->retry_after_usec : USEC_PER_SEC;

                return screening_limit_hold(e->ctx, asked < LONGEST_RETRY_AFTER_USEC ? asked : LONGEST_RETRY_AFTER_USEC,
                                            reterr);
        }
        r = cancel_token_poll(task_cancel_token(e->ctx), -1, 0, elliptic_draw_pause_usec(retries));
        return r < 0 ? error_set(reterr, ERROR_CANCELED, r, "between two attempts to ask the screening service: %s",
                                 cancel_reason_to_string(cancel_token_reason(task_cancel_token(e->ctx))))
                     : 0;
}

static int screen(TaskContext *ctx, ScreeningBatch *batch, Error *reterr) {
        _cleanup_(elliptic_done) Elliptic e = { 0 };
        int64_t retries = 0;
        int r;

        r = elliptic_init(&e, ctx, batch, reterr);
        while (r >= 0) {
                r = ask_open(&e, &batch->waited_usec, reterr);
                if (r < 0)
                        break;
                if (e.throttled || count_open(&e, &retries) > 0)
                        r = pause_before_round(&e, retries, reterr);
                if (count_open(&e, &retries) == 0)
                        break;
        }
        return r;
}

const ScreeningProvider screening_elliptic = { .name = "ELLIPTIC", .scores = true, .screen = screen };
