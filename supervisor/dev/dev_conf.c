/* The configuration of `roundtable dev`, written anew at each start because the broker's port changes. */

#include <stdio.h>

#include "supervisor/dev/dev_internal.h"
#include "workers/registry.h"

int dev_write_file(const char *directory, const char *name, const char *text, Error *reterr) {
        _cleanup_free_ char *path = str_printf("%s/%s", directory, name);
        FILE *f = path ? fopen(path, "we") : NULL;

        if (!f)
                return error_set(reterr, ERROR_NEVER, -errno, "%s/%s: %s", directory, name, strerror(errno));
        if (fputs(text, f) < 0 || ferror(f)) {
                (void) fclose(f);
                return error_set(reterr, ERROR_NEVER, -EIO, "%s: cannot be written", path);
        }
        if (fclose(f) != 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", path, strerror(errno));
        return 0;
}

/* What a family wants to be different without the services of others. */
static int write_families(const Dev *d, Error *reterr) {
        _cleanup_free_ char *directory = str_printf("%s/workers", d->conf);

        if (!directory)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        for (const FamilyManifest *const *f = family_manifests; *f; f++) {
                _cleanup_free_ char *name = str_printf("%s.conf", (*f)->name);
                int r;

                if (!name)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
                if (!(*f)->development)
                        continue;
                r = dev_write_file(directory, name, (*f)->development, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

int dev_write_conf(const Dev *d, Error *reterr) {
        _cleanup_buffer_ Buffer b = { 0 };

        (void) buffer_printf(&b,
                             "# written by `roundtable dev` at each start\n"
                             "environment_file = \"%s/environment\";\n"
                             "supervisor = { runtime_dir = \"%s\"; state_dir = \"%s/supervisor\"; };\n"
                             "database = { host = \"%s\"; replica_host = \"%s\"; port = 5432; name = \"postgres\"; "
                             "user = \"%s\"; };\n"
                             "redis = { url = \"unix://%s/redis.sock\"; };\n"
                             "kafka = { brokers = \"%s\"; };\n"
                             "start_delay = { enabled = false; };\n",
                             d->conf, d->run, d->state, d->run, d->run, d->user, d->run, d->bootstrap);
        if (buffer_failed(&b))
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        /* the variables of a real deployment must not reach the private servers: verb_dev() clears them */
        if (dev_write_file(d->conf, "environment", "", reterr) < 0 || write_families(d, reterr) < 0)
                return -EIO;
        return dev_write_file(d->conf, "roundtable.conf", b.data, reterr);
}
