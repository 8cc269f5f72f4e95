/* HTTP for tasks: one client per executor, made at first use. */

#include "workers/task_context_internal.h"

int task_http(TaskContext *ctx, const HttpRequest *request, bool billed, HttpResponse *ret, Error *reterr) {
        HttpClient **client = &ctx->connections->http;
        int r;

        if (ctx->dry_run && billed) {
                /* only what is before the query: keys of billed services are in it */
                task_preview(ctx, "would ask %s %.*s (billed); the preview of what depends on its answer stops here",
                             request->method ? request->method : "GET", (int) strcspn(request->url, "?"), request->url);
                return error_set(reterr, ERROR_NEVER, -ENODATA, "%s: not sent in a dry run", request->name);
        }
        if (!*client) {
                r = http_client_new(client);
                if (r < 0)
                        return error_set(reterr, ERROR_RETRY, r, "cannot make an HTTP client: %s", strerror(-r));
        }
        return http_perform(*client, request, ctx->token, ret, reterr);
}
