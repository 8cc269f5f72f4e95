/* A family for the tests, in builds with -Dtesting=true only. */

#include "common/manifest.h"

static const TaskSpec tasks[] = {
        { 0 },
};

extern const FamilyManifest testing_manifest;
const FamilyManifest testing_manifest = {
        .name = "testing",
        .help = "tasks that misbehave on request",
        .tasks = tasks,
};
