/* Runs the registered tests one after the other, each in a child; see criterion/criterion.h beside this file. */

#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <criterion/criterion.h>

#define MAX_TESTS 256
#define EXIT_SKIPPED 77

static struct {
        const char *suite, *name;
        PlainFunction function;
        PlainOptions options;
} tests[MAX_TESTS], suites[MAX_TESTS];
static size_t n_tests, n_suites;

void plain_register(const char *suite, const char *name, PlainFunction function, PlainOptions options) {
        if (n_tests == MAX_TESTS)
                abort();
        tests[n_tests].suite = suite;
        tests[n_tests].name = name;
        tests[n_tests].function = function;
        tests[n_tests++].options = options;
}

void plain_register_suite(const char *suite, PlainOptions options) {
        if (n_suites == MAX_TESTS)
                abort();
        suites[n_suites].suite = suite;
        suites[n_suites++].options = options;
}

void plain_fail(const char *file, int line, const char *format, ...) {
        va_list ap;

        (void) fprintf(stderr, "%s:%d: ", file, line);
        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
        _exit(1);
}

void plain_skip(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        (void) vfprintf(stderr, format, ap);
        va_end(ap);
        (void) fputc('\n', stderr);
        _exit(EXIT_SKIPPED);
}

static void call(PlainFunction function) {
        if (function)
                function();
}

static void run_in_child(size_t i) {
        const PlainOptions *suite = NULL;

        for (size_t k = 0; k < n_suites; k++)
                if (strcmp(suites[k].suite, tests[i].suite) == 0)
                        suite = &suites[k].options;
        (void) alarm(120);
        if (suite)
                call(suite->init);
        call(tests[i].options.init);
        tests[i].function();
        call(tests[i].options.fini);
        if (suite)
                call(suite->fini);
        exit(0);
}

int main(int argc, char **argv) {
        size_t failed = 0;
        FILE *tap = NULL;

        for (int i = 1; i + 1 < argc; i++)
                if (strcmp(argv[i], "-O") == 0 && strncmp(argv[i + 1], "tap:", 4) == 0)
                        tap = fopen(argv[i + 1] + 4, "we");
        for (size_t i = 0; i < n_tests; i++) {
                const PlainOptions *o = &tests[i].options;
                bool good, skipped;
                int status;
                pid_t pid;

                (void) fflush(NULL); /* or the child's exit() would write it again */
                pid = fork();
                if (pid == 0)
                        run_in_child(i);
                if (pid < 0 || waitpid(pid, &status, 0) != pid)
                        abort();
                skipped = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED;
                good = o->signal ? WIFSIGNALED(status) && WTERMSIG(status) == o->signal
                                 : WIFEXITED(status) && WEXITSTATUS(status) == o->exit_code;
                failed += !good && !skipped;
                (void) printf("%s %s::%s\n", skipped ? "SKIP" : good ? "PASS" : "FAIL", tests[i].suite, tests[i].name);
                if (tap)
                        (void) fprintf(tap, "%s - %s::%s%s\n", good || skipped ? "ok" : "not ok", tests[i].suite,
                                       tests[i].name, skipped ? "  # SKIP see the output" : "");
        }
        if (tap)
                (void) fclose(tap);
        return failed ? 1 : 0;
}
