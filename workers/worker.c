/* A worker's life: what it is made of, the loop, the drain. */

#include <inttypes.h>
#include <signal.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/message_ids.h"
#include "workers/worker_internal.h"
#include "workers/worker_lock_file.h"
#include "workers/worker_protocol.h"

#define RELEASE_USEC (3 * USEC_PER_SEC)   /* for the locks, once no body runs */
#define CANCELLED_USEC (4 * USEC_PER_SEC) /* for bodies to notice their cancellation */
#define KAFKA_FLUSH_USEC (5 * USEC_PER_SEC)
#define STOP_MARGIN_USEC (15 * USEC_PER_SEC) /* more than these together */

static void on_postgres_state(PgServer server, const Error *error, void *userdata) {
        Worker *w = userdata;

        server_states_report(w->servers, server == PG_PRIMARY ? SERVER_POSTGRES_PRIMARY : SERVER_POSTGRES_REPLICA,
                             error);
}

static void on_redis_state(const Error *error, void *userdata) {
        server_states_report(((Worker *) userdata)->servers, SERVER_REDIS, error);
}

static void on_kafka_state(const Error *error, void *userdata) {
        server_states_report(((Worker *) userdata)->servers, SERVER_KAFKA, error);
}

static void on_health(const char *health, void *userdata _unused_) {
        (void) sd_notifyf(0, NOTIFY_HEALTH "%s", health);
}

static void on_running(const char *names, void *userdata _unused_) {
        (void) sd_notifyf(0, NOTIFY_RUNNING "%s", names);
}

/* From any executor thread, at the first message: most workers never send one. */
static KafkaProducer *get_kafka(void *userdata, Error *reterr) {
        Worker *w = userdata;
        KafkaProducer *p;

        (void) pthread_mutex_lock(&w->mutex);
        if (!w->kafka && kafka_producer_new(w->start->settings, on_kafka_state, w, &w->kafka, reterr) < 0)
                w->kafka = NULL;
        p = w->kafka;
        (void) pthread_mutex_unlock(&w->mutex);
        return p;
}

static int on_schedule(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        worker_pump(userdata);
        return 0;
}

static void end_if_drained(Worker *w);

static int on_coordinator(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_,
                          void *userdata) {
        worker_on_coordinator(userdata);
        end_if_drained(userdata);
        return 0;
}

static int on_executor(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_, void *userdata) {
        worker_on_executor(userdata);
        end_if_drained(userdata);
        return 0;
}

static int on_signal(sd_event_source *source _unused_, const struct signalfd_siginfo *si, void *userdata) {
        worker_drain(userdata, strsignal((int) si->ssi_signo));
        return 0;
}

static void arm_stop(Worker *w, uint64_t usec) {
        if (sd_event_source_set_time(w->stop_timer, clock_monotonic_usec() + usec) < 0 ||
            sd_event_source_set_enabled(w->stop_timer, SD_EVENT_ONESHOT) < 0)
                (void) sd_event_exit(w->event, EXIT_CODE_FAILED);
}

/* Once no body runs only the locks are left, for which Redis may be away: coordinator_free() has the last try. */
static void end_if_drained(Worker *w) {
        if (!w->draining || worker_bodies(w) > 0)
                return;
        if (scheduler_idle(w->scheduler)) {
                (void) sd_event_exit(w->event, EXIT_CODE_OK);
                return;
        }
        if (w->stop != STOP_RELEASE) {
                w->stop = STOP_RELEASE;
                arm_stop(w, worker_tunable_usec("RELEASE", RELEASE_USEC));
        }
}

_Noreturn static void give_up_bodies(const Worker *w) {
        for (size_t i = 0; i < w->n_tasks; i++)
                if (w->tasks[i].in_body)
                        log_error("worker#stop", "task %s did not return after its cancellation: leaving without it",
                                  w->tasks[i].spec->name);
        /* it may still write: its locks stay until it is certainly gone and are cleared by the next worker */
        _exit(EXIT_CODE_FAILED);
}

static int on_stop(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata) {
        Worker *w = userdata;

        if (w->stop == STOP_RELEASE)
                return sd_event_exit(w->event, EXIT_CODE_OK);
        if (w->stop == STOP_CANCELLED)
                give_up_bodies(w);
        w->stop = STOP_CANCELLED;
        for (size_t i = 0; i < w->n_tasks; i++)
                if (w->tasks[i].in_body)
                        cancel_token_cancel(w->tasks[i].token, CANCEL_DRAIN);
        arm_stop(w, CANCELLED_USEC);
        return 0;
}

void worker_drain(Worker *w, const char *why) {
        if (w->draining)
                return;
        w->draining = true;
        log_info("worker#drain", "stopping (%s), %zu running", why, worker_bodies(w));
        /* under a unit of its own: whatever TimeoutStopSec= is; a supervisor has its own limit and ignores it */
        (void) sd_notifyf(0, "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%" PRIu64,
                          w->stop_timeout_usec + STOP_MARGIN_USEC);
        w->stop = STOP_WAIT;
        arm_stop(w, w->stop_timeout_usec);
        scheduler_drain(w->scheduler);
        worker_pump(w);
        end_if_drained(w);
}

/* The signals are blocked before the first thread, so that none of them can get one. */
static int open_loop(Worker *w) {
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t set;
        int r;

        sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                sigaddset(&set, signals[i]);
        r = -pthread_sigmask(SIG_BLOCK, &set, NULL);
        if (r >= 0 && signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                r = -errno;
        if (r >= 0)
                r = sd_event_new(&w->event);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(signals); i++)
                r = sd_event_add_signal(w->event, NULL, signals[i], on_signal, w);
        return r;
}

