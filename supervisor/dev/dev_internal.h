#pragma once

#include <limits.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/util.h"

typedef struct DevProcess {
        const char *name;
        pid_t pid; /* 0: not running */
        int stop_signal;
        unsigned stop_seconds;
} DevProcess;

enum {
        DEV_POSTGRES,
        DEV_REDIS,
        DEV_KAFKA,
        DEV_FEED,
        DEV_SUPERVISOR,
        DEV_WATCH,
        DEV_PROCESSES
}; /* started in this order */

#define DEV_WATCHED 6

typedef struct Dev {
        char state[PATH_MAX], run[PATH_MAX], conf[PATH_MAX];
        char user[64];
        const char *preset, *scale;
        bool keep, sample;
        int signals; /* signalfd: INT, TERM, HUP, CHLD */
        bool interrupted;
        char bootstrap[128];
        DevProcess processes[DEV_PROCESSES];
        int watch_fd; /* lines of DEV_WATCH */
        Buffer watch_text;
        char watched[DEV_WATCHED][240]; /* a ring of the last lines */
        size_t n_watched;
} Dev;

/* dev_process.c. Children get a process group of their own, so that Ctrl-C reaches only us, and die with us. */
int dev_spawn(Dev *d, DevProcess *p, const char *const *argv, int stdout_fd, Error *reterr);
/* Runs to the end with our own output. */
int dev_run(Dev *d, const char *name, const char *const *argv, Error *reterr);
/* Sleeps up to msec. -EINTR when asked to end; -ECHILD with a text when a process ended that should not have. */
int dev_wait(Dev *d, int msec, Error *reterr);
void dev_stop_all(Dev *d);
char *dev_program(const char *name); /* beside us, in the build tree, or installed. New string */

/* dev_servers.c */
int dev_start_servers(Dev *d, Error *reterr);
/* dev_conf.c */
int dev_write_conf(const Dev *d, Error *reterr);
int dev_write_file(const char *directory, const char *name, const char *text, Error *reterr);
/* dev_user.c. Whom everything runs as: as root not ourselves, but $SUDO_UID or else user postgres. */
uid_t dev_uid(void);
/* As root: installs the programs and executes them as another user; does not return then. */
int dev_leave_root(const char *state, int argc, char **argv, Error *reterr);
int dev_make_directory(const char *path, mode_t mode, Error *reterr);
/* dev_watch.c */
int dev_start_watch(Dev *d, Error *reterr);
/* Takes the lines that have come. */
void dev_read_watch(Dev *d);
void dev_format_watch(const Dev *d, Buffer *b, size_t *lines);
/* dev_status.c */
void dev_print_lines(const Dev *d);
void dev_print_status(const Dev *d, bool terminal, size_t *lines);
