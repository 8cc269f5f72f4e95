/* Task functions of all families, from registry.def. */

#include "workers/bindings.h"

#define FAMILY(name) extern const TaskBinding name##_tasks[];
#include "workers/registry.def"
#undef FAMILY

static const struct {
        const char *family;
        const TaskBinding *tasks;
} bindings[] = {
#define FAMILY(name) { #name, name##_tasks },
#include "workers/registry.def"
#undef FAMILY
};

TaskRun task_binding_find(const char *family, const char *task) {
        for (size_t i = 0; i < ELEMENTSOF(bindings); i++) {
                if (!str_eq(bindings[i].family, family))
                        continue;
                for (const TaskBinding *t = bindings[i].tasks; t->name; t++)
                        if (str_eq(t->name, task))
                                return t->run;
        }
        return NULL;
}
