/* The private servers: PostgreSQL and Redis on unix sockets, so that nothing can collide, the Kafka mock on a port that
 * the kernel chooses. Data written with these flags is not meant to be kept. */

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "supervisor/dev/dev_internal.h"

#define START_TRIES 3000 /* of 10 ms */

/* The newest version's, which Debian keeps out of PATH. */
static char *postgres_program(const char *name) {
        _cleanup_free_ char *pattern = str_printf("/usr/lib/postgresql/*/bin/%s", name);
        char *found = NULL;
        glob_t g;

        if (pattern && glob(pattern, 0, NULL, &g) == 0) {
                found = strdup(g.gl_pathv[g.gl_pathc - 1]);
                globfree(&g);
        }
        return found ? found : strdup(name);
}

/* The postmaster writes its state into line 8 of its lock file; the pid tells a stale file from its own. */
static bool postgres_ready(const Dev *d) {
        _cleanup_free_ char *path = str_printf("%s/postgres/postmaster.pid", d->state);
        char line[256] = "";
        bool ready = false;
        FILE *f = path ? fopen(path, "re") : NULL;

        if (!f)
                return false;
        for (int i = 1; i <= 8 && fgets(line, sizeof(line), f); i++) {
                if (i == 1 && strtol(line, NULL, 10) != d->processes[DEV_POSTGRES].pid)
                        break;
                ready = i == 8 && strncmp(line, "ready", 5) == 0;
        }
        (void) fclose(f);
        return ready;
}

static bool redis_ready(const Dev *d) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        char reply[8] = "";
        struct pollfd p = { .fd = fd, .events = POLLIN };

        if (fd < 0 || (size_t) snprintf(address.sun_path, sizeof(address.sun_path), "%s/redis.sock", d->run) >=
                              sizeof(address.sun_path))
                return false;
        return connect(fd, (struct sockaddr *) &address, sizeof(address)) >= 0 &&
               send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && poll(&p, 1, 1000) > 0 &&
               recv(fd, reply, sizeof(reply) - 1, 0) >= 5 && strncmp(reply, "+PONG", 5) == 0;
}

static int wait_ready(Dev *d, const char *name, bool (*ready)(const Dev *d), Error *reterr) {
        for (int i = 0; i < START_TRIES; i++) {
                int r = dev_wait(d, 10, reterr);

                if (r < 0)
                        return r;
                if (ready(d))
                        return 0;
        }
        return error_set(reterr, ERROR_RETRY, -ETIMEDOUT, "%s does not answer", name);
}

