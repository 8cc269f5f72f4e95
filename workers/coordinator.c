/* The main thread's side of the coordinator: requests in, events out. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "common/log.h"
#include "workers/coordinator_internal.h"

#define COMMAND_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define MIN_DELAY_USEC (10 * USEC_PER_MSEC) /* no busy loop, whatever the settings say */

void coordinator_event_done(CoordinatorEvent *e) {
        free(e->text);
        json_decref(e->document);
        e->text = NULL;
        e->document = NULL;
}

void *coordinator_allocate(size_t n, size_t size) {
        void *p = calloc(n ? n : 1, size);

        if (!p) {
                log_write(LOG_LEVEL_CRIT, NULL, "coordinator", NULL, 0, "out of memory");
                abort();
        }
        return p;
}

static char *copy_text(const char *text) {
        const size_t size = strlen(text ?: "") + 1;

        return memcpy(coordinator_allocate(size, 1), text ?: "", size);
}

void command_free(Command *c) {
        free(c->tasks);
        free(c->who);
        free(c->reason);
        free(c);
}

void coordinator_emit(Coordinator *c, CoordinatorEvent event) {
        EventNode *node = coordinator_allocate(1, sizeof(*node));

        node->event = event;
        (void) pthread_mutex_lock(&c->mutex);
        *c->events_tail = node;
        c->events_tail = &node->next;
        (void) eventfd_write(c->event_fd, 1);
        (void) pthread_mutex_unlock(&c->mutex);
}

Command *coordinator_next_command(Coordinator *c) {
        Command *command;

        (void) pthread_mutex_lock(&c->mutex);
        command = c->commands;
        if (command) {
                c->commands = command->next;
                if (!c->commands)
                        c->commands_tail = &c->commands;
        }
        (void) pthread_mutex_unlock(&c->mutex);
        return command;
}

static Command *command_new(CommandType type, size_t task) {
        Command *command = coordinator_allocate(1, sizeof(*command));

        command->type = type;
        command->task = task;
        return command;
}

static void command_post(Coordinator *c, Command *command) {
        (void) pthread_mutex_lock(&c->mutex);
        *c->commands_tail = command;
        c->commands_tail = &command->next;
        (void) pthread_mutex_unlock(&c->mutex);
        (void) eventfd_write(c->command_fd, 1);
}

static void coordinator_release(Coordinator *c) {
        EventNode *node;
        Command *command;

        while ((command = coordinator_next_command(c)))
                command_free(command);
        while ((node = c->events)) {
                c->events = node->next;
                coordinator_event_done(&node->event);
                free(node);
        }
        for (size_t i = 0; c->tasks && i < c->n_tasks; i++)
                free((char *) c->tasks[i].task);
        for (size_t i = 0; c->slots && i < c->n_tasks; i++)
                free(c->slots[i].paused);
        for (size_t i = 0; c->dead && i < c->n_dead; i++)
                free(c->dead[i]);
        free((char *) c->identity.service);
        free((char *) c->identity.host);
        free((char *) c->identity.worker);
        free((char *) c->identity.instance);
        free(c->tasks);
        free(c->slots);
        free(c->dead);
        free(c->complaint);
        (void) redis_conn_free(c->redis);
        (void) cancel_token_free(c->io);
        (void) close_fd(c->command_fd);
        (void) close_fd(c->event_fd);
        (void) close_fd(c->finished_fd);
        (void) pthread_mutex_destroy(&c->mutex);
        free(c);
}

static void coordinator_copy_options(Coordinator *c, const CoordinatorOptions *o) {
        c->identity = (LockIdentity){
                .service = copy_text(o->identity.service),
                .host = copy_text(o->identity.host),
                .worker = copy_text(o->identity.worker),
                .instance = copy_text(o->identity.instance),
        };
        c->n_tasks = o->n_tasks;
        c->tasks = coordinator_allocate(o->n_tasks, sizeof(*c->tasks));
        c->slots = coordinator_allocate(o->n_tasks, sizeof(*c->slots));
        for (size_t i = 0; i < o->n_tasks; i++) {
                c->tasks[i] = o->tasks[i];
                c->tasks[i].task = copy_text(o->tasks[i].task);
        }
        c->n_dead = o->n_dead;
        c->dead = coordinator_allocate(o->n_dead, sizeof(*c->dead));
        for (size_t i = 0; i < o->n_dead; i++)
                c->dead[i] = copy_text(o->dead_instances[i]);
        c->reconnect_error_threshold = o->reconnect_error_threshold;
        c->metrics = o->metrics;
        c->reconnect_delay_usec = o->reconnect_delay_usec > MIN_DELAY_USEC ? o->reconnect_delay_usec : MIN_DELAY_USEC;
}

static int coordinator_start(Coordinator *c) {
        sigset_t all, old;
        int r;

        (void) sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &old);
        if (r != 0)
                return -r;
        r = pthread_create(&c->thread, NULL, coordinator_thread, c);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r != 0)
                return -r;
        c->started = true;
        return 0;
}

