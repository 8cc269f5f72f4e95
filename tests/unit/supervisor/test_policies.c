/* Back-off, start delay, notify messages, instances. */

#include <criterion/criterion.h>
#include <stdio.h>

#include "supervisor/backoff.h"
#include "supervisor/instances.h"
#include "supervisor/notify_message.h"
#include "supervisor/start_delay.h"

Test(backoff, starts_at_once_then_doubles_to_a_bound) {
        cr_assert_eq(backoff_delay_usec(0, 0.9), 0);
        cr_assert_eq(backoff_delay_usec(1, 0), 100 * USEC_PER_MSEC);
        cr_assert_eq(backoff_delay_usec(2, 0), 200 * USEC_PER_MSEC);
        cr_assert_eq(backoff_delay_usec(5, 0), 1600 * USEC_PER_MSEC);
        cr_assert_eq(backoff_delay_usec(2, 0.5), 225 * USEC_PER_MSEC);
        cr_assert_eq(backoff_delay_usec(30, 0.99), 30 * USEC_PER_SEC);
        cr_assert_eq(backoff_delay_usec(4000000000U, 0.99), 30 * USEC_PER_SEC);
}

Test(start_delay, follows_the_originals_examples) {
        cr_assert_eq(start_delay_draw_usec(true, 180 * USEC_PER_SEC, 0.1, 3600 * USEC_PER_SEC, 0.25),
                     90 * USEC_PER_SEC);
        cr_assert_eq(start_delay_draw_usec(true, 180 * USEC_PER_SEC, 0.1, 15 * USEC_PER_SEC, 0.999),
                     179820 * USEC_PER_MSEC);
        cr_assert_eq(start_delay_draw_usec(false, 180 * USEC_PER_SEC, 0.1, 15 * USEC_PER_SEC, 0.999), 0);
        cr_assert_eq(start_delay_draw_usec(true, 0, 0, 15 * USEC_PER_SEC, 0.999), 0);
}

Test(start_delay, reads_what_is_left) {
        uint64_t usec;
        size_t length;

        cr_assert(start_delay_parse_due("market_updater=1500", &length, &usec));
        cr_assert_eq(length, strlen("market_updater"));
        cr_assert_eq(usec, 1500);
        cr_assert_not(start_delay_parse_due("market_updater", &length, &usec));
        cr_assert_not(start_delay_parse_due("=1", &length, &usec));
        cr_assert_not(start_delay_parse_due("a=-1", &length, &usec));
        cr_assert_not(start_delay_parse_due("a=99999999999999999999", &length, &usec));
        cr_assert_not(start_delay_parse_due("a=1x", &length, &usec));
}

Test(notify_message, takes_fields_and_drops_the_rest) {
        char data[] =
                "READY=1\nSTATUS=fine\nX_ROUNDTABLE_RUNNING=\nNONSENSE\nWATCHDOG=1\nX_ROUNDTABLE_HEALTH=bad\033[31m";
        NotifyMessage m;

        notify_message_parse(data, strlen(data), &m);
        cr_assert(m.ready);
        cr_assert(m.watchdog);
        cr_assert_not(m.stopping);
        cr_assert_str_eq(m.status, "fine");
        cr_assert_str_eq(m.running, "");
        cr_assert_null(m.health);
}

static char directory[64];

static void make_directory(void) {
        snprintf(directory, sizeof directory, "/tmp/rt-instances-XXXXXX");
        cr_assert_not_null(mkdtemp(directory));
}

static void remove_directory(void) {
        static const char *const names[] = { "instances.json", "instances.json.bad" };
        char path[128];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                snprintf(path, sizeof path, "%s/%s", directory, names[i]);
                unlink(path);
        }
        cr_assert_eq(rmdir(directory), 0);
}

TestSuite(instances, .init = make_directory, .fini = remove_directory);

Test(instances, dead_ones_survive_a_restart_of_the_supervisor) {
        char first[INSTANCE_TEXT_SIZE], second[INSTANCE_TEXT_SIZE];
        _cleanup_error_ Error e = ERROR_INIT;
        Instances i;
        json_t *dead;

        cr_assert_eq(instances_open(directory, &i, &e), 0);
        cr_assert_eq(instances_next(&i, "market", first, &dead, &e), 0);
        cr_assert_eq(json_array_size(dead), 0);
        json_decref(dead);
        instances_done(&i);

        cr_assert_eq(instances_open(directory, &i, &e), 0);
        cr_assert_eq(instances_next(&i, "market", second, &dead, &e), 0);
        cr_assert_str_neq(first, second);
        cr_assert_eq(json_array_size(dead), 1);
        cr_assert_str_eq(json_string_value(json_array_get(dead, 0)), first);
        json_decref(dead);
        instances_done(&i);
}

Test(instances, list_is_bounded) {
        char id[INSTANCE_TEXT_SIZE];
        _cleanup_error_ Error e = ERROR_INIT;
        json_t *dead = NULL;
        Instances i;

        cr_assert_eq(instances_open(directory, &i, &e), 0);
        for (int k = 0; k < INSTANCES_MAX_DEAD + 10; k++) {
                json_decref(dead);
                cr_assert_eq(instances_next(&i, "market", id, &dead, &e), 0);
        }
        cr_assert_eq(json_array_size(dead), INSTANCES_MAX_DEAD);
        json_decref(dead);
        instances_done(&i);
}

Test(instances, damaged_file_is_set_aside) {
        char path[128];
        _cleanup_error_ Error e = ERROR_INIT;
        Instances i;
        FILE *f;

        snprintf(path, sizeof path, "%s/instances.json", directory);
        f = fopen(path, "we");
        fputs("{\"market\":{\"dead\":[7]}}", f);
        fclose(f);
        cr_assert_eq(instances_open(directory, &i, &e), -EBADMSG);
        cr_assert_eq(json_object_size(i.families), 0);
        instances_done(&i);
        snprintf(path, sizeof path, "%s/instances.json.bad", directory);
        cr_assert_eq(access(path, F_OK), 0);
}
