/* Any bytes as roundtable.conf and as environment file: settings, or at least one problem; never a crash. */

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include "common/settings.h"
#include "common/settings_internal.h"
#include "workers/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 loses the string it has just read when a syntax error follows. */
const char *__lsan_default_suppressions(void) {
        return "leak:libconfig\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        _cleanup_(environment_done) Environment environment = { 0 };
        _cleanup_settings_ Settings *s = NULL;
        _cleanup_close_ int fd = memfd_create("settings", MFD_CLOEXEC);
        char path[64];

        /* An include could name any file of the machine. */
        if (fd < 0 || memmem(data, size, "@include", 8) || write(fd, data, size) != (ssize_t) size)
                return 0;
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (settings_new(family_manifests, &s) < 0 || settings_file_load(s, path, NULL, true, &problems) < 0 ||
            settings_file_load(s, path, family_manifests[0], true, &problems) < 0 ||
            environment_add_file(&environment, path, true, &problems) < 0 ||
            settings_apply_environment(s, &environment, &problems) < 0)
                abort();
        return 0;
}
