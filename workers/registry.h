#pragma once

/* The families this build knows. Manifests are data only and are linked into the supervisor too; bindings only into the
 * worker. */

#include "common/manifest.h"

/* NULL-terminated. */
extern const FamilyManifest *const family_manifests[];
const FamilyManifest *family_manifest_find(const char *family);
/* Finds the family that has `task`; NULL if none. */
const FamilyManifest *family_manifest_find_task(const char *task, const TaskSpec **ret_task);
