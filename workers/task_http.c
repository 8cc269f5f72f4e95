/* HTTP for tasks: one client per executor, made at first use. */

#include "workers/task_context_internal.h"

/* -ENODATA in a dry run, which says what would be asked. */
static int check_dry_run(TaskContext *ctx, const HttpRequest *request, bool billed, Error *reterr) {
        if (!ctx->dry_run || !billed)
                return 0;
        /* only what is before the query: keys of billed services are in it */
        task_preview(ctx, "would ask %s %.*s (billed); the preview of what depends on its answer stops here",
                     request->method ? request->method : "GET", (int) strcspn(request->url, "?"), request->url);
        return error_set(reterr, ERROR_NEVER, -ENODATA, "%s: not sent in a dry run", request->name);
}

static int get_client(TaskContext *ctx, HttpClient **ret, Error *reterr) {
        HttpClient **client = &ctx->connections->http;
        int r;

        if (!*client) {
                r = http_client_new(client);
                if (r < 0)
                        return error_set(reterr, ERROR_RETRY, r, "cannot make an HTTP client: %s", strerror(-r));
        }
        *ret = *client;
        return 0;
}

int task_http(TaskContext *ctx, const HttpRequest *request, bool billed, HttpResponse *ret, Error *reterr) {
        HttpClient *client = NULL;
        int r;

        r = check_dry_run(ctx, request, billed, reterr);
        if (r >= 0)
                r = get_client(ctx, &client, reterr);
        return r < 0 ? r : http_perform(client, request, ctx->token, ret, reterr);
}

int task_http_all(TaskContext *ctx, size_t n, const HttpRequest *requests, bool billed, HttpOutcome *outcomes,
                  Error *reterr) {
        HttpClient *client = NULL;
        int r = 0;

        for (size_t i = 0; i < n; i++)
                outcomes[i] = (HttpOutcome){ .result = -ENODATA };
        for (size_t i = 0; i < n; i++) {
                int k = check_dry_run(ctx, requests + i, billed, reterr);

                r = k < 0 ? k : r;
        }
        if (r >= 0)
                r = get_client(ctx, &client, reterr);
        if (r < 0)
                return r;
        r = http_perform_all(client, n, requests, ctx->token, outcomes);
        return r < 0 ? error_set(reterr, r == -ECANCELED || r == -ETIMEDOUT ? ERROR_CANCELED : ERROR_RETRY, r,
                                 "%zu requests were given up: %s", n, strerror(-r))
                     : 0;
}
