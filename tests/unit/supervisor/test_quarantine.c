/* Who is to blame for a worker's deaths. */

#include <criterion/criterion.h>
#include <signal.h>

#include "supervisor/quarantine.h"

#define COOLDOWN (900 * USEC_PER_SEC)

Test(quarantine, counts_faults_and_watchdog_but_nothing_from_outside) {
        static const int faults[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGABRT };

        for (size_t i = 0; i < ELEMENTSOF(faults); i++)
                cr_assert(quarantine_counts(faults[i], false, false));
        cr_assert_not(quarantine_counts(SIGKILL, false, false));
        cr_assert_not(quarantine_counts(SIGTERM, false, false));
        cr_assert_not(quarantine_counts(0, false, false));
        cr_assert(quarantine_counts(SIGKILL, true, false));
        cr_assert(quarantine_counts(SIGKILL, false, true));
}

Test(quarantine, of_two_running_tasks_only_the_faulty_one_is_held) {
        Quarantine q = { 0 };

        cr_assert_null(quarantine_death(&q, "faulty,innocent", NULL, "x", COOLDOWN, 1000));
        cr_assert_not(q.serial);
        cr_assert_null(quarantine_death(&q, "faulty,innocent", NULL, "x", COOLDOWN, 2000));
        cr_assert(q.serial);
        cr_assert_str_eq(quarantine_death(&q, "faulty", NULL, "x", COOLDOWN, 3000), "faulty");
        cr_assert_not(q.serial);
        for (size_t i = 0; i < q.n_tasks; i++)
                cr_assert_eq(q.tasks[i].until_usec > 0, str_eq(q.tasks[i].name, "faulty"));
        quarantine_done(&q);
}

Test(quarantine, third_death_with_two_running_names_nobody) {
        Quarantine q = { 0 };

        for (int i = 0; i < 3; i++)
                cr_assert_null(quarantine_death(&q, "a,b", NULL, "x", COOLDOWN, 1000));
        cr_assert(q.serial);
        quarantine_done(&q);
}

Test(quarantine, watchdogs_culprit_is_charged_alone) {
        Quarantine q = { 0 };

        for (int i = 0; i < 2; i++)
                cr_assert_null(quarantine_death(&q, "a,b", "b", "x", COOLDOWN, 1000));
        cr_assert_str_eq(quarantine_death(&q, "a,b", "b", "x", COOLDOWN, 1000), "b");
        quarantine_done(&q);
}

Test(quarantine, different_tasks_do_not_add_up) {
        Quarantine q = { 0 };

        cr_assert_null(quarantine_death(&q, "a", NULL, "x", COOLDOWN, 1000));
        cr_assert_null(quarantine_death(&q, "b", NULL, "x", COOLDOWN, 1000));
        cr_assert_null(quarantine_death(&q, "c", NULL, "x", COOLDOWN, 1000));
        cr_assert_not(q.serial);
        cr_assert_null(quarantine_death(&q, NULL, NULL, "x", COOLDOWN, 1000));
        quarantine_done(&q);
}

Test(quarantine, old_deaths_and_holds_are_forgotten) {
        Quarantine q = { 0 };

        quarantine_death(&q, "a", NULL, "x", COOLDOWN, 1000);
        quarantine_death(&q, "a", NULL, "x", COOLDOWN, 1000);
        cr_assert_null(quarantine_death(&q, "a", NULL, "x", COOLDOWN, 1000 + COOLDOWN));
        quarantine_death(&q, "a", NULL, "x", COOLDOWN, 1000 + COOLDOWN);
        cr_assert_not_null(quarantine_death(&q, "a", NULL, "x", COOLDOWN, 1000 + COOLDOWN));
        quarantine_expire(&q, COOLDOWN, 999 + 2 * COOLDOWN);
        cr_assert_gt(q.tasks[0].until_usec, 0);
        quarantine_expire(&q, COOLDOWN, 1000 + 2 * COOLDOWN);
        cr_assert_eq(q.tasks[0].until_usec, 0);
        quarantine_done(&q);
}