int coordinator_new(const CoordinatorOptions *options, Coordinator **ret) {
        Coordinator *c = coordinator_allocate(1, sizeof(*c));
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        c->commands_tail = &c->commands;
        c->events_tail = &c->events;
        (void) pthread_mutex_init(&c->mutex, NULL);
        coordinator_copy_options(c, options);
        c->command_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        c->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r = c->command_fd < 0 || c->event_fd < 0 || c->finished_fd < 0 ? -EMFILE : cancel_token_new(&c->io);
        if (r >= 0) {
                r = redis_conn_new(options->redis_url, "roundtable-coordinator",
                                   options->command_timeout_usec ?: COMMAND_TIMEOUT_USEC, NULL, NULL, &c->redis, &e);
                if (r < 0)
                        log_error_object(LOG_LEVEL_ERROR, NULL, "coordinator", &e, NULL, 0, "no coordinator");
        }
        if (r >= 0)
                r = coordinator_start(c);
        if (r < 0) {
                coordinator_release(c);
                return r;
        }
        *ret = c;
        return 0;
}

Coordinator *coordinator_free(Coordinator *c, uint64_t timeout_usec) {
        struct pollfd finished;

        if (!c)
                return NULL;
        if (c->started) {
                (void) pthread_mutex_lock(&c->mutex);
                c->stop_usec = clock_monotonic_usec() + timeout_usec;
                (void) pthread_mutex_unlock(&c->mutex);
                (void) eventfd_write(c->command_fd, 1);
                /* An exchange that began before stop_usec was set may last longer than it allows: end it then. Those
                 * that begin later are bounded by stop_usec themselves. */
                finished = (struct pollfd){ .fd = c->finished_fd, .events = POLLIN };
                for (;;) {
                        const uint64_t now = clock_monotonic_usec();
                        const uint64_t left = c->stop_usec > now ? c->stop_usec - now : 0;
                        const int n = poll(&finished, 1, (int) ((left + 999) / USEC_PER_MSEC));

                        if (n > 0)
                                break;
                        if (left == 0 || (n < 0 && errno != EINTR)) {
                                cancel_token_cancel(c->io, CANCEL_DRAIN);
                                break;
                        }
                }
                (void) pthread_join(c->thread, NULL);
        }
        coordinator_release(c);
        return NULL;
}

int coordinator_fd(Coordinator *c) {
        return c->event_fd;
}

bool coordinator_next(Coordinator *c, CoordinatorEvent *ret) {
        eventfd_t unused;
        EventNode *node;

        (void) pthread_mutex_lock(&c->mutex);
        node = c->events;
        if (node) {
                c->events = node->next;
                if (!c->events)
                        c->events_tail = &c->events;
        }
        if (!c->events)
                (void) eventfd_read(c->event_fd, &unused);
        (void) pthread_mutex_unlock(&c->mutex);
        if (!node)
                return false;
        *ret = node->event;
        free(node);
        return true;
}

void coordinator_take(Coordinator *c, size_t task, const char *run_id, unsigned flags, CancelToken *token) {
        Command *command = command_new(COMMAND_TAKE, task);

        (void) snprintf(command->run_id, sizeof(command->run_id), "%s", run_id);
        command->flags = flags;
        (void) pthread_mutex_lock(&c->mutex);
        c->slots[task].token = token;
        (void) pthread_mutex_unlock(&c->mutex);
        command_post(c, command);
}

void coordinator_abandon(Coordinator *c, size_t task) {
        command_post(c, command_new(COMMAND_ABANDON, task));
}

void coordinator_end(Coordinator *c, size_t task, const char *result) {
        Command *command = command_new(COMMAND_END, task);

        (void) snprintf(command->result, sizeof(command->result), "%s", result);
        /* From now on the token is the caller's again, however late the thread sees the command. */
        (void) pthread_mutex_lock(&c->mutex);
        c->slots[task].active = false;
        c->slots[task].token = NULL;
        (void) pthread_mutex_unlock(&c->mutex);
        command_post(c, command);
}

bool coordinator_may_commit(Coordinator *c, size_t task) {
        const Slot *s = &c->slots[task];
        bool may;

        (void) pthread_mutex_lock(&c->mutex);
        may = s->active && !s->cancelled && clock_monotonic_usec() < s->commit_until_usec;
        (void) pthread_mutex_unlock(&c->mutex);
        return may;
}

static uint64_t post_request(Coordinator *c, CommandType type, const size_t *tasks, size_t n, const char *who,
                             const char *reason, uint64_t until_usec) {
        Command *command = command_new(type, 0);
        const uint64_t serial = ++c->serial;

        command->tasks = coordinator_allocate(n, sizeof(*tasks));
        if (n > 0)
                (void) memcpy(command->tasks, tasks, n * sizeof(*tasks));
        command->n_tasks = n;
        command->who = copy_text(who);
        command->reason = copy_text(reason);
        command->until_usec = until_usec;
        command->serial = serial;
        command_post(c, command);
        return serial;
}

uint64_t coordinator_pause(Coordinator *c, const size_t *tasks, size_t n, const char *who, const char *reason,
                           uint64_t until_usec) {
        return post_request(c, COMMAND_PAUSE, tasks, n, who, reason, until_usec);
}

uint64_t coordinator_resume(Coordinator *c, const size_t *tasks, size_t n, const char *who) {
        return post_request(c, COMMAND_RESUME, tasks, n, who, NULL, 0);
}

uint64_t coordinator_fleet(Coordinator *c) {
        return post_request(c, COMMAND_FLEET, NULL, 0, NULL, NULL, 0);
}
