/* See handover.h. */

#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "build_paths.h"
#include "common/clock.h"
#include "supervisor/start_delay.h"
#include "workers/handover.h"
#include "workers/worker_protocol.h"

#define HANDOVER_MAX_BYTES (16 * 1024 * 1024)

static void strings_free(char **strings) {
        for (char **p = strings; p && *p; p++)
                free(*p);
        free(strings);
}

/* A NULL-terminated copy of an array of strings. */
static int strings_from_json(const json_t *list, char ***ret) {
        size_t n = json_array_size(list);
        char **strings = calloc(n + 1, sizeof *strings);

        if (!strings)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *text = json_string_value(json_array_get(list, i));

                strings[i] = text ? strdup(text) : NULL;
                if (!strings[i]) {
                        strings_free(strings);
                        return text ? -ENOMEM : -EBADMSG;
                }
        }
        *ret = strings;
        return 0;
}

void worker_start_done(WorkerStart *s) {
        s->settings = settings_free(s->settings);
        free(s->instance);
        free(s->host);
        free(s->runtime_dir);
        strings_free(s->dead_instances);
        for (size_t i = 0; i < s->n_tasks; i++)
                free(s->tasks[i].quarantine_reason);
        free(s->tasks);
        *s = (WorkerStart){ 0 };
}

static int allocate_tasks(WorkerStart *s) {
        size_t n = 0;

        while (s->manifest->tasks[n].name)
                n++;
        s->tasks = calloc(n + 1, sizeof *s->tasks);
        if (!s->tasks)
                return -ENOMEM;
        s->n_tasks = n;
        return 0;
}

static int send_hello(const WorkerOptions *options, const WorkerHello *hello, Error *reterr) {
        _cleanup_free_ char *text = str_printf(
                "{\"protocol\":%d,\"family\":\"%s\",\"pid\":%d,\"version\":\"%s\",\"landlock\":%d,\"seccomp\":%s}",
                WORKER_PROTOCOL, options->manifest->name, (int) getpid(), ROUNDTABLE_VERSION, hello->landlock,
                hello->seccomp ? "true" : "false");

        if (!text)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (send(WORKER_HANDOVER_FD, text, strlen(text), MSG_NOSIGNAL) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot say hello to the supervisor: %m");
        return 0;
}

static int wait_for_packet(uint64_t timeout_usec, Error *reterr) {
        struct pollfd p = { .fd = WORKER_HANDOVER_FD, .events = POLLIN };
        uint64_t end = clock_monotonic_usec() + timeout_usec;
        int r;

        do {
                uint64_t now = clock_monotonic_usec();

                r = poll(&p, 1, now < end ? (int) ((end - now) / USEC_PER_MSEC) + 1 : 0);
        } while (r < 0 && errno == EINTR);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot wait for the supervisor's hand-over: %m");
        if (r == 0)
                return error_set(reterr, ERROR_RETRY, -ETIMEDOUT, "the supervisor handed nothing over in time");
        return 0;
}

void worker_confinement_done(WorkerConfinement *c) {
        free(c->sandbox);
        strings_free(c->read_paths);
        strings_free(c->write_paths);
        *c = (WorkerConfinement){ 0 };
}

static int confinement_from_json(const json_t *packet, WorkerConfinement *c) {
        const char *sandbox = json_string_value(json_object_get(packet, "sandbox"));
        json_int_t open_files = json_integer_value(json_object_get(packet, "open_files"));
        int r;

        if (json_integer_value(json_object_get(packet, "protocol")) != WORKER_PROTOCOL)
                return -EPROTO;
        if (open_files <= 0 || (!str_eq(sandbox, "auto") && !str_eq(sandbox, "required") && !str_eq(sandbox, "off")))
                return -EBADMSG;
        c->open_files = open_files;
        c->sandbox = strdup(sandbox);
        r = c->sandbox ? strings_from_json(json_object_get(packet, "read_paths"), &c->read_paths) : -ENOMEM;
        return r < 0 ? r : strings_from_json(json_object_get(packet, "write_paths"), &c->write_paths);
}

int worker_confinement_receive(WorkerConfinement *ret, Error *reterr) {
        _cleanup_(worker_confinement_done) WorkerConfinement c = { 0 };
        _cleanup_free_ char *text = NULL;
        json_t *packet;
        ssize_t n;
        int r;

        r = wait_for_packet(WORKER_HELLO_TIMEOUT_USEC, reterr);
        if (r < 0)
                return r;
        n = recv(WORKER_HANDOVER_FD, NULL, 0, MSG_PEEK | MSG_TRUNC);
        text = n > 0 ? malloc((size_t) n) : NULL;
        n = text ? recv(WORKER_HANDOVER_FD, text, (size_t) n, 0) : n;
        if (n <= 0 || !text)
                return error_set(reterr, ERROR_RETRY, n < 0 ? -errno : -EBADMSG,
                                 "the supervisor said nothing of a sandbox (another version?)");
        packet = json_loadb(text, (size_t) n, 0, NULL);
        r = confinement_from_json(packet, &c);
        json_decref(packet);
        if (r < 0)
                return error_set(reterr, ERROR_NEVER, r,
                                 "the supervisor's packet about the sandbox is not of protocol %d (another version?)",
                                 WORKER_PROTOCOL);
        *ret = c;
        c = (WorkerConfinement){ 0 };
        return 0;
}

/* Waits for the packet with the memory file. */
static int receive_memfd(uint64_t timeout_usec, int *ret, Error *reterr) {
        union {
                char buffer[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        char packet[256];
        struct iovec iov = { .iov_base = packet, .iov_len = sizeof packet };
        struct msghdr h = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
        };
        struct cmsghdr *c;
        ssize_t n;
        int r;

        r = wait_for_packet(timeout_usec, reterr);
        if (r < 0)
                return r;
        n = recvmsg(WORKER_HANDOVER_FD, &h, MSG_CMSG_CLOEXEC);
        if (n < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "cannot receive the supervisor's hand-over: %m");
        c = CMSG_FIRSTHDR(&h);
        if (n == 0 || !c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
            c->cmsg_len != CMSG_LEN(sizeof(int)))
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "the supervisor's hand-over has no memory file");
        memcpy(ret, CMSG_DATA(c), sizeof *ret);
        return 0;
}

/* Secrets pass through the buffer: it is wiped, unlike what jansson or stdio would leave behind. */
static int read_document(int fd, json_t **ret, Error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t done = 0;
        json_error_t e;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot read the hand-over: %m");
        if (st.st_size <= 0 || st.st_size > HANDOVER_MAX_BYTES)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "the hand-over has %lld bytes", (long long) st.st_size);
        text = malloc((size_t) st.st_size);
        if (!text)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        while (done < (size_t) st.st_size) {
                ssize_t n = pread(fd, text + done, (size_t) st.st_size - done, (off_t) done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return error_set(reterr, ERROR_NEVER, n < 0 ? -errno : -EIO, "cannot read the hand-over");
                done += (size_t) n;
        }
        *ret = json_loadb(text, done, 0, &e);
        explicit_bzero(text, done);
        if (!*ret)
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "the hand-over is not JSON: %s", e.text);
        return 0;
}

