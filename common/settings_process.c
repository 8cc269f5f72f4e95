/* Settings as every program of ours reads them: one place decides which sources there are. */

#include <stdio.h>

#include "common/settings.h"

SettingsSource settings_process_source(const char *conf_dir, const char *env_dir) {
        return (SettingsSource){
                .conf_dir = conf_dir,
                .environ = (const char *const *) environ,
                .env_dir = env_dir,
                .read_environment_file = true,
                .credentials_dir = getenv("CREDENTIALS_DIRECTORY"),
                .require_files = conf_dir != NULL, /* whoever has everything in variables needs no file */
        };
}

int settings_process_load(const SettingsSource *source, const FamilyManifest *const *manifests, bool warnings,
                          Settings **ret) {
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        _cleanup_free_ char *text = NULL;
        int r;

        r = settings_load(source, manifests, ret, &problems);
        if (r < 0 || warnings)
                text = settings_problems_format(&problems);
        if (text)
                (void) fputs(text, stderr);
        if (r < 0 && r != -EBADMSG)
                (void) fprintf(stderr, "cannot read the settings: %s\n", strerror(-r));
        return r;
}
