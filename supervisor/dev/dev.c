/* `roundtable dev`: servers, migrations, sample data, feed and supervisor in the foreground. */

#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/signalfd.h>

#include "common/clock.h"
#include "supervisor/dev/dev.h"
#include "supervisor/dev/dev_internal.h"

#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define EXIT_TRY_AGAIN 75
/* sun_path holds 108 bytes; PostgreSQL appends the longest name to it. */
#define MAX_STATE_LENGTH 75

static int usage(FILE *f, int status) {
        fprintf(f, "usage: roundtable dev [--state DIR] [--preset default|mainnet] [--scale N|small] [--keep] "
                   "[--no-sample]\n"
                   "  --state DIR   where servers keep their data (default /var/tmp/roundtable-dev-UID)\n"
                   "  --preset P    default: 50 markets, 1,000 subaccounts, 200,000 fills; mainnet: 250, 65,000, "
                   "2,000,000\n"
                   "  --scale N     times the preset's accounts and fills; both are used when the data is made\n"
                   "  --keep        keep the data of the last start even if it is old\n"
                   "  --no-sample   no sample data and no feed\n");
        return status;
}

/* 0, or an exit code + 1. */
static int parse_options(Dev *d, int argc, char **argv) {
        static const struct option options[] = {
                { "state", required_argument, NULL, 's' },
                { "scale", required_argument, NULL, 'n' },
                { "keep", no_argument, NULL, 'k' },
                { "no-sample", no_argument, NULL, 'o' },
                { "help", no_argument, NULL, 'h' },
                { "preset", required_argument, NULL, 'p' },
                { NULL, 0, NULL, 0 },
        };
        char absolute[PATH_MAX];
        int c;

        (void) snprintf(d->state, sizeof(d->state), "/var/tmp/roundtable-dev-%d", (int) dev_uid());
        optind = 1;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case 's':
                        (void) snprintf(d->state, sizeof(d->state), "%s", optarg);
                        break;
                case 'n':
                        d->scale = optarg;
                        break;
                case 'p':
                        d->preset = optarg;
                        break;
                case 'k':
                        d->keep = true;
                        break;
                case 'o':
                        d->sample = false;
                        break;
                case 'h':
                        return 1 + usage(stdout, 0);
                default:
                        return 1 + usage(stderr, EXIT_USAGE);
                }
        if (optind < argc)
                return 1 + usage(stderr, EXIT_USAGE);
        if (d->state[0] != '/') {
                char *cwd = getcwd(absolute, sizeof(absolute));
                _cleanup_free_ char *joined = cwd ? str_printf("%s/%s", cwd, d->state) : NULL;

                if (joined)
                        (void) snprintf(d->state, sizeof(d->state), "%s", joined);
        }
        if (strlen(d->state) > MAX_STATE_LENGTH) {
                fprintf(stderr,
                        "dev: %s: longer than %d bytes, which socket paths do not allow\nHINT: use a shorter --state\n",
                        d->state, MAX_STATE_LENGTH);
                return 1 + EXIT_USAGE;
        }
        return 0;
}

static int prepare(Dev *d, Error *reterr) {
        const struct passwd *user = getpwuid(getuid());
        const char *const directories[] = { d->state, d->run, d->conf };
        _cleanup_free_ char *workers = NULL, *supervisor = NULL;
        sigset_t mask;

        if (!user)
                return error_set(reterr, ERROR_NEVER, -ENOENT, "uid %d has no name, which initdb needs",
                                 (int) getuid());
        (void) snprintf(d->user, sizeof(d->user), "%s", user->pw_name);
        (void) snprintf(d->run, sizeof(d->run), "%.*s/run", MAX_STATE_LENGTH, d->state);
        (void) snprintf(d->conf, sizeof(d->conf), "%.*s/conf", MAX_STATE_LENGTH, d->state);
        workers = str_printf("%s/workers", d->conf);
        supervisor = str_printf("%s/supervisor", d->state);
        if (!workers || !supervisor)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                int r = dev_make_directory(directories[i], i == 0 ? 0755 : 0700, reterr);

                if (r < 0)
                        return r;
        }
        if (dev_make_directory(workers, 0700, reterr) < 0 || dev_make_directory(supervisor, 0700, reterr) < 0)
                return -EPERM;
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigaddset(&mask, SIGCHLD);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0 || (d->signals = signalfd(-1, &mask, SFD_CLOEXEC)) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "signalfd: %s", strerror(errno));
        return 0;
}

/* One `dev` per state directory. The kernel lets go of it when we die, so a kill -9 leaves nothing stale. */
static int take_lock(const Dev *d, Error *reterr) {
        _cleanup_free_ char *path = str_printf("%s/dev.lock", d->state);
        int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

        if (fd < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s/dev.lock: %s", d->state, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                int r = -errno;

                (void) close(fd);
                r = error_set(reterr, ERROR_RETRY, r, "another `roundtable dev` uses %s", d->state);
                error_set_hint(reterr, "stop it, or use another --state");
                return r;
        }
        return fd;
}

/* Sample data is 25 hours long and ends when it was made: old data would show empty statistics. */
static bool sample_is_fresh(const Dev *d) {
        _cleanup_free_ char *path = str_printf("%s/sampled", d->state);
        unsigned long long made = 0;
        FILE *f = path ? fopen(path, "re") : NULL;

        if (!f)
                return false;
        if (fscanf(f, "%llu", &made) != 1)
                made = 0;
        (void) fclose(f);
        return made > 0 && (d->keep || clock_realtime_usec() < made + 12 * 3600 * USEC_PER_SEC);
}

