/* The supervisor's loop: starts the workers, tells systemd how they are, ends with them. */

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/message_ids.h"
#include "supervisor/supervisor.h"
#include "workers/registry.h"
#include "workers/worker_protocol.h"

#define AT "supervisor#run"

uint64_t supervisor_tunable_usec(const char *name _unused_, uint64_t usec) {
#ifdef ROUNDTABLE_TESTING
        _cleanup_free_ char *variable = str_printf("ROUNDTABLE_TEST_%s_USEC", name);
        const char *value = variable ? getenv(variable) : NULL;

        if (value)
                return strtoull(value, NULL, 10);
#endif
        return usec;
}

int supervisor_load_settings(const Supervisor *s, Settings **ret, SettingsProblems *problems) {
        SettingsSource source = settings_process_source(s->conf_dir, s->env_dir);

        source.all_families = true;
        return settings_load(&source, family_manifests, ret, problems);
}

WorkerProcess *supervisor_find_worker(Supervisor *s, const char *family) {
        for (size_t i = 0; i < s->n_workers; i++)
                if (str_eq(s->workers[i].manifest->name, family))
                        return &s->workers[i];
        return NULL;
}

WorkerProcess *supervisor_find_pid(Supervisor *s, pid_t pid) {
        for (size_t i = 0; i < s->n_workers; i++)
                if (s->workers[i].pid > 0 && s->workers[i].pid == pid)
                        return &s->workers[i];
        return NULL;
}

static void supervisor_tell_systemd(Supervisor *s, size_t enabled, size_t ready) {
        _cleanup_buffer_ Buffer text = { 0 };

        (void) buffer_printf(&text, "%zu of %zu workers ready", ready, enabled);
        for (size_t i = 0; i < s->n_workers; i++) {
                const WorkerProcess *w = &s->workers[i];

                if (w->state == WORKER_REFUSED || w->state == WORKER_OWN_UNIT)
                        (void) buffer_printf(&text, "; %s %s", w->manifest->name, worker_state_to_string(w->state));
                else if (w->failed_starts >= WORKER_FAILED_STARTS_GIVEN_UP)
                        (void) buffer_printf(&text, "; %s failed to start %u times", w->manifest->name,
                                             w->failed_starts);
                else if (w->health && !str_eq(w->health, "ok"))
                        (void) buffer_printf(&text, "; %s: %s", w->manifest->name, w->health);
        }
        if (!buffer_failed(&text))
                (void) sd_notifyf(false, "STATUS=%s", text.data);
}

void supervisor_workers_changed(Supervisor *s) {
        size_t enabled = 0, ready = 0, settled = 0, refused = 0, alive = 0;

        for (size_t i = 0; i < s->n_workers; i++) {
                const WorkerProcess *w = &s->workers[i];

                alive += w->pid > 0;
                if (!worker_process_enabled(w))
                        continue;
                enabled++;
                ready += w->state == WORKER_READY;
                refused += w->state == WORKER_REFUSED;
                settled += worker_process_settled(w);
        }
        if (s->stopping) {
                if (alive == 0)
                        (void) sd_event_exit(s->event, s->exit_code);
                return;
        }
        supervisor_tell_systemd(s, enabled, ready);
        reload_check_answers(s);
        if (s->announced || settled < enabled)
                return;
        if (enabled > 0 && refused == enabled) {
                log_error(AT, "No worker accepts its settings");
                supervisor_stop(s, EXIT_CODE_CONFIG);
                return;
        }
        s->announced = true;
        (void) sd_notify(false, "READY=1");
        log_printf(LOG_LEVEL_INFO, MESSAGE_SUPERVISOR_STARTED, AT, "Supervisor is ready with %zu of %zu workers", ready,
                   enabled);
}

void supervisor_extend_timeout(const Supervisor *s) {
        (void) sd_notifyf(false, "EXTEND_TIMEOUT_USEC=%" PRIu64,
                          settings_duration_usec(s->settings, "supervisor.stop_timeout") + SYSTEMD_MARGIN_USEC);
}

