/* Where the command line's settings come from: its options, its environment, the files. */

#include <dirent.h>
#include <getopt.h>
#include <stdio.h>

#include "build_paths.h"
#include "supervisor/verbs.h"
#include "workers/registry.h"
#include "workers/worker_protocol.h"

int settings_options_parse(int argc, char **argv, SettingsOptions *ret) {
        enum { OPTION_CONF = 256, OPTION_ENV_DIR, OPTION_JSON };
        static const struct option options[] = { { "conf", required_argument, NULL, OPTION_CONF },
                                                 { "env-dir", required_argument, NULL, OPTION_ENV_DIR },
                                                 { "json", no_argument, NULL, OPTION_JSON },
                                                 { NULL, 0, NULL, 0 } };

        *ret = (SettingsOptions){ 0 };
        optind = 0; /* a verb may be called more than once in a process */
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                if (c == OPTION_CONF)
                        ret->conf_dir = optarg;
                else if (c == OPTION_ENV_DIR)
                        ret->env_dir = optarg;
                else if (c == OPTION_JSON)
                        ret->json = true;
                else
                        return -EINVAL;
        return 0;
}

/* A file for a family that this build does not have is read by nobody. Returns how many there are. */
static size_t report_stray_files(const char *conf_dir) {
        _cleanup_free_ char *path = str_printf("%s/workers", conf_dir);
        struct dirent *entry;
        size_t n = 0;
        DIR *d;

        d = path ? opendir(path) : NULL;
        while (d && (entry = readdir(d))) {
                char *dot = strrchr(entry->d_name, '.');
                _cleanup_free_ char *family =
                        dot && str_eq(dot, ".conf") ? strndup(entry->d_name, (size_t) (dot - entry->d_name)) : NULL;

                if (!family || !*family || family_manifest_find(family))
                        continue;
                (void) fprintf(stderr, "%s/%s: there is no family of this name\n  HINT: rename or remove the file\n",
                               path, entry->d_name);
                n++;
        }
        if (d)
                (void) closedir(d);
        return n;
}

int settings_load_for_cli(const SettingsOptions *options, Settings **ret) {
        SettingsSource source = settings_process_source(options->conf_dir, options->env_dir);
        _cleanup_settings_ Settings *s = NULL;
        size_t stray;
        int r;

        r = settings_process_load(&source, family_manifests, true, &s);
        stray = report_stray_files(source.conf_dir ?: ROUNDTABLE_SYSCONFDIR);
        if (r == -EBADMSG || (r >= 0 && stray > 0))
                return EXIT_CODE_CONFIG;
        if (r < 0)
                return EXIT_CODE_FAILED;
        *ret = TAKE_PTR(s);
        return EXIT_CODE_OK;
}