static int prepare_data(Dev *d, Error *reterr) {
        _cleanup_free_ char *admin = dev_program("roundtable-admin");
        char now[32];
        int r;

        if (!admin)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = dev_run(d, "roundtable-admin migrate", (const char *const[]){ admin, "migrate", "--conf", d->conf, NULL },
                    reterr);
        if (r < 0 || !d->sample || sample_is_fresh(d))
                return r;
        printf("dev: making sample data\n");
        (void) fflush(stdout);
        r = dev_run(d, "roundtable-admin sample",
                    (const char *const[]){ admin, "sample", "--conf", d->conf, "--preset", d->preset, "--scale",
                                           d->scale, "--replace", NULL },
                    reterr);
        if (r < 0)
                return r;
        (void) snprintf(now, sizeof(now), "%llu\n", (unsigned long long) clock_realtime_usec());
        return dev_write_file(d->state, "sampled", now, reterr);
}

static int start_service(Dev *d, Error *reterr) {
        _cleanup_free_ char *admin = dev_program("roundtable-admin"), *roundtable = dev_program("roundtable");
        int r = 0;

        if (!admin || !roundtable)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (d->sample)
                r = dev_spawn(d, &d->processes[DEV_FEED],
                              (const char *const[]){ admin, "feed", "--conf", d->conf, NULL }, -1, reterr);
        if (r >= 0)
                r = dev_spawn(d, &d->processes[DEV_SUPERVISOR],
                              (const char *const[]){ roundtable, "supervise", "--conf", d->conf, NULL }, -1, reterr);
        if (r >= 0)
                r = dev_start_watch(d, reterr);
        return r;
}

static int run(Dev *d, Error *reterr) {
        bool terminal = isatty(STDOUT_FILENO);
        size_t lines = 0;
        int r;

        r = dev_start_servers(d, reterr);
        if (r >= 0)
                r = dev_write_conf(d, reterr);
        if (r >= 0)
                r = prepare_data(d, reterr);
        if (r >= 0)
                r = start_service(d, reterr);
        if (r < 0)
                return r;
        dev_print_lines(d);
        for (uint64_t next = 0;;) {
                uint64_t now = clock_monotonic_usec();

                r = dev_wait(d, 250, reterr);
                if (r < 0)
                        return r;
                dev_read_watch(d);
                if (now < next)
                        continue;
                dev_print_status(d, terminal, &lines);
                next = now + (terminal ? 1 : 5) * USEC_PER_SEC;
        }
}

/* A developer's shell may hold the variables of a real deployment, which would win over the generated files. */
static int clear_environment(void) {
        static const char *const kept[] = { "PATH",         "LANG",          "TZ",          "TERM", "HOME", "USER",
                                            "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" };
        char *values[ELEMENTSOF(kept)] = { 0 };
        int r = 0;

        for (size_t i = 0; i < ELEMENTSOF(kept); i++)
                if (getenv(kept[i]))
                        values[i] = strdup(getenv(kept[i]));
        if (clearenv() != 0)
                r = -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(kept); i++) {
                if (r >= 0 && values[i] && setenv(kept[i], values[i], 1) < 0)
                        r = -errno;
                free(values[i]);
        }
        return r;
}

int verb_dev(int argc, char **argv) {
        static const DevProcess processes[DEV_PROCESSES] = {
                [DEV_POSTGRES] = { "postgres", 0, SIGINT, 20 },
                [DEV_REDIS] = { "redis", 0, SIGTERM, 10 },
                [DEV_KAFKA] = { "kafka", 0, SIGTERM, 5 },
                [DEV_FEED] = { "feed", 0, SIGTERM, 5 },
                [DEV_SUPERVISOR] = { "supervisor", 0, SIGTERM, 40 },
                [DEV_WATCH] = { "watch", 0, SIGTERM, 5 },
        };
        Dev d = { .preset = "default", .scale = "1", .sample = true, .signals = -EBADF, .watch_fd = -EBADF };
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_close_ int lock = -EBADF;
        int r;

        /* into a file or pipe too: what helpers print comes between */
        (void) setvbuf(stdout, NULL, _IOLBF, 0);
        memcpy(d.processes, processes, sizeof(processes));
        r = parse_options(&d, argc, argv);
        if (r > 0)
                return r - 1;
        if (geteuid() == 0)
                r = dev_leave_root(d.state, argc, argv, &e);
        else
                r = clear_environment() < 0 ? error_set(&e, ERROR_RETRY, -ENOMEM, "out of memory") : prepare(&d, &e);
        if (r >= 0)
                lock = take_lock(&d, &e);
        if (r >= 0 && lock < 0)
                r = lock == -EWOULDBLOCK ? -EBUSY : lock;
        if (r >= 0) {
                r = run(&d, &e);
                if (d.interrupted)
                        printf("\ndev: stopping\n");
                (void) fflush(stdout);
                dev_stop_all(&d);
        }
        d.signals = close_fd(d.signals);
        d.watch_fd = close_fd(d.watch_fd);
        buffer_done(&d.watch_text);
        if (r >= 0 || d.interrupted)
                return 0;
        fprintf(stderr, "dev: %s\n", error_text(&e));
        if (e.hint)
                fprintf(stderr, "HINT: %s\n", e.hint);
        return r == -EBUSY ? EXIT_TRY_AGAIN : EXIT_FAILED;
}
