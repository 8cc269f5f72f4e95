/* Requests over a curl multi handle, whose descriptors are polled together with the cancel token's. What an error names
 * is the request and the host: a URL's query or user part may hold a key. */

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/failpoint.h"
#include "common/http.h"

#define DEFAULT_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define DEFAULT_MAX_BODY ((size_t) 8 * 1024 * 1024)
#define KEPT_CONNECTIONS 128

struct HttpClient {
        CURLM *multi; /* has the connections, which are reused */
        CURL **easy;  /* as many as there ever were requests side by side; kept for their TLS sessions */
        size_t n_easy;
};

/* One exchange. */
typedef struct Exchange {
        const HttpRequest *request;
        HttpOutcome *outcome;
        CURL *easy; /* while it is under way */
        struct curl_slist *headers;
        size_t max_body;
        char *host;
        Buffer body;
        bool too_long;
        bool sent; /* from here on the server may have acted */
} Exchange;

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_started;

static void start_curl(void) {
        curl_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_client_new(HttpClient **ret) {
        HttpClient *c;

        (void) pthread_once(&curl_once, start_curl);
        if (curl_started != CURLE_OK)
                return -EIO;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->multi = curl_multi_init();
        if (!c->multi) {
                http_client_free(c);
                return -ENOMEM;
        }
        /* unset, it follows the number of requests under way, and connections are closed as a batch ends */
        (void) curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long) KEPT_CONNECTIONS);
        *ret = c;
        return 0;
}

static int need_handles(HttpClient *c, size_t n) {
        CURL **grown = n > c->n_easy ? reallocarray(c->easy, n, sizeof(*grown)) : c->easy;

        if (n > 0 && !grown)
                return -ENOMEM;
        c->easy = grown;
        while (c->n_easy < n) {
                c->easy[c->n_easy] = curl_easy_init();
                if (!c->easy[c->n_easy])
                        return -ENOMEM;
                c->n_easy++;
        }
        return 0;
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n_easy; i++)
                curl_easy_cleanup(c->easy[i]);
        free(c->easy);
        if (c->multi)
                (void) curl_multi_cleanup(c->multi);
        free(c);
        return NULL;
}

void http_response_done(HttpResponse *r) {
        buffer_done(&r->body);
        *r = (HttpResponse){ 0 };
}

/* After a redirect each answer starts with an empty body: curl does not hand over those of followed redirects. */
static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Exchange *x = userdata;

        size *= n;
        if (size > x->max_body - x->body.length) {
                x->too_long = true;
                return 0;
        }
        return buffer_append(&x->body, data, size) < 0 ? 0 : size;
}

/* Only asked whether the request went out; nothing of it is printed or kept. */
static int on_debug(CURL *easy, curl_infotype type, char *data, size_t size, void *userdata) {
        Exchange *x = userdata;

        (void) easy, (void) data, (void) size;
        if ((type == CURLINFO_HEADER_OUT || type == CURLINFO_DATA_OUT) && !x->sent) {
                x->sent = true;
                FAILPOINT("http", x->request->name, "sent");
        }
        return 0;
}

static char *host_of(const char *url) {
        CURLU *u = curl_url();
        char *host = NULL, *copy;

        if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK)
                (void) curl_url_get(u, CURLUPART_HOST, &host, 0);
        copy = strdup(host ? host : "?");
        curl_free(host);
        curl_url_cleanup(u);
        return copy;
}

static bool is_loopback(const char *host) {
        struct in6_addr v6;
        struct in_addr v4;
        char bare[64];

        if (inet_pton(AF_INET, host, &v4) == 1)
                return ntohl(v4.s_addr) >> 24 == 127;
        if (*host == '[' && sscanf(host, "[%63[0-9a-fA-F:.]]", bare) == 1 && inet_pton(AF_INET6, bare, &v6) == 1)
                return IN6_IS_ADDR_LOOPBACK(&v6);
        return strcasecmp(host, "localhost") == 0; /* which curl looks up nowhere */
}

