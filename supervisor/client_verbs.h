#pragma once

/* The verbs that ask a running service, and those that other programs carry out. argv[0] is the verb. Each returns the
 * exit code. */

int verb_supervise(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_reload(int argc, char **argv);
int verb_run(int argc, char **argv);
int verb_migrate(int argc, char **argv);
int verb_sample(int argc, char **argv);
