/* roundtable-admin: the verbs of roundtable that need servers. The roundtable program execs it, so that the supervisor
 * links no client library. */

#include <stdio.h>
#include <string.h>

#include "workers/admin_migrate.h"
#include "workers/sample/sample.h"
#include "workers/sample/watch.h"
#include "workers/worker_protocol.h"

static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
        const char *help;
} verbs[] = {
        { "feed", feed_run, "keeps prices, fills and funding samples changing" },
        { "migrate", migrate_verb, "brings the database to this program's version" },
        { "sample", sample_run, "fills an empty database with sample data" },
        { "watch", watch_run, "says in words what happens on the servers of `roundtable dev`" },
};

static void usage(FILE *f) {
        fprintf(f, "usage: roundtable-admin VERB [OPTION ...]\n");
        for (size_t i = 0; i < ELEMENTSOF(verbs); i++)
                fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].help);
}

int main(int argc, char **argv) {
        if (argc >= 2 && (str_eq(argv[1], "--help") || str_eq(argv[1], "-h"))) {
                usage(stdout);
                return EXIT_CODE_OK;
        }
        for (size_t i = 0; argc >= 2 && i < ELEMENTSOF(verbs); i++)
                if (str_eq(argv[1], verbs[i].name))
                        return verbs[i].run(argc - 1, argv + 1);
        if (argc >= 2)
                fprintf(stderr, "roundtable-admin: unknown verb %s\n", argv[1]);
        usage(stderr);
        return EXIT_CODE_USAGE;
}