/* A half-made cluster (killed during initdb) has no PG_VERSION at its new name: it is made beside and renamed. */
static int make_cluster(Dev *d, Error *reterr) {
        _cleanup_free_ char *initdb = postgres_program("initdb"), *data = str_printf("%s/postgres", d->state),
                            *fresh = str_printf("%s/postgres.new", d->state);
        int r;

        if (!initdb || !data || !fresh)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (access(data, F_OK) >= 0)
                return 0;
        r = dev_run(d, "rm", (const char *const[]){ "rm", "-rf", fresh, NULL }, reterr);
        if (r < 0)
                return r;
        printf("dev: making a PostgreSQL cluster\n");
        r = dev_run(d, "initdb",
                    (const char *const[]){ initdb, "-D", fresh, "-U", d->user, "-A", "trust", "-E", "UTF8",
                                           "--no-locale", "--no-sync", "--no-instructions", NULL },
                    reterr);
        if (r < 0) {
                error_set_hint(reterr, "see %s/initdb.log", d->state);
                return r;
        }
        if (rename(fresh, data) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", data, strerror(errno));
        return 0;
}

/* Backends outlive a postmaster that was killed for a moment, and hold its shared memory; so does the lock file's pid
 * when another process has it by now, which the server checks itself. */
static bool predecessor_lingers(const Dev *d) {
        _cleanup_free_ char *path = str_printf("%s/postgres.log", d->state);
        char line[512];
        bool found = false;
        FILE *f = path ? fopen(path, "re") : NULL;

        if (!f)
                return false;
        while (!found && fgets(line, sizeof(line), f))
                found = strstr(line, "shared memory block") || strstr(line, "lock file \"");
        (void) fclose(f);
        return found;
}

static int start_postgres(Dev *d, Error *reterr) {
        _cleanup_free_ char *program = postgres_program("postgres"), *data = str_printf("%s/postgres", d->state);
        int r;

        if (!program || !data)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        for (int tries = 0;; tries++) {
                r = dev_spawn(d, &d->processes[DEV_POSTGRES],
                              (const char *const[]){ program,
                                                     "-D",
                                                     data,
                                                     "-k",
                                                     d->run,
                                                     "-p",
                                                     "5432",
                                                     "-c",
                                                     "listen_addresses=",
                                                     "-c",
                                                     "fsync=off",
                                                     "-c",
                                                     "synchronous_commit=off",
                                                     "-c",
                                                     "full_page_writes=off",
                                                     "-c",
                                                     "wal_level=minimal",
                                                     "-c",
                                                     "max_wal_senders=0",
                                                     "-c",
                                                     "shared_buffers=64MB",
                                                     NULL },
                              -1, reterr);
                if (r >= 0)
                        r = wait_ready(d, "PostgreSQL", postgres_ready, reterr);
                if (r != -ECHILD || tries == 50 || !predecessor_lingers(d))
                        return r;
                r = dev_wait(d, 100, reterr);
                if (r < 0)
                        return r;
        }
}

static int start_redis(Dev *d, Error *reterr) {
        _cleanup_free_ char *socket_path = str_printf("%s/redis.sock", d->run);
        int r;

        if (!socket_path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = dev_spawn(d, &d->processes[DEV_REDIS],
                      (const char *const[]){ "redis-server", "--port", "0", "--unixsocket", socket_path,
                                             "--unixsocketperm", "700", "--dir", d->state, "--save", "3600 1",
                                             "--appendonly", "no", "--daemonize", "no", NULL },
                      -1, reterr);
        return r < 0 ? r : wait_ready(d, "Redis", redis_ready, reterr);
}

/* It says where it listens in its first line. */
static int read_bootstrap(Dev *d, int fd, Error *reterr) {
        char line[160] = "";
        size_t n = 0;

        for (int i = 0; i < START_TRIES; i++) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                int r = dev_wait(d, 0, reterr);
                ssize_t k;

                if (r < 0)
                        return r;
                if (poll(&p, 1, 10) <= 0)
                        continue;
                k = read(fd, line + n, sizeof(line) - 1 - n);
                if (k <= 0)
                        break;
                n += (size_t) k;
                if (memchr(line, '\n', n))
                        return sscanf(line, "bootstrap %127s", d->bootstrap) == 1
                                       ? 0
                                       : error_set(reterr, ERROR_NEVER, -EBADMSG, "the Kafka mock said: %s", line);
        }
        return error_set(reterr, ERROR_RETRY, -ETIMEDOUT, "the Kafka mock does not say where it listens");
}

static int start_kafka(Dev *d, Error *reterr) {
        _cleanup_free_ char *program = dev_program("roundtable-kafka-mock");
        _cleanup_close_ int out = -EBADF, in = -EBADF;
        int fds[2], r;

        if (!program)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (pipe2(fds, O_CLOEXEC) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "pipe: %s", strerror(errno));
        in = fds[0];
        out = fds[1];
        r = dev_spawn(d, &d->processes[DEV_KAFKA], (const char *const[]){ program, NULL }, out, reterr);
        if (r < 0)
                return r;
        out = close_fd(out);
        return read_bootstrap(d, in, reterr);
}

int dev_start_servers(Dev *d, Error *reterr) {
        int r = make_cluster(d, reterr);

        if (r >= 0)
                r = start_postgres(d, reterr);
        if (r >= 0)
                r = start_redis(d, reterr);
        return r < 0 ? r : start_kafka(d, reterr);
}