bool http_url_is_confidential(const char *url) {
        CURLU *u = curl_url();
        char *scheme = NULL, *host = NULL;
        bool ok = false;

        if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
            curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
            curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK)
                ok = str_eq(scheme, "https") || (str_eq(scheme, "http") && is_loopback(host));
        curl_free(scheme);
        curl_free(host);
        curl_url_cleanup(u);
        return ok;
}

static int make_headers(const HttpRequest *request, struct curl_slist **ret) {
        struct curl_slist *list = NULL, *longer;

        for (const char *const *h = request->headers; h && *h; h++) {
                longer = curl_slist_append(list, *h);
                if (!longer) {
                        curl_slist_free_all(list);
                        return -ENOMEM;
                }
                list = longer;
        }
        /* curl would wait a second for "100 Continue" that many servers never send */
        longer = curl_slist_append(list, "Expect:");
        if (!longer) {
                curl_slist_free_all(list);
                return -ENOMEM;
        }
        *ret = longer;
        return 0;
}

#define SET(option, value)                                                                                             \
        do {                                                                                                           \
                if (curl_easy_setopt(easy, option, value) != CURLE_OK)                                                 \
                        return -EINVAL;                                                                                \
        } while (0)

static int set_options(CURL *easy, Exchange *x) {
        const HttpRequest *q = x->request;
        uint64_t timeout = q->timeout_usec ? q->timeout_usec : DEFAULT_TIMEOUT_USEC;
        uint64_t msec = timeout / USEC_PER_MSEC;

        SET(CURLOPT_URL, q->url);
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        /* a redirect must not lead a request that began over TLS to plain text */
        SET(CURLOPT_REDIR_PROTOCOLS_STR, strncasecmp(q->url, "https:", 6) == 0 ? "https" : "http,https");
        SET(CURLOPT_FOLLOWLOCATION, q->max_redirects > 0 ? 1L : 0L);
        SET(CURLOPT_MAXREDIRS, (long) q->max_redirects);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_TIMEOUT_MS, msec == 0 ? 1L : msec > INT32_MAX ? (long) INT32_MAX : (long) msec);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        SET(CURLOPT_HTTPHEADER, x->headers);
        SET(CURLOPT_PRIVATE, x);
        SET(CURLOPT_WRITEFUNCTION, on_body);
        SET(CURLOPT_WRITEDATA, x);
        SET(CURLOPT_DEBUGFUNCTION, on_debug);
        SET(CURLOPT_DEBUGDATA, x);
        SET(CURLOPT_VERBOSE, 1L);
        SET(CURLOPT_PATH_AS_IS, 1L);
        if (q->direct)
                SET(CURLOPT_NOPROXY, "*");
        if (q->ca_file)
                SET(CURLOPT_CAINFO, q->ca_file);
        if (q->body) {
                SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) q->body_length);
                SET(CURLOPT_POSTFIELDS, q->body);
        }
        if (str_eq(q->method, "HEAD"))
                SET(CURLOPT_NOBODY, 1L);
        else if (q->method)
                SET(CURLOPT_CUSTOMREQUEST, q->method);
        return 0;
}

static const char *name_of(const Exchange *x) {
        return x->request->name ? x->request->name : "http";
}

