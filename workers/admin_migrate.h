#pragma once

#include "common/util.h"

/* The verb `migrate [--conf DIR] [--env-dir DIR] [--json] [--with-indexes]`; argv[0] is the verb. Returns one of the
 * exit codes of workers/worker_protocol.h. */
int migrate_verb(int argc, char **argv);
