/* Where the command line's settings come from: its options, its environment, the files. */

#include <getopt.h>
#include <stdio.h>

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

int settings_load_for_cli(const SettingsOptions *options, Settings **ret) {
        SettingsSource source = settings_process_source(options->conf_dir, options->env_dir);
        _cleanup_settings_ Settings *s = NULL;
        int r;

        source.all_families = true;
        r = settings_process_load(&source, family_manifests, true, &s);
        if (r < 0)
                return r == -EBADMSG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
        *ret = TAKE_PTR(s);
        return EXIT_CODE_OK;
}