static int open_sources(Worker *w) {
        int r;

        r = sd_event_add_time(w->event, &w->schedule_timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_schedule, w);
        if (r >= 0)
                r = sd_event_add_time(w->event, &w->stop_timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_stop, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->stop_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_io(w->event, NULL, coordinator_fd(w->coordinator), EPOLLIN, on_coordinator, w);
        if (r >= 0)
                r = sd_event_add_io(w->event, NULL, executor_fd(w->executor), EPOLLIN, on_executor, w);
        return r < 0 ? r : worker_watch_start(w);
}

static int open_clients(Worker *w) {
        const Settings *s = w->start->settings;
        int r;

        r = server_states_new(on_health, w, &w->servers);
        if (r >= 0)
                r = metrics_new(s, &w->metrics);
        if (r >= 0)
                r = pg_pool_new(s, w->family, on_postgres_state, w, &w->postgres);
        if (r < 0)
                return r;
        w->connections = calloc(w->slots, sizeof *w->connections);
        if (!w->connections)
                return -ENOMEM;
        w->services = (TaskServices){
                .settings = s,
                .family = w->family,
                .postgres = w->postgres,
                .metrics = w->metrics,
                .kafka = get_kafka,
                .on_redis_state = on_redis_state,
                .userdata = w,
        };
        return 0;
}

static int worker_open(Worker *w, Error *reterr) {
        int r;

        r = open_loop(w);
        if (r >= 0)
                r = open_clients(w);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "cannot set up the worker: %s", strerror(-r));
        r = worker_tasks_new(w, reterr);
        if (r < 0)
                return r;
        r = executor_new(w->slots, on_running, w, &w->executor);
        if (r >= 0)
                r = open_sources(w);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "cannot set up the worker: %s", strerror(-r));
        return worker_control_open(w, reterr);
}

/* In the order in which one still needs the other. No body runs any more. */
static void worker_close(Worker *w) {
        size_t left = 0;

        worker_control_close(w);
        w->executor = executor_free(w->executor);
        if (w->coordinator)
                w->coordinator = coordinator_free(w->coordinator, worker_tunable_usec("RELEASE", RELEASE_USEC));
        if (w->kafka)
                w->kafka = kafka_producer_close(w->kafka, KAFKA_FLUSH_USEC, &left);
        if (left > 0)
                log_error("worker#stop", "%zu messages were not acknowledged by Kafka", left);
        for (unsigned i = 0; w->connections && i < w->slots; i++)
                task_connections_done(&w->connections[i]);
        free(w->connections);
        w->scheduler = scheduler_free(w->scheduler);
        worker_tasks_done(w);
        w->postgres = pg_pool_free(w->postgres);
        w->metrics = metrics_free(w->metrics);
        w->servers = server_states_free(w->servers);
        (void) sd_event_source_unref(w->schedule_timer);
        (void) sd_event_source_unref(w->tick_timer);
        (void) sd_event_source_unref(w->stop_timer);
        (void) sd_event_unref(w->event);
        (void) pthread_mutex_destroy(&w->mutex);
}

static void tell_ready(Worker *w) {
        size_t enabled = 0;

        for (size_t i = 0; i < w->n_tasks; i++)
                enabled += w->tasks[i].enabled;
        log_debug("worker#ready", "ready: %zu of %zu tasks enabled, %u at once", enabled, w->n_tasks, w->slots);
        worker_watch_tell_delays(w, true);
        (void) sd_notifyf(0, "READY=1\nSTATUS=%zu tasks enabled\n" NOTIFY_HEALTH "ok", enabled);
}

int worker_run(const WorkerStart *start) {
        const char *family = start->manifest->name;
        Worker w = {
                .start = start,
                .family = family,
                .slots = start->serial ? 1
                                       : (unsigned) settings_worker_int(start->settings, family,
                                                                        "worker.max_concurrent_running_tasks"),
                .stop_timeout_usec = settings_worker_duration_usec(start->settings, family, "worker.stop_timeout"),
        };
        _cleanup_error_ Error error = ERROR_INIT;
        _cleanup_close_ int lock_fd = -EBADF;
        int r;

        lock_fd = worker_lock_file_open(start->runtime_dir, family, &error);
        if (lock_fd < 0) {
                log_error_object(LOG_LEVEL_ERROR, NULL, "worker#start", &error, NULL, 0, "cannot start");
                return lock_fd == -EBUSY ? EXIT_CODE_TRY_AGAIN : EXIT_CODE_FAILED;
        }
        (void) pthread_mutex_init(&w.mutex, NULL);
        r = worker_open(&w, &error);
        if (r < 0)
                log_error_object(LOG_LEVEL_ERROR, NULL, "worker#start", &error, NULL, 0, "cannot start");
        else {
                tell_ready(&w);
                r = sd_event_loop(w.event);
                if (r < 0)
                        log_error("worker#loop", "the event loop failed: %s", strerror(-r));
                else if (r == EXIT_CODE_OK)
                        log_info("worker#stop", "stopped");
        }
        if (r < 0 && worker_bodies(&w) > 0)
                _exit(EXIT_CODE_FAILED);
        worker_close(&w);
        /* settings that are of the right form, and still nothing a server could be reached by */
        if (error.kind == ERROR_NEVER && error.err == -EINVAL)
                return EXIT_CODE_CONFIG;
        return r < 0 ? EXIT_CODE_FAILED : r;
}
