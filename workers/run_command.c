/* The words of `roundtable-worker --run`. */

#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "workers/run.h"
#include "workers/worker_protocol.h"

static int usage(void) {
        (void) fputs("usage: roundtable run TASK [--wait] [--force] [--no-lock] [--dry-run [--pages N]] [--json] "
                     "[--conf DIR] [--env-dir DIR]\n",
                     stderr);
        return EXIT_CODE_USAGE;
}

static int parse_pages(const char *text, unsigned *ret) {
        char *end;
        unsigned long n;

        errno = 0;
        n = strtoul(text, &end, 10);
        if (errno != 0 || *end || end == text || *text == '-' || n == 0 || n > UINT_MAX)
                return -EINVAL;
        *ret = (unsigned) n;
        return 0;
}

int run_command(int argc, char **argv) {
        enum {
                OPTION_WAIT = 256,
                OPTION_FORCE,
                OPTION_NO_LOCK,
                OPTION_DRY_RUN,
                OPTION_PAGES,
                OPTION_JSON,
                OPTION_CONF,
                OPTION_ENV_DIR
        };
        static const struct option options[] = { { "wait", no_argument, NULL, OPTION_WAIT },
                                                 { "force", no_argument, NULL, OPTION_FORCE },
                                                 { "no-lock", no_argument, NULL, OPTION_NO_LOCK },
                                                 { "dry-run", no_argument, NULL, OPTION_DRY_RUN },
                                                 { "pages", required_argument, NULL, OPTION_PAGES },
                                                 { "json", no_argument, NULL, OPTION_JSON },
                                                 { "conf", required_argument, NULL, OPTION_CONF },
                                                 { "env-dir", required_argument, NULL, OPTION_ENV_DIR },
                                                 { NULL, 0, NULL, 0 } };
        RunOptions o = { 0 };

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case OPTION_WAIT:
                        o.wait = true;
                        break;
                case OPTION_FORCE:
                        o.force = true;
                        break;
                case OPTION_NO_LOCK:
                        o.no_lock = true;
                        break;
                case OPTION_DRY_RUN:
                        o.dry_run = true;
                        break;
                case OPTION_PAGES:
                        if (parse_pages(optarg, &o.pages) < 0) {
                                (void) fprintf(stderr, "--pages %s: expected a number from 1\n", optarg);
                                return usage();
                        }
                        break;
                case OPTION_JSON:
                        o.json = true;
                        break;
                case OPTION_CONF:
                        o.conf_dir = optarg;
                        break;
                case OPTION_ENV_DIR:
                        o.env_dir = optarg;
                        break;
                default:
                        return usage();
                }
        if (optind != argc - 1)
                return usage();
        if (o.no_lock && (o.wait || o.force)) {
                (void) fputs("--no-lock takes no lock: --wait and --force have no meaning with it\n", stderr);
                return usage();
        }
        if (o.pages > 0 && !o.dry_run) {
                (void) fputs("--pages is for --dry-run; a real run goes on until the task is done\n", stderr);
                return usage();
        }
        if (o.json && o.dry_run) {
                (void) fputs("--json prints the record of a run, and a dry run has none\n", stderr);
                return usage();
        }
        o.task = argv[optind];
        return run_main(&o);
}
