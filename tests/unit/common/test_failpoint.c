/* Failpoints kill where they are told to, once. */

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "common/failpoint.h"
#include "common/util.h"

static int run_points(void) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                failpoint_set_task("demo");
                for (int i = 0; i < 3; i++) {
                        FAILPOINT("redis", "set", "before");
                        FAILPOINT("redis", "set", "sent");
                }
                _exit(0);
        }
        cr_assert_gt(pid, 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        return status;
}

Test(failpoint, records_every_point_in_order) {
        char file[] = "/tmp/failpoint-XXXXXX", line[128];
        int fd = mkstemp(file), n = 0;
        FILE *f;

        cr_assert_geq(fd, 0);
        (void) setenv("ROUNDTABLE_FAILPOINT_RECORD", file, 1);
        cr_assert_eq(run_points(), 0);
        f = fdopen(fd, "r");
        while (fgets(line, sizeof(line), f)) {
                char expected[128];

                (void) snprintf(expected, sizeof(expected), "demo:redis.set:%s#%d\n", n % 2 ? "sent" : "before",
                                n / 2 + 1);
                cr_assert_str_eq(line, expected);
                n++;
        }
        cr_assert_eq(n, 6);
        (void) fclose(f);
        (void) unlink(file);
}

Test(failpoint, kills_at_the_named_point_only_once) {
        char once[] = "/tmp/failpoint-once-XXXXXX";
        int fd = mkstemp(once), status;

        (void) close(fd);
        (void) unlink(once);
        (void) setenv("ROUNDTABLE_FAILPOINT_KILL", "demo:redis.set:sent#2", 1);
        (void) setenv("ROUNDTABLE_FAILPOINT_ONCE", once, 1);
        status = run_points();
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        cr_assert_eq(run_points(), 0);
        (void) unlink(once);
}
