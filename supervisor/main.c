/* roundtable: the supervisor and the command line. Every verb is a row of one table. */

#include <stdio.h>

#include "build_paths.h"
#include "supervisor/client_verbs.h"
#include "supervisor/verbs.h"
#include "supervisor/dev/dev.h"
#include "common/util.h"
#include "workers/worker_protocol.h"

typedef struct Verb {
        const char *name;
        int (*run)(int argc, char **argv);
        const char *help;
} Verb;

static int verb_help(int argc, char **argv);

static int verb_version(int argc _unused_, char **argv _unused_) {
        (void) printf("roundtable %s\n", ROUNDTABLE_VERSION);
        return EXIT_CODE_OK;
}

static const Verb verbs[] = {
        { "config", verb_config, "settings: check, show: [--conf DIR] [--env-dir DIR] [--json]" },
        { "dev", verb_dev,
          "everything on private servers: [--state DIR] [--preset P] [--scale N] [--keep] [--no-sample]" },
        { "help", verb_help, "this text" },
        { "import-env", verb_import_env, "the original's .env files as an environment file: DIR [--output FILE]" },
        { "list", verb_list, "each task and where its settings came from: [--json]" },
        { "migrate", verb_migrate, "make or update the database" },
        { "reload", verb_reload, "validate the settings and apply them: [--dry-run]" },
        { "run", verb_run, "one run of TASK in the foreground" },
        { "sample", verb_sample, "fill the servers with sample data" },
        { "status", verb_status, "health of the service on one screen: [--json]" },
        { "supervise", verb_supervise, "run the service" },
        { "version", verb_version, "print the version" },
};

static void print_help(FILE *f) {
        (void) fprintf(f, "Usage: roundtable VERB [OPTION]...\n\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                (void) fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].help);
}

static int verb_help(int argc _unused_, char **argv _unused_) {
        print_help(stdout);
        return EXIT_CODE_OK;
}

int main(int argc, char **argv) {
        const char *name = argc > 1 ? argv[1] : NULL;

        if (str_eq(name, "--help"))
                name = "help";
        if (str_eq(name, "--version"))
                name = "version";
        for (size_t i = 0; name && i < ELEMENTSOF(verbs); i++)
                if (str_eq(verbs[i].name, name)) {
                        int code = verbs[i].run(argc - 1, argv + 1);

                        if (code == EXIT_CODE_USAGE)
                                (void) fprintf(stderr, "roundtable: see roundtable help\n");
                        return code;
                }
        if (name)
                (void) fprintf(stderr, "roundtable: no verb %s\n", name);
        print_help(stderr);
        return EXIT_CODE_USAGE;
}