static int transfer_error(const Exchange *x, CURLcode code, Error *e) {
        const char *name = name_of(x);
        const char *text = curl_easy_strerror(code);

        switch (code) {
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR:
                (void) error_set(e, ERROR_NEVER, -EKEYREJECTED, "%s: %s: %s", name, x->host, text);
                error_set_hint(e, "the server's certificate must be signed by a CA of ca_file or of the system");
                return -EKEYREJECTED;
        case CURLE_TOO_MANY_REDIRECTS:
                return error_set(e, ERROR_NEVER, -ELOOP, "%s: %s redirects more than %u times", name, x->host,
                                 x->request->max_redirects);
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL:
                return error_set(e, ERROR_NEVER, -EINVAL, "%s: %s: %s", name, x->host, text);
        case CURLE_OUT_OF_MEMORY:
                return error_set(e, ERROR_RETRY, -ENOMEM, "%s: %s: %s", name, x->host, text);
        case CURLE_WRITE_ERROR:
                if (x->too_long)
                        return error_set(e, ERROR_NEVER, -EMSGSIZE, "%s: the answer of %s is longer than %zu bytes",
                                         name, x->host, x->max_body);
                return error_set(e, ERROR_UNCERTAIN, -ENOMEM, "%s: %s: %s", name, x->host, text);
        case CURLE_OPERATION_TIMEDOUT:
                return error_set(e, x->sent ? ERROR_UNCERTAIN : ERROR_RETRY, -ETIMEDOUT,
                                 "%s: %s did not answer in time", name, x->host);
        default:
                return error_set(e, x->sent ? ERROR_UNCERTAIN : ERROR_RETRY, x->sent ? -ECONNRESET : -ECONNREFUSED,
                                 "%s: %s: %s", name, x->host, text);
        }
}

/* curl reads both forms, seconds and a date. */
static uint64_t retry_after_usec(CURL *easy) {
        curl_off_t seconds = 0;

        if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK || seconds <= 0)
                return 0;
        return seconds > 86400 * 365 ? 86400 * 365 * USEC_PER_SEC : (uint64_t) seconds * USEC_PER_SEC;
}

/* Takes what a transfer that is over has brought. */
static void take_response(Exchange *x, CURLcode code) {
        HttpOutcome *o = x->outcome;
        long status = 0;

        FAILPOINT("http", x->request->name, "after");
        if (code != CURLE_OK) {
                o->result = transfer_error(x, code, &o->error);
                return;
        }
        (void) curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
        if (buffer_append(&x->body, "", 0) < 0) {
                o->result =
                        error_set(&o->error, ERROR_UNCERTAIN, -ENOMEM, "%s: %s: out of memory", name_of(x), x->host);
                return;
        }
        o->response =
                (HttpResponse){ .status = status, .body = x->body, .retry_after_usec = retry_after_usec(x->easy) };
        x->body = (Buffer){ 0 };
        o->result = 0;
}

/* Closes the connection when the transfer is unfinished. */
static void detach(HttpClient *c, Exchange *x) {
        if (x->easy)
                (void) curl_multi_remove_handle(c->multi, x->easy);
        x->easy = NULL;
}

/* How long to wait at most: until the token's deadline, which no descriptor tells. */
static int poll_msec(CancelToken *token) {
        uint64_t now, end;

        if (!token || cancel_token_deadline(token) == USEC_INFINITY)
                return 1000;
        now = clock_monotonic_usec();
        end = cancel_token_deadline(token);
        return end >= now + 1000 * USEC_PER_MSEC ? 1000 : end > now ? (int) ((end - now) / USEC_PER_MSEC) + 1 : 0;
}

/* Until all transfers are over. Negative when cancelled or curl itself fails. */
static int run_transfers(HttpClient *c, size_t n_running, CancelToken *token) {
        while (n_running > 0) {
                struct curl_waitfd wait = { .fd = token ? cancel_token_fd(token) : -1, .events = CURL_WAIT_POLLIN };
                int running, left, r;
                CURLMsg *message;

                r = cancel_token_check(token);
                if (r < 0)
                        return r;
                if (curl_multi_perform(c->multi, &running) != CURLM_OK)
                        return -EIO;
                while ((message = curl_multi_info_read(c->multi, &left))) {
                        CURLcode code = message->data.result;
                        Exchange *x = NULL;

                        if (message->msg != CURLMSG_DONE ||
                            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &x) != CURLE_OK)
                                continue;
                        take_response(x, code);
                        detach(c, x); /* ends the message */
                        n_running--;
                }
                if (n_running > 0 &&
                    curl_multi_poll(c->multi, &wait, token ? 1 : 0, poll_msec(token), NULL) != CURLM_OK)
                        return -EIO;
        }
        return 0;
}

