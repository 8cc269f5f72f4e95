/* One run in the foreground. It takes the locks of the service, so that it never runs beside it, but no start delay and
 * no schedule. */

#include <stdio.h>

#include "build_paths.h"
#include "common/clock.h"
#include "common/failpoint.h"
#include "workers/bindings.h"
#include "workers/progress.h"
#include "workers/registry.h"
#include "workers/run.h"
#include "workers/run_lock.h"
#include "workers/run_signals.h"
#include "workers/task_context.h"
#include "workers/worker_protocol.h"

#define WAIT_MAX_USEC USEC_PER_SEC
#define FLUSH_USEC (5 * USEC_PER_SEC)

typedef struct Run {
        const RunOptions *options;
        const FamilyManifest *family;
        const TaskSpec *spec;
        Settings *settings;
        PgPool *postgres;
        Metrics *metrics;
        KafkaProducer *kafka;
        TaskServices services;
        TaskConnections connections;
        CancelToken *token;
        RunSignals *signals;
        RunLock *lock;
        char run_id[UUID_TEXT_SIZE];
        uint64_t started_usec; /* monotonic */
        Progress progress;
        bool progress_shown;
} Run;

static void run_done(Run *run) {
        run->lock = run_lock_free(run->lock);
        run->signals = run_signals_free(run->signals);
        task_connections_done(&run->connections);
        if (run->kafka)
                run->kafka = kafka_producer_close(run->kafka, FLUSH_USEC, NULL);
        run->postgres = pg_pool_free(run->postgres);
        run->metrics = metrics_free(run->metrics);
        run->settings = settings_free(run->settings);
        run->token = cancel_token_free(run->token);
}

static int tell_error(const Run *run, const char *what, const Error *e) {
        (void) fprintf(stderr, "%s: %s: %s\n", run->options->task, what, error_text(e));
        if (e->hint)
                (void) fprintf(stderr, "  HINT: %s\n", e->hint);
        return EXIT_CODE_FAILED;
}

static int load_settings(Run *run) {
        SettingsSource source = {
                .conf_dir = run->options->conf_dir ?: ROUNDTABLE_SYSCONFDIR,
                .environ = (const char *const *) environ,
                .env_dir = run->options->env_dir,
                .read_environment_file = true,
                .credentials_dir = getenv("CREDENTIALS_DIRECTORY"),
                .require_files = true,
        };
        SettingsProblems problems = { 0 };
        _cleanup_free_ char *text = NULL;
        LogLevel level;
        int r;

        r = settings_load(&source, family_manifests, &run->settings, &problems);
        /* warnings are for `config check` */
        if (r < 0) {
                text = settings_problems_format(&problems);
                (void) fputs(text ? text : "out of memory\n", stderr);
        }
        settings_problems_done(&problems);
        if (r >= 0 && log_level_from_string(settings_string(run->settings, "log.level"), &level) >= 0)
                log_set_max_level(level);
        return r;
}

/* Callbacks of the services. */

static KafkaProducer *get_kafka(void *userdata, Error *reterr) {
        Run *run = userdata;

        if (!run->kafka && kafka_producer_new(run->settings, NULL, NULL, &run->kafka, reterr) < 0)
                return NULL;
        return run->kafka;
}

static bool may_commit(_unused_ const char *task, void *userdata) {
        const Run *run = userdata;

        return !run->lock || run_lock_may_commit(run->lock);
}

static void end_progress(Run *run) {
        if (run->progress_shown)
                (void) fputc('\n', stderr);
        run->progress_shown = false;
}

static void show_progress(_unused_ const char *task, uint64_t done, uint64_t total, const char *unit, void *userdata) {
        static const char bar[] = "####################";
        const int width = (int) sizeof(bar) - 1;
        int filled = total > 0 ? (int) ((double) (done < total ? done : total) / (double) total * width) : 0;
        uint64_t now = clock_monotonic_usec();
        char text[PROGRESS_TEXT_SIZE];
        Run *run = userdata;

        progress_report(&run->progress, done, total, unit, now);

        /* a bar is for a terminal; elsewhere the result line is enough */
        if (!isatty(STDERR_FILENO))
                return;
        (void) fprintf(stderr, "\r%s [%-*.*s] %s\033[K", run->options->task, width, filled, bar,
                       progress_format(&run->progress, now, clock_realtime_usec(), text));
        run->progress_shown = true;
}

