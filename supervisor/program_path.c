/* Where our other programs are: installed beside us or in libexecdir; in a build tree under workers/. The running
 * program's own place comes first, so that a deployment in any directory runs its own versions. */

#include <limits.h>

#include "build_paths.h"
#include "supervisor/supervisor.h"

static char *own_directory(void) {
        char path[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
        char *slash;

        if (n < 0)
                return NULL;
        path[n] = '\0';
        slash = strrchr(path, '/');
        if (!slash)
                return NULL;
        *slash = '\0';
        return strdup(path);
}

char *program_path(const char *name, bool helper) {
        _cleanup_free_ char *directory = own_directory();
        static const char *const worker_places[] = { "", "/../workers" };
        static const char *const helper_places[] = { "/../libexec/roundtable", "", "/../workers" };
        const char *const *places = helper ? helper_places : worker_places;
        size_t n = helper ? ELEMENTSOF(helper_places) : ELEMENTSOF(worker_places);

        for (size_t i = 0; directory && i < n; i++) {
                char *path = str_printf("%s%s/%s", directory, places[i], name);

                if (path && access(path, X_OK) >= 0)
                        return path;
                free(path);
        }
        return str_printf("%s/%s", helper ? ROUNDTABLE_LIBEXECDIR : ROUNDTABLE_BINDIR, name);
}