static int dead_from_json(const json_t *list, WorkerStart *s) {
        int r = strings_from_json(list, &s->dead_instances);

        s->n_dead = r < 0 ? 0 : json_array_size(list);
        return r;
}

static int tasks_from_json(const json_t *document, WorkerStart *s) {
        const json_t *delays = json_object_get(document, "start_delay_usec");
        const json_t *quarantined = json_object_get(document, "quarantined");

        for (size_t i = 0; i < s->n_tasks; i++) {
                const char *name = s->manifest->tasks[i].name;
                const json_t *q = json_object_get(quarantined, name);
                json_int_t delay = json_integer_value(json_object_get(delays, name));
                json_int_t until = json_integer_value(json_object_get(q, "until_usec"));
                const char *reason = json_string_value(json_object_get(q, "reason"));

                if (delay < 0 || until < 0)
                        return -EBADMSG;
                s->tasks[i].start_delay_usec = (uint64_t) delay;
                s->tasks[i].quarantined_until_usec = (uint64_t) until;
                if (until > 0 && !(s->tasks[i].quarantine_reason = strdup(reason ?: "")))
                        return -ENOMEM;
        }
        return 0;
}

static int take_string(const json_t *document, const char *key, char **ret, Error *reterr) {
        const char *value = json_string_value(json_object_get(document, key));

        if (str_empty(value))
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "the hand-over has no %s", key);
        *ret = strdup(value);
        return *ret ? 0 : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
}