void supervisor_stop(Supervisor *s, int exit_code) {
        if (s->stopping)
                return;
        s->stopping = true;
        s->exit_code = exit_code;
        (void) sd_notify(false, "STOPPING=1\nSTATUS=stopping");
        supervisor_extend_timeout(s);
        reload_abandon(s);
        for (size_t i = 0; i < s->n_workers; i++)
                worker_process_stop(&s->workers[i], false);
        supervisor_workers_changed(s);
}

static int on_stop_signal(sd_event_source *source _unused_, const struct signalfd_siginfo *si, void *userdata) {
        Supervisor *s = userdata;

        /* A second Ctrl-C is impatience. */
        if (s->stopping && si->ssi_signo == SIGINT)
                for (size_t i = 0; i < s->n_workers; i++)
                        worker_process_kill(&s->workers[i]);
        supervisor_stop(s, EXIT_CODE_OK);
        return 0;
}

static int on_reload_signal(sd_event_source *source _unused_, const struct signalfd_siginfo *si _unused_,
                            void *userdata) {
        reload_request(userdata, NULL, false);
        return 0;
}

static int supervisor_add_signals(Supervisor *s) {
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        r = sd_event_add_signal(s->event, NULL, SIGTERM, on_stop_signal, s);
        if (r >= 0)
                r = sd_event_add_signal(s->event, NULL, SIGINT, on_stop_signal, s);
        if (r >= 0)
                r = sd_event_add_signal(s->event, NULL, SIGHUP, on_reload_signal, s);
        return r;
}

/* One supervisor per runtime directory: a second one would unlink the first one's sockets. */
static int supervisor_lock(Supervisor *s, Error *reterr) {
        _cleanup_free_ char *path = str_printf("%s/supervisor.lock", s->runtime_dir);

        if (!path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (s->lock_fd < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: cannot open: %m", path);
        if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK)
                        return error_set(reterr, ERROR_RETRY, -EBUSY, "%s: another supervisor runs here", path);
                return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot lock: %m", path);
        }
        return 0;
}

static gid_t find_group(const char *name) {
        const struct group *g = getgrnam(name);

        return g ? g->gr_gid : (gid_t) -1;
}

static char *option_or_setting(const char *option, const Settings *settings, const char *name) {
        if (!option)
                option = settings_string(settings, name);
        return option ? strdup(option) : NULL;
}

static int supervisor_setup_paths(Supervisor *s, const SupervisorOptions *o, Error *reterr) {
        char host[HOST_NAME_MAX + 1] = { 0 };

        (void) gethostname(host, sizeof host - 1);
        s->host = strdup(host);
        s->runtime_dir = option_or_setting(o->runtime_dir, s->settings, "supervisor.runtime_dir");
        s->state_dir = option_or_setting(o->state_dir, s->settings, "supervisor.state_dir");
#ifdef ROUNDTABLE_TESTING
        if (getenv("ROUNDTABLE_TEST_WORKER"))
                s->worker_path = strdup(getenv("ROUNDTABLE_TEST_WORKER"));
#endif
        if (!s->worker_path)
                s->worker_path = program_path("roundtable-worker", false);
        if (!s->host || !s->runtime_dir || !s->state_dir || !s->worker_path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        /* The service's own comes from tmpfiles, setgid. Not here: RestrictSUIDSGID= refuses such a mode even when it
         * exists. */
        if (mkdir(s->runtime_dir, 0755) < 0 && errno != EEXIST)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: cannot make the runtime directory: %m",
                                 s->runtime_dir);
        if (mkdir(s->state_dir, 0700) < 0 && errno != EEXIST)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: cannot make the state directory: %m", s->state_dir);
        return 0;
}

static int supervisor_setup(Supervisor *s, const SupervisorOptions *o, Error *reterr) {
        size_t n = 0;
        int r;

        r = supervisor_setup_paths(s, o, reterr);
        if (r < 0)
                return r;
        r = supervisor_lock(s, reterr);
        if (r < 0)
                return r;
        r = instances_open(s->state_dir, &s->instances, reterr);
        if (r == -EBADMSG)
                log_warning(AT, "%s", error_text(reterr));
        else if (r < 0)
                return r;
        r = sd_event_new(&s->event);
        if (r >= 0)
                r = supervisor_add_signals(s);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "cannot set up the event loop: %s", strerror(-r));
        cgroup_setup(s);
        r = notify_socket_open(s, reterr);
        if (r >= 0)
                r = control_socket_open(s, reterr);
        if (r < 0)
                return r;
        while (family_manifests[n])
                n++;
        s->workers = calloc(n + 1, sizeof *s->workers);
        if (!s->workers)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        for (; s->n_workers < n; s->n_workers++) {
                r = worker_process_init(&s->workers[s->n_workers], s, family_manifests[s->n_workers]);
                if (r < 0)
                        return error_set(reterr, ERROR_RETRY, r, "cannot set up worker %s",
                                         family_manifests[s->n_workers]->name);
        }
        return 0;
}