/* Whether the transfer is under way; if not, its outcome says why. */
static bool begin(HttpClient *c, Exchange *x, CURL *easy) {
        HttpOutcome *o = x->outcome;
        int r;

        x->host = host_of(x->request->url);
        r = x->host ? make_headers(x->request, &x->headers) : -ENOMEM;
        if (r < 0) {
                o->result = error_set(&o->error, ERROR_RETRY, r, "%s: out of memory", name_of(x));
                return false;
        }
        curl_easy_reset(easy); /* keeps the connections */
        r = set_options(easy, x);
        if (r < 0) {
                o->result = error_set(&o->error, ERROR_NEVER, r, "%s: %s: curl refused an option", name_of(x), x->host);
                return false;
        }
        FAILPOINT("http", x->request->name, "before");
        if (curl_multi_add_handle(c->multi, easy) != CURLM_OK) {
                o->result = error_set(&o->error, ERROR_RETRY, -EIO, "%s: %s: curl refused the request", name_of(x),
                                      x->host);
                return false;
        }
        x->easy = easy;
        return true;
}

/* Ends what is still under way when the others were given up for `r`. */
static void give_up(HttpClient *c, Exchange *x, int r, CancelToken *token) {
        HttpOutcome *o = x->outcome;

        if (!x->easy)
                return;
        detach(c, x);
        if (r == -ECANCELED || r == -ETIMEDOUT)
                o->result = error_set(&o->error, ERROR_CANCELED, r, "%s: %s: %s", name_of(x), x->host,
                                      cancel_reason_to_string(cancel_token_reason(token)));
        else
                o->result = error_set(&o->error, x->sent ? ERROR_UNCERTAIN : ERROR_RETRY, r, "%s: %s: curl failed",
                                      name_of(x), x->host);
}

static void exchange_done(Exchange *x) {
        curl_slist_free_all(x->headers);
        buffer_done(&x->body);
        free(x->host);
}

void http_outcome_done(HttpOutcome *o) {
        http_response_done(&o->response);
        error_done(&o->error);
        *o = (HttpOutcome){ 0 };
}

int http_perform_all(HttpClient *c, size_t n, const HttpRequest *requests, CancelToken *token, HttpOutcome *outcomes) {
        _cleanup_free_ Exchange *x = calloc(n > 0 ? n : 1, sizeof(*x));
        size_t n_running = 0;
        int r;

        r = x ? need_handles(c, n) : -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                outcomes[i] = (HttpOutcome){ .result = r };
                if (r < 0)
                        (void) error_set(&outcomes[i].error, ERROR_RETRY, r, "out of memory for %zu requests", n);
        }
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                x[i].request = requests + i;
                x[i].outcome = outcomes + i;
                x[i].max_body = requests[i].max_body ? requests[i].max_body : DEFAULT_MAX_BODY;
                n_running += begin(c, x + i, c->easy[i]);
        }
        r = run_transfers(c, n_running, token);
        for (size_t i = 0; i < n; i++) {
                give_up(c, x + i, r, token);
                exchange_done(x + i);
        }
        return r;
}

int http_perform(HttpClient *c, const HttpRequest *request, CancelToken *token, HttpResponse *ret, Error *reterr) {
        HttpOutcome o = { 0 };
        int r;

        (void) http_perform_all(c, 1, request, token, &o);
        r = o.result;
        if (r >= 0) {
                *ret = o.response;
                o.response = (HttpResponse){ 0 };
        } else if (reterr)
                error_move(reterr, &o.error);
        http_outcome_done(&o);
        return r;
}
