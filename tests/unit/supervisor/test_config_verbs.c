/* config and list: exit codes, and the example files as shipped and with every line un-commented. */

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <ctype.h>
#include <stdio.h>
#include <sys/stat.h>

#include "supervisor/verbs.h"

static char dir[64];

static void up(void) {
        char workers[80];

        (void) snprintf(dir, sizeof(dir), "/tmp/config-verbs-XXXXXX");
        cr_assert(mkdtemp(dir) != NULL);
        (void) snprintf(workers, sizeof(workers), "%s/workers", dir);
        cr_assert(mkdir(workers, 0755) == 0);
        cr_redirect_stdout();
        cr_redirect_stderr();
}

static void down(void) {
        static const char *const names[] = { "roundtable.conf", "workers/market.conf", "workers/nosuch.conf", "workers",
                                             "" };
        char path[128];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                (void) snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
                (void) remove(path);
        }
}

TestSuite(config_verbs, .init = up, .fini = down);

static void put(const char *name, const char *text) {
        char path[128];
        FILE *f;

        (void) snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "w");
        cr_assert(f != NULL);
        cr_assert(fputs(text, f) >= 0);
        cr_assert(fclose(f) == 0);
}

static int config(const char *what) {
        char *argv[] = { (char *) "config", (char *) "--conf", dir, (char *) what, NULL };

        return verb_config(4, argv);
}

/* Writes what settings-doc says into a file; returns how many settings it un-commented. */
static unsigned example(const char *mode, const char *name, bool uncomment) {
        _cleanup_buffer_ Buffer b = { 0 };
        _cleanup_free_ char *command = str_printf("'%s' %s", SETTINGS_DOC, mode);
        unsigned n = 0;
        char line[1024];
        FILE *f = popen(command, "r");

        cr_assert(f != NULL);
        while (fgets(line, sizeof(line), f)) {
                char *p = line + strspn(line, " ");

                if (*p == '#' && islower((unsigned char) p[1])) {
                        n++;
                        if (uncomment)
                                *p = ' ';
                }
                cr_assert(buffer_append_string(&b, line) == 0);
        }
        cr_assert(pclose(f) == 0);
        put(name, b.data);
        return n;
}

Test(config_verbs, examples_are_accepted_and_complete) {
        for (int uncomment = 0; uncomment < 2; uncomment++) {
                cr_expect(example("conf", "roundtable.conf", uncomment) > 40);
                cr_expect(example("family market", "workers/market.conf", uncomment) >= 14);
                cr_expect(config("check") == 0, "un-commented: %d", uncomment);
        }
        cr_expect(config("show") == 0);
}

Test(config_verbs, bad_settings_exit_with_78) {
        put("roundtable.conf", "nosuch = 1;\n");
        cr_assert(config("check") == 78);
        cr_assert(config("show") == 78);
        put("roundtable.conf", "");
        cr_assert(config("check") == 0);
        put("workers/nosuch.conf", "");
        cr_assert(config("check") == 78);
}

Test(config_verbs, an_absent_file_that_was_asked_for_is_bad) {
        cr_assert(config("check") == 78);
}

Test(config_verbs, wrong_usage_exits_with_2) {
        char *odd[] = { (char *) "list", (char *) "extra", NULL };

        cr_assert(config("burn") == 2);
        cr_assert(verb_list(2, odd) == 2);
}

Test(config_verbs, list_knows_where_values_come_from) {
        char *argv[] = { (char *) "list", (char *) "--conf", dir, NULL };
        char out[8192];
        size_t n;

        put("roundtable.conf", "");
        put("workers/market.conf", "tasks = {\n market_updater = { interval = \"7 s\"; };\n};\n");
        cr_assert(verb_list(3, argv) == 0);
        n = fread(out, 1, sizeof(out) - 1, cr_get_redirected_stdout());
        out[n] = '\0';
        cr_assert(strstr(out, "market/market_updater") != NULL);
        cr_assert(strstr(out, "7 s") != NULL && strstr(out, "workers/market.conf:2") != NULL, "%s", out);
}
