#pragma once

/* Sample data and the live feed, for development, tests and benchmarks: verbs of roundtable-admin. argv[0] is the verb.
 * Both return one of the exit codes of workers/worker_protocol.h.
 *
 *   sample [--conf DIR] [--preset default|mainnet] [--scale N] [--markets N] [--levels N] [--seed N] [--replace]
 *   feed   [--conf DIR] [--interval MSEC] [--fills N]           until SIGTERM or SIGINT
 */
int sample_run(int argc, char **argv);
int feed_run(int argc, char **argv);