static int make_services(Run *run) {
        int r;

        r = pg_pool_new(run->settings, run->family->name, NULL, NULL, &run->postgres);
        if (r >= 0)
                r = metrics_new(run->settings, &run->metrics);
        run->services = (TaskServices){
                .settings = run->settings,
                .family = run->family->name,
                .postgres = run->postgres,
                .metrics = run->metrics,
                .kafka = get_kafka,
                .may_commit = may_commit,
                .on_progress = show_progress,
                .userdata = run,
        };
        return r;
}

static int make_lock(Run *run, Error *reterr) {
        const char *family = run->family->name, *task = run->spec->name;
        int64_t multiplier = settings_task_int(run->settings, family, task, "lock_multiplier");
        uint64_t interval = settings_task_duration_usec(run->settings, family, task, "interval");
        char host[256] = "";
        RunLockOptions options = {
                .redis_url = settings_string(run->settings, "redis.url"),
                .service = settings_string(run->settings, "service_name"),
                .host = host,
                .family = family,
                .run_id = run->run_id,
                .task = {
                        .task = task,
                        .interval_usec = interval,
                        .extended_ttl_usec = task_extended_ttl_usec(interval, multiplier),
                        .original_extended = multiplier > 0,
                },
                .force = run->options->force,
        };

        if (gethostname(host, sizeof(host) - 1) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot read the host's name: %m");
        return run_lock_new(&options, &run->lock, reterr);
}

static void tell_obstacle(const Run *run, const LockTakeResult *result) {
        const char *holder = str_empty(result->holder) ? "somebody" : result->holder;
        char left[64];

        (void) format_duration(result->wait_usec, left, sizeof(left));
        switch (result->outcome) {
        case LOCK_HELD_R:
                (void) fprintf(stderr,
                               "%s: its interval is held by %s for another %s\n"
                               "  HINT: --wait waits for it, --force goes ahead past it\n",
                               run->options->task, holder, left);
                break;
        case LOCK_HELD_E:
                (void) fprintf(stderr,
                               "%s: is being run by %s; the lock lives for another %s unless it is renewed\n"
                               "  HINT: --wait waits for the end of that run\n",
                               run->options->task, holder, left);
                break;
        case LOCK_PAUSED:
                (void) fprintf(stderr, "%s: is paused%s%s\n  HINT: roundtable resume %s\n", run->options->task,
                               str_empty(result->holder) ? "" : " by ", result->holder ?: "", run->options->task);
                break;
        case LOCK_WAIT_EPOCH:
                (void) fprintf(stderr, "%s: Redis is new or was emptied; waiting for owners of locks to show up\n",
                               run->options->task);
                break;
        case LOCK_TAKEN:
                break;
        }
}

/* Returns an exit code, or -1 when the lock is held by this run. */
static int take_lock(Run *run) {
        LockOutcome told = LOCK_TAKEN;

        for (;;) {
                _cleanup_error_ Error e = ERROR_INIT;
                LockTakeResult result = { 0 };
                LockOutcome outcome;
                uint64_t wait;

                if (run_lock_take(run->lock, run->token, &result, &e) < 0)
                        return tell_error(run, "cannot take its lock", &e);
                outcome = result.outcome;
                if (outcome != told)
                        tell_obstacle(run, &result);
                told = outcome;
                wait = result.wait_usec > 0 && result.wait_usec < WAIT_MAX_USEC ? result.wait_usec : WAIT_MAX_USEC;
                lock_take_result_done(&result);
                if (outcome == LOCK_TAKEN)
                        return -1;
                /* an emptied Redis is a matter of seconds and nobody's lock: that is waited for in any case */
                if (!run->options->wait && outcome != LOCK_WAIT_EPOCH)
                        return EXIT_CODE_TRY_AGAIN;
                if (cancel_token_poll(run->token, -1, 0, wait) < 0) {
                        (void) fprintf(stderr, "%s: gave up waiting\n", run->options->task);
                        return EXIT_CODE_TRY_AGAIN;
                }
        }
}

/* Runs slice after slice. 0, TASK_MORE when the preview ends early, or negative errno. */
static int run_slices(Run *run, TaskContext *ctx, TaskRun body) {
        unsigned pages = run->options->pages > 0 ? run->options->pages : 1;

        for (unsigned slice = 1;; slice++) {
                int r = body(ctx);

                if (r != TASK_MORE)
                        return r;
                if (run->options->dry_run && slice >= pages)
                        return TASK_MORE;
                r = cancel_token_check(run->token);
                if (r < 0)
                        return r;
                task_context_next_slice(ctx);
        }
}

static void tell_fields(const TaskContext *ctx) {
        const TaskField *fields;
        size_t n;

        fields = task_context_fields(ctx, &n);
        for (size_t i = 0; i < n; i++)
                (void) printf(", %s %lld", fields[i].name, (long long) fields[i].value);
        if (task_context_items_failed(ctx) > 0)
                (void) printf(", %llu left out", (unsigned long long) task_context_items_failed(ctx));
        (void) printf(", %llu round trips\n", (unsigned long long) task_context_round_trips(ctx));
}

static void tell_result(Run *run, const TaskContext *ctx, int r) {
        const Error *e = task_context_error(ctx);
        CancelReason reason = cancel_token_reason(run->token);
        char duration[64];

        end_progress(run);
        (void) format_duration(clock_monotonic_usec() - run->started_usec, duration, sizeof(duration));
        if (r >= 0) {
                (void) printf("%s: %s in %s", run->options->task, run->options->dry_run ? "previewed" : "done",
                              duration);
                tell_fields(ctx);
                if (r == TASK_MORE)
                        (void) printf("%s: the preview stops here, the task has more to do; --pages N goes on\n",
                                      run->options->task);
                return;
        }
        (void) printf("%s: %s after %s: %s\n", run->options->task, reason == CANCEL_NONE ? "failed" : "cancelled",
                      duration, e->text ? error_text(e) : strerror(-r));
        if (reason != CANCEL_NONE)
                (void) printf("  reason: %s\n", cancel_reason_to_string(reason));
        if (e->hint)
                (void) printf("  HINT: %s\n", e->hint);
}

/* The run itself. The result for the locks goes to ret_result. */
static int execute(Run *run, TaskRun body, const char **ret_result) {
        TaskOptions options = {
                .task = run->spec->name,
                .run_id = run->run_id,
                .now_usec = clock_realtime_usec(),
                .max_run_usec =
                        settings_task_duration_usec(run->settings, run->family->name, run->spec->name, "max_run"),
                .dry_run = run->options->dry_run,
        };
        _cleanup_(task_context_freep) TaskContext *ctx = NULL;
        int r;

        *ret_result = "failed";
        run->started_usec = clock_monotonic_usec();
        r = task_context_new(&run->services, &options, &run->connections, run->token, &ctx);
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", run->spec->name, strerror(-r));
                return EXIT_CODE_FAILED;
        }
        failpoint_set_task(run->spec->name);
        r = run_slices(run, ctx, body);
        failpoint_set_task(NULL);
        tell_result(run, ctx, r);
        (void) fflush(stdout);
        if (r < 0 && cancel_token_reason(run->token) != CANCEL_NONE)
                *ret_result = "cancelled";
        else if (r >= 0)
                *ret_result = "ok";
        return r < 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int locked_run(Run *run, TaskRun body) {
        _cleanup_error_ Error e = ERROR_INIT;
        const char *result;
        int code;

        if (run->options->no_lock)
                return execute(run, body, &result);
        if (make_lock(run, &e) < 0)
                return tell_error(run, "cannot make its lock", &e);
        code = take_lock(run);
        if (code >= 0)
                return code;
        code = execute(run, body, &result);
        if (run_lock_end(run->lock, result, &e) < 0)
                /* what was done is done; others wait a little longer */
                (void) fprintf(stderr, "%s: its lock could not be released and runs out by itself: %s\n",
                               run->options->task, error_text(&e));
        return code;
}

int run_main(const RunOptions *options) {
        _cleanup_(run_done) Run run = { .options = options };
        TaskRun body;
        int r;

        log_init("roundtable-worker", LOG_TARGET_CONSOLE, LOG_LEVEL_INFO);
        run.family = family_manifest_find_task(options->task, &run.spec);
        body = run.family ? task_binding_find(run.family->name, options->task) : NULL;
        if (!body) {
                (void) fprintf(stderr, "there is no task %s\n  HINT: `roundtable list` shows all\n", options->task);
                return EXIT_CODE_USAGE;
        }
        log_set_identity(run.family->name, NULL);
        r = load_settings(&run);
        if (r < 0)
                return r == -EBADMSG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
        (void) random_uuid(run.run_id);
        r = cancel_token_new(&run.token);
        if (r >= 0)
                r = run_signals_new(run.token, &run.signals);
        if (r >= 0)
                r = make_services(&run);
        if (r < 0) {
                (void) fprintf(stderr, "%s: cannot start: %s\n", options->task, strerror(-r));
                return EXIT_CODE_FAILED;
        }
        return locked_run(&run, body);
}
