/* One run in the foreground. It takes the locks of the service, so that it never runs beside it, but no start delay and
 * no schedule. It confines itself as a worker does once the settings are read, and leaves the record of a run behind,
 * in the journal and, with --json, on stdout; a dry run, which did nothing, leaves none. */

#include <stdio.h>

#include "common/clock.h"
#include "common/failpoint.h"
#include "workers/bindings.h"
#include "workers/progress.h"
#include "workers/registry.h"
#include "workers/run.h"
#include "workers/run_lock.h"
#include "workers/run_record.h"
#include "workers/run_signals.h"
#include "workers/sandbox.h"
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
        RunRecord record;
        Progress progress;
        LogTarget log_target;
        bool progress_shown;
} Run;

static void run_done(Run *run) {
        run_record_done(&run->record);
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
        SettingsSource source = settings_process_source(run->options->conf_dir, run->options->env_dir);
        LogLevel level;
        int r;

        r = settings_process_load(&source, family_manifests, false, &run->settings);
        if (r >= 0 && log_level_from_string(settings_string(run->settings, "log.level"), &level) >= 0)
                log_set_max_level(level);
        return r;
}

/* Before the first thread. Nothing is written but to servers and to what is open already. Returns an exit code. */
static int confine(const Run *run) {
        const char *family = run->family->name;
        _cleanup_free_ const char **paths = settings_worker_paths(run->settings, run->family);
        SandboxOptions options = {
                .mode = settings_worker_string(run->settings, family, "worker.sandbox"),
                .read_paths = paths,
                .open_files = settings_worker_int(run->settings, family, "worker.open_files"),
        };
        _cleanup_(sandbox_report_done) SandboxReport report = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;

        if (!paths)
                (void) error_set(&e, ERROR_RETRY, -ENOMEM, "out of memory");
        else if (sandbox_enter(&options, &report, &e) >= 0)
                return EXIT_CODE_OK;
        (void) tell_error(run, "cannot enter its sandbox", &e);
        return str_eq(options.mode, "required") ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
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
                .preview = run->options->dry_run,
        };

        if (gethostname(host, sizeof(host) - 1) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot read the host's name: %m");
        return run_lock_new(&options, &run->lock, reterr);
}

