#pragma once

/* `roundtable dev`: the whole service on private servers, all of them children of this process, in one state directory.
 * What must hold: nothing is left running when it ends, however it ends (children die with their parent). */

/* Returns an exit code. argv[0] is the verb. */
int verb_dev(int argc, char **argv);
