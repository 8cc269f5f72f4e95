/* A thread of its own reads the signals, because the task's thread is busy and a handler may call next to nothing. */

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "workers/run_signals.h"
#include "workers/worker_protocol.h"

struct RunSignals {
        CancelToken *stop, *target;
        pthread_t thread;
        bool running;
        int fd;
};

static void *signals_thread(void *userdata) {
        RunSignals *s = userdata;
        bool first = true;

        while (cancel_token_poll(s->stop, s->fd, POLLIN, USEC_INFINITY) > 0) {
                struct signalfd_siginfo info;

                if (read(s->fd, &info, sizeof(info)) != sizeof(info))
                        continue;
                if (!first) {
                        (void) fprintf(stderr, "ended without waiting; a lock that is still held runs out by itself\n");
                        _exit(EXIT_CODE_FAILED);
                }
                (void) fprintf(stderr, "cancelling the run; once more ends it at once\n");
                cancel_token_cancel(s->target, CANCEL_REQUEST);
                first = false;
        }
        return NULL;
}

int run_signals_new(CancelToken *token, RunSignals **ret) {
        _cleanup_(run_signals_freep) RunSignals *s = calloc(1, sizeof(*s));
        sigset_t set;
        int r;

        if (!s)
                return -ENOMEM;
        s->fd = -EBADF;
        s->target = token;
        r = cancel_token_new(&s->stop);
        if (r < 0)
                return r;
        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGHUP);
        r = pthread_sigmask(SIG_BLOCK, &set, NULL);
        if (r != 0)
                return -r;
        (void) signal(SIGPIPE, SIG_IGN);
        s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (s->fd < 0)
                return -errno;
        r = pthread_create(&s->thread, NULL, signals_thread, s);
        if (r != 0)
                return -r;
        s->running = true;
        *ret = TAKE_PTR(s);
        return 0;
}

RunSignals *run_signals_free(RunSignals *s) {
        if (!s)
                return NULL;
        if (s->running) {
                cancel_token_cancel(s->stop, CANCEL_REQUEST);
                (void) pthread_join(s->thread, NULL);
        }
        s->stop = cancel_token_free(s->stop);
        s->fd = close_fd(s->fd);
        free(s);
        return NULL;
}