static void supervisor_done(Supervisor *s) {
        for (size_t i = 0; i < s->n_workers; i++)
                worker_process_done(&s->workers[i]);
        free(s->workers);
        control_server_free(s->control);
        notify_socket_close(s);
        free(s->reloads);
        free(s->warnings);
        instances_done(&s->instances);
        sd_event_unref(s->event);
        settings_free(s->settings);
        s->lock_fd = close_fd(s->lock_fd);
        s->cgroup_fd = close_fd(s->cgroup_fd);
        free(s->runtime_dir);
        free(s->state_dir);
        free(s->host);
        free(s->worker_path);
}

static int supervisor_check_families(const SupervisorOptions *o) {
        for (const char *const *f = o->families; f && *f; f++)
                if (!family_manifest_find(*f)) {
                        (void) fprintf(stderr, "roundtable: no family %s in this build\n", *f);
                        return EXIT_CODE_USAGE;
                }
        return 0;
}

int supervisor_run(const SupervisorOptions *o) {
        _cleanup_(supervisor_done) Supervisor s = { .conf_dir = o->conf_dir,
                                                    .env_dir = o->env_dir,
                                                    .notify_fd = -EBADF,
                                                    .lock_fd = -EBADF,
                                                    .cgroup_fd = -EBADF,
                                                    .families = o->families,
                                                    .foreground = o->foreground,
                                                    .started_usec = clock_realtime_usec() };
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        LogLevel level;
        int r;

        log_init("roundtable", o->foreground ? LOG_TARGET_CONSOLE : LOG_TARGET_AUTO, LOG_LEVEL_INFO);
        if (supervisor_check_families(o) != 0)
                return EXIT_CODE_USAGE;
        r = supervisor_load_settings(&s, &s.settings, &problems);
        if (problems.n > 0) {
                _cleanup_free_ char *text = settings_problems_format(&problems);

                if (r < 0)
                        log_printf(LOG_LEVEL_ERROR, MESSAGE_CONFIG_INVALID, AT, "Settings have problems:\n%s",
                                   text ? text : "out of memory");
                else
                        log_printf(LOG_LEVEL_WARNING, MESSAGE_CONFIG_WARNING, AT, "Settings are in force, but:\n%s",
                                   text ? text : "out of memory");
        }
        if (r < 0) {
                (void) sd_notify(false, "STATUS=settings are invalid");
                return r == -EBADMSG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
        }
        if (log_level_from_string(settings_string(s.settings, "log.level"), &level) >= 0)
                log_set_max_level(level);
        s.system_service = !o->foreground && getenv("INVOCATION_ID");
        s.read_group = find_group("roundtable");
        s.admin_group = find_group("roundtable-admin");
        r = supervisor_setup(&s, o, &e);
        if (r < 0) {
                log_error_object(LOG_LEVEL_ERROR, NULL, AT, &e, NULL, 0, "Cannot start");
                return r == -EBUSY ? EXIT_CODE_TRY_AGAIN : EXIT_CODE_FAILED;
        }
        r = sd_event_set_watchdog(s.event, true);
        if (r < 0)
                log_warning(AT, "cannot answer systemd's watchdog: %s", strerror(-r));
        for (size_t i = 0; i < s.n_workers; i++)
                if (worker_process_enabled(&s.workers[i]))
                        worker_process_start(&s.workers[i]);
        supervisor_workers_changed(&s);
        r = sd_event_loop(s.event);
        log_printf(LOG_LEVEL_INFO, MESSAGE_STOPPED, AT, "Supervisor stops");
        return r < 0 ? EXIT_CODE_FAILED : r;
}
