/* Manifests of all families, from registry.def. */

#include "workers/registry.h"

#define FAMILY(name) extern const FamilyManifest name##_manifest;
#include "workers/registry.def"
#undef FAMILY

const FamilyManifest *const family_manifests[] = {
#define FAMILY(name) &name##_manifest,
#include "workers/registry.def"
#undef FAMILY
        NULL,
};

const FamilyManifest *family_manifest_find(const char *family) {
        for (const FamilyManifest *const *f = family_manifests; *f; f++)
                if (str_eq((*f)->name, family))
                        return *f;
        return NULL;
}

const FamilyManifest *family_manifest_find_task(const char *task, const TaskSpec **ret_task) {
        for (const FamilyManifest *const *f = family_manifests; *f; f++)
                for (const TaskSpec *t = (*f)->tasks; t->name; t++)
                        if (str_eq(t->name, task)) {
                                if (ret_task)
                                        *ret_task = t;
                                return *f;
                        }
        return NULL;
}