static LogTarget target_from_string(const char *name) {
        if (str_eq(name, "journal"))
                return LOG_TARGET_JOURNAL;
        if (str_eq(name, "json"))
                return LOG_TARGET_JSON;
        return str_eq(name, "console") ? LOG_TARGET_CONSOLE : LOG_TARGET_AUTO;
}

int worker_start_from_json(const FamilyManifest *manifest, const json_t *document, WorkerStart *ret, Error *reterr) {
        _cleanup_(worker_start_done) WorkerStart s = { .manifest = manifest, .supervised = true };
        json_int_t protocol = json_integer_value(json_object_get(document, "protocol"));
        int r;

        if (protocol != WORKER_PROTOCOL)
                return error_set(reterr, ERROR_NEVER, -EPROTO, "the supervisor speaks protocol %lld, this worker %d",
                                 (long long) protocol, WORKER_PROTOCOL);
        r = settings_from_worker_json(json_object_get(document, "settings"), manifest, &s.settings, reterr);
        if (r >= 0)
                r = take_string(document, "instance", &s.instance, reterr);
        if (r >= 0)
                r = take_string(document, "host", &s.host, reterr);
        if (r >= 0)
                r = take_string(document, "runtime_dir", &s.runtime_dir, reterr);
        if (r < 0)
                return r;
        r = allocate_tasks(&s);
        if (r >= 0)
                r = dead_from_json(json_object_get(document, "dead_instances"), &s);
        if (r >= 0)
                r = tasks_from_json(document, &s);
        if (r < 0)
                return error_set(reterr, ERROR_NEVER, r, "the hand-over is not valid: %s", strerror(-r));
        s.serial = json_is_true(json_object_get(document, "serial"));
        s.log_target = target_from_string(json_string_value(json_object_get(document, "log_target")));
        *ret = s;
        s = (WorkerStart){ 0 };
        return 0;
}

int worker_start_from_supervisor(const WorkerOptions *options, const WorkerHello *hello, WorkerStart *ret,
                                 Error *reterr) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_close_ _unused_ int socket_fd = WORKER_HANDOVER_FD; /* closed in the end */
        json_t *document = NULL;
        int r;

        r = send_hello(options, hello, reterr);
        if (r >= 0)
                r = receive_memfd(WORKER_HELLO_TIMEOUT_USEC, &fd, reterr);
        if (r >= 0)
                r = read_document(fd, &document, reterr);
        if (r >= 0)
                r = worker_start_from_json(options->manifest, document, ret, reterr);
        json_decref(document);
        return r;
}

static void draw_start_delays(WorkerStart *s) {
        bool enabled = settings_bool(s->settings, "start_delay.enabled");
        uint64_t max = settings_duration_usec(s->settings, "start_delay.max");
        double fraction = settings_number(s->settings, "start_delay.fraction");

        for (size_t i = 0; i < s->n_tasks; i++) {
                uint64_t interval = settings_task_duration_usec(s->settings, s->manifest->name,
                                                                s->manifest->tasks[i].name, "interval");

                s->tasks[i].start_delay_usec =
                        start_delay_draw_usec(enabled, max, fraction, interval, random_fraction());
        }
}

static int load_settings(const WorkerOptions *options, Settings **ret) {
        const FamilyManifest *const manifests[] = { options->manifest, NULL };
        SettingsSource source = settings_process_source(options->conf_dir, options->env_dir);

        return settings_process_load(&source, manifests, true, ret);
}

int worker_start_from_files(const WorkerOptions *options, WorkerStart *ret) {
        _cleanup_(worker_start_done) WorkerStart s = { .manifest = options->manifest, .log_target = LOG_TARGET_AUTO };
        char host[256] = "", instance[UUID_TEXT_SIZE];
        int r;

        r = load_settings(options, &s.settings);
        if (r < 0)
                return r == -EBADMSG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
        if (gethostname(host, sizeof host - 1) < 0)
                *host = '\0';
        s.host = strdup(*host ? host : "localhost");
        s.instance = strdup(random_uuid(instance));
        s.runtime_dir = strdup(settings_string(s.settings, "supervisor.runtime_dir"));
        s.dead_instances = calloc(1, sizeof *s.dead_instances);
        if (!s.host || !s.instance || !s.runtime_dir || !s.dead_instances || allocate_tasks(&s) < 0) {
                (void) fputs("roundtable-worker: out of memory\n", stderr);
                return EXIT_CODE_FAILED;
        }
        draw_start_delays(&s);
        *ret = s;
        s = (WorkerStart){ 0 };
        return EXIT_CODE_OK;
}
