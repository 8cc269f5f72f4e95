/* What a developer sees: the lines to paste once, then the tasks, over and over. */

#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "common/control.h"
#include "supervisor/dev/dev_internal.h"

void dev_print_lines(const Dev *d) {
        printf("\n  psql -h %s -p 5432 -U %s postgres\n"
               "  redis-cli -s %s/redis.sock\n"
               "  kcat -C -b %s -t to-websockets-markets\n"
               "\n  settings and logs: %s  (Ctrl-C stops everything)\n\n",
               d->run, d->user, d->run, d->bootstrap, d->state);
        (void) fflush(stdout);
}

/* The width of the names' column. */
static size_t longest_name(const json_t *workers) {
        const json_t *worker, *task;
        size_t i, k, longest = 1;

        json_array_foreach (workers, i, worker)
                json_array_foreach (json_object_get(json_object_get(worker, "worker"), "tasks"), k, task) {
                        size_t n = json_string_length(json_object_get(task, "name"));

                        longest = n > longest ? n : longest;
                }
        return longest;
}

/* WorkerStatus of workers/worker_protocol.h, as the supervisor hands it on. */
static void format_task(const json_t *task, size_t width, Buffer *b, size_t *lines) {
        const json_t *last = json_object_get(task, "last"), *error = json_object_get(last, "error");
        const char *name = json_string_value(json_object_get(task, "name")),
                   *state = json_string_value(json_object_get(task, "state")),
                   *result = json_string_value(json_object_get(last, "result"));
        char took[64] = "";

        if (json_is_integer(json_object_get(last, "duration_usec")))
                (void) format_duration((uint64_t) json_integer_value(json_object_get(last, "duration_usec")), took,
                                       sizeof(took));
        (void) buffer_printf(
                b, "  %-*s %-10s runs %-6lld failures %-4lld last %s %s%s%.60s\n", (int) width, name ? name : "?",
                state ? state : "?", (long long) json_integer_value(json_object_get(task, "runs")),
                (long long) json_integer_value(json_object_get(task, "failures")), result ? result : "-", took,
                json_is_string(error) ? ": " : "", json_is_string(error) ? json_string_value(error) : "");
        (*lines)++;
}

static void format_workers(const json_t *reply, Buffer *b, size_t *lines) {
        const json_t *workers = json_object_get(reply, "workers"), *worker, *task;
        const size_t width = longest_name(workers);
        size_t i, k;

        json_array_foreach (workers, i, worker) {
                const json_t *tasks = json_object_get(json_object_get(worker, "worker"), "tasks");
                const char *family = json_string_value(json_object_get(worker, "family")),
                           *state = json_string_value(json_object_get(worker, "state")),
                           *health = json_string_value(json_object_get(worker, "health"));

                (void) buffer_printf(b, "worker %s: %s%s%.100s\n", family ? family : "?", state ? state : "?",
                                     health ? ", " : "", health ? health : "");
                (*lines)++;
                json_array_foreach (tasks, k, task)
                        format_task(task, width, b, lines);
        }
}

void dev_print_status(const Dev *d, bool terminal, size_t *lines) {
        _cleanup_free_ char *path = str_printf("%s/control", d->run);
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_buffer_ Buffer b = { 0 };
        json_t *request, *reply = NULL;
        char now[16] = "";
        time_t t = time(NULL);
        struct tm tm;
        size_t n = 1;
        int r;

        if (localtime_r(&t, &tm))
                (void) strftime(now, sizeof(now), "%H:%M:%S", &tm);
        request = json_pack("{s:i, s:s}", "protocol", CONTROL_PROTOCOL, "verb", "status");
        r = path && request ? control_call(path, request, USEC_PER_SEC, &reply, &e) : -ENOMEM;
        json_decref(request);
        if (terminal && *lines > 0)
                (void) buffer_printf(&b, "\033[%zuA\033[J", *lines);
        if (r < 0)
                (void) buffer_printf(&b, "%s the supervisor does not answer: %s\n", now, error_text(&e));
        else {
                const char *text = json_string_value(json_object_get(json_object_get(reply, "service"), "state"));

                (void) buffer_printf(&b, "%s roundtable dev%s%s\n", now, text ? ": " : "", text ? text : "");
                format_workers(reply, &b, &n);
                dev_format_watch(d, &b, &n);
        }
        json_decref(reply);
        if (!buffer_failed(&b)) {
                (void) fputs(b.data, stdout);
                (void) fflush(stdout);
        }
        *lines = n;
}
