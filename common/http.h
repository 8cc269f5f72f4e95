#pragma once

/* HTTP client: libcurl multi, polled together with the cancel token. Connection reuse per HttpClient, bounded bodies,
 * no redirects to other schemes, TLS verified, CURLOPT_NOSIGNAL. An HttpClient belongs to one thread. */

#include "common/cancel.h"
#include "common/error.h"

typedef struct HttpClient HttpClient;
int http_client_new(HttpClient **ret);
HttpClient *http_client_free(HttpClient *c);
DEFINE_CLEANUP(HttpClient, http_client_free)

typedef struct HttpRequest {
        const char *name;           /* for errors and failpoints: "lag.status" */
        const char *method;         /* NULL: GET */
        const char *url;            /* http:// or https:// */
        const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
        const void *body;
        size_t body_length;
        uint64_t timeout_usec;  /* whole exchange; 0: 10 s */
        size_t max_body;        /* 0: 8 MiB; a longer answer is an error */
        unsigned max_redirects; /* 0: none are followed */
        const char *ca_file;    /* NULL: the system's */
        bool direct;            /* past the proxies that the environment names */
} HttpRequest;

typedef struct HttpResponse {
        long status;
        Buffer body;
        uint64_t retry_after_usec; /* from Retry-After, 0: none */
} HttpResponse;
void http_response_done(HttpResponse *r);

/* Whether nobody on the way can read what is sent there: https, or http to this host's loopback. */
bool http_url_is_confidential(const char *url);
/* 0 whenever a complete answer came, whatever its status; the caller decides. Not thread-safe per client. */
int http_perform(HttpClient *c, const HttpRequest *request, CancelToken *token, HttpResponse *ret, Error *reterr);

/* What came of one of several requests: result as http_perform() returns it, response if it is 0, else error. */
typedef struct HttpOutcome {
        int result;
        HttpResponse response;
        Error error;
} HttpOutcome;
void http_outcome_done(HttpOutcome *o);
/* The same for n requests side by side. Each has its own time-out and its own outcome; one that fails does not end the
 * others. Outcomes are overwritten and afterwards the caller's. 0 when all are over. When cancelled, the errno of that:
 * those not over by then have it as their result, too. */
int http_perform_all(HttpClient *c, size_t n, const HttpRequest *requests, CancelToken *token, HttpOutcome *outcomes);