static void tell_obstacle(const Run *run, const LockTakeResult *result) {
        const char *holder = str_empty(result->holder) ? "somebody" : result->holder;
        /* R is looked at first, but whoever has an E runs the task */
        LockOutcome outcome = result->outcome == LOCK_HELD_R && result->holder_kind == LOCK_HOLDER_RUN
                                      ? LOCK_HELD_E
                                      : result->outcome;
        char left[64];

        (void) format_duration(result->wait_usec, left, sizeof(left));
        switch (outcome) {
        case LOCK_HELD_R:
                (void) fprintf(stderr,
                               "%s: its interval is held by %s for another %s\n"
                               "  HINT: --wait waits for it, --force goes ahead past it\n",
                               run->options->task, holder, left);
                break;
        case LOCK_HELD_E:
                (void) fprintf(stderr,
                               "%s: is being run by %s\n"
                               "  HINT: --wait waits for the end of that run\n",
                               run->options->task, holder);
                break;
        case LOCK_PAUSED:
                (void) fprintf(stderr, "%s: is paused by %s\n  HINT: --wait waits until it is resumed\n",
                               run->options->task, holder);
                break;
        case LOCK_WAIT_EPOCH:
                (void) fprintf(stderr, "%s: Redis is new or was emptied; waiting for owners of locks to show up\n",
                               run->options->task);
                break;
        case LOCK_BROKEN: /* an error here */
        case LOCK_NOT_ASKED:
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

/* As in the service, a pause takes effect between slices. Cancels the run then. */
static int check_pause(Run *run) {
        _cleanup_free_ char *text = run->lock ? run_lock_look_up_pause(run->lock, run->token) : NULL;

        if (!text)
                return 0;
        cancel_token_cancel(run->token, CANCEL_PAUSE);
        (void) error_set(&run->record.error, ERROR_CANCELED, -ECANCELED,
                         "paused %s; what is done is done, the task has more to do", text);
        error_set_hint(&run->record.error,
                       "run it again once it is resumed, --wait waits for that; it goes on from here");
        return -ECANCELED;
}

/* Runs slice after slice. 0, TASK_MORE when the preview ends early, or negative errno. */
static int run_slices(Run *run, TaskContext *ctx, TaskRun body, unsigned *slices) {
        unsigned pages = run->options->pages > 0 ? run->options->pages : 1;

        for (;;) {
                int r = body(ctx);

                ++*slices;
                if (r != TASK_MORE)
                        return r;
                if (run->options->dry_run && *slices >= pages)
                        return TASK_MORE;
                r = check_pause(run);
                if (r >= 0)
                        r = cancel_token_check(run->token);
                if (r < 0)
                        return r;
                task_context_next_slice(ctx);
        }
}

static void tell_fields(const RunRecord *record) {
        for (size_t i = 0; i < record->n_fields; i++)
                (void) printf(", %s %lld", record->fields[i].name, (long long) record->fields[i].value);
        if (record->items_failed > 0)
                (void) printf(", %llu left out", (unsigned long long) record->items_failed);
        (void) printf(", %llu round trips\n", (unsigned long long) record->round_trips);
}

static void tell_result(const Run *run, int r) {
        const Error *e = &run->record.error;
        CancelReason reason = cancel_token_reason(run->token);
        char duration[64];

        (void) format_duration(clock_monotonic_usec() - run->record.started_monotonic_usec, duration, sizeof(duration));
        if (r >= 0) {
                (void) printf("%s: %s in %s", run->options->task, run->options->dry_run ? "previewed" : "done",
                              duration);
                tell_fields(&run->record);
                if (r == TASK_MORE)
                        (void) printf("%s: the preview stops here, the task has more to do; --pages N goes on\n",
                                      run->options->task);
                return;
        }
        (void) printf("%s: %s after %s: %s\n", run->options->task, reason == CANCEL_NONE ? "failed" : "cancelled",
                      duration, error_text(e));
        if (reason != CANCEL_NONE)
                (void) printf("  reason: %s\n", cancel_reason_to_string(reason));
        if (e->hint)
                (void) printf("  HINT: %s\n", e->hint);
}

/* The record goes where programs look for it; the person who waits has been told, or wants just this (--json). */
static void leave_record(Run *run) {
        log_set_target(run->options->json ? LOG_TARGET_JSON : LOG_TARGET_NONE);
        run_record_finish(&run->record, run->metrics, run->spec->name);
        log_set_target(run->log_target);
}

/* The run itself; its result is in the record. */
static int execute(Run *run, TaskRun body) {
        TaskOptions options = {
                .task = run->spec->name,
                .run_id = run->run_id,
                .max_run_usec =
                        settings_task_duration_usec(run->settings, run->family->name, run->spec->name, "max_run"),
                .dry_run = run->options->dry_run,
        };
        _cleanup_(task_context_freep) TaskContext *ctx = NULL;
        CancelReason reason;
        unsigned slices = 0;
        int r;

        run_record_begin(&run->record, run->run_id);
        options.now_usec = run->record.started_usec;
        r = task_context_new(&run->services, &options, &run->connections, run->token, &ctx);
        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", run->spec->name, strerror(-r));
                run->record.result = RUN_FAILED;
                return EXIT_CODE_FAILED;
        }
        if (!run->options->dry_run)
                run_metrics_started(run->metrics, run->spec->name);
        failpoint_set_task(run->spec->name);
        r = run_slices(run, ctx, body, &slices);
        failpoint_set_task(NULL);
        run_record_add_slice(&run->record, ctx); /* one context for all of them */
        run->record.slices = slices;
        if (r < 0 && run->record.error.err == 0)
                (void) error_set(&run->record.error, ERROR_RETRY, r, "%s", strerror(-r));
        reason = cancel_token_reason(run->token);
        run->record.result = r >= 0                                               ? RUN_OK
                             : reason == CANCEL_NONE || reason == CANCEL_DEADLINE ? RUN_FAILED
                                                                                  : RUN_CANCELLED;
        end_progress(run);
        if (!run->options->json || run->options->dry_run)
                tell_result(run, r);
        else if (reason == CANCEL_PAUSE) /* the record does not say why */
                (void) fprintf(stderr, "%s: %s\n  HINT: %s\n", run->spec->name, error_text(&run->record.error),
                               run->record.error.hint ?: "");
        (void) fflush(stdout);
        if (!run->options->dry_run)
                leave_record(run);
        return r >= 0 ? EXIT_CODE_OK : reason == CANCEL_PAUSE ? EXIT_CODE_TRY_AGAIN : EXIT_CODE_FAILED;
}

/* Once the locks are released: the original's time includes that. */
static void send_timing(const Run *run) {
        uint64_t interval = settings_task_duration_usec(run->settings, run->family->name, run->spec->name, "interval");

        if (!run->options->dry_run)
                run_metrics_ended(&run->record, run->metrics, run->spec->name, interval);
}

static int locked_run(Run *run, TaskRun body) {
        _cleanup_error_ Error e = ERROR_INIT;
        int code;

        if (run->options->no_lock) {
                code = execute(run, body);
                send_timing(run);
                return code;
        }
        if (make_lock(run, &e) < 0)
                return tell_error(run, "cannot make its lock", &e);
        code = take_lock(run);
        if (code >= 0)
                return code;
        code = execute(run, body);
        /* a preview is no success that others may rely on */
        if (run_lock_end(run->lock, run->options->dry_run ? "previewed" : run_result_to_string(run->record.result),
                         &e) < 0)
                /* what was done is done; others wait a little longer */
                (void) fprintf(stderr, "%s: its lock could not be released and runs out by itself: %s\n",
                               run->options->task, error_text(&e));
        send_timing(run);
        return code;
}

int run_main(const RunOptions *options) {
        _cleanup_(run_done) Run run = { .options = options };
        TaskRun body;
        int r, code;

        run.log_target = log_stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_CONSOLE;
        log_init("roundtable-worker", run.log_target, LOG_LEVEL_INFO);
        log_set_journal_copy(true);
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
        code = confine(&run);
        if (code != EXIT_CODE_OK)
                return code;
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
