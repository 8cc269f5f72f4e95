/* See instances.h. The file is replaced by rename, so that it is whole at any moment. */

#include <fcntl.h>
#include <stdio.h>

#include "common/clock.h"
#include "supervisor/instances.h"

void instances_done(Instances *i) {
        free(i->path);
        json_decref(i->families);
        *i = (Instances){ 0 };
}

static bool instances_valid(const json_t *families) {
        const char *family;
        json_t *entry;

        if (!json_is_object(families))
                return false;
        json_object_foreach ((json_t *) families, family, entry) {
                const json_t *current = json_object_get(entry, "current"), *dead = json_object_get(entry, "dead");
                size_t k;
                json_t *id;

                if ((current && !json_is_string(current)) || !json_is_array(dead))
                        return false;
                json_array_foreach ((json_t *) dead, k, id)
                        if (!json_is_string(id))
                                return false;
        }
        return true;
}

int instances_open(const char *state_dir, Instances *ret, Error *reterr) {
        Instances i = { 0 };
        json_error_t problem;
        int r = 0;

        i.path = str_printf("%s/instances.json", state_dir);
        if (!i.path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        i.families = json_load_file(i.path, JSON_REJECT_DUPLICATES, &problem);
        if (!instances_valid(i.families)) {
                json_decref(i.families);
                i.families = json_object();
                if (access(i.path, F_OK) >= 0) {
                        _cleanup_free_ char *aside = str_printf("%s.bad", i.path);

                        if (!aside || rename(i.path, aside) < 0) {
                                r = error_set(reterr, ERROR_NEVER, -errno, "%s: damaged, and cannot be set aside: %m",
                                              i.path);
                                instances_done(&i);
                                return r;
                        }
                        r = error_set(reterr, ERROR_NEVER, -EBADMSG, "%s: damaged; set aside as %s", i.path, aside);
                } else if (errno != ENOENT) {
                        r = error_set(reterr, ERROR_NEVER, -errno, "%s: cannot read: %m", i.path);
                        instances_done(&i);
                        return r;
                }
        }
        if (!i.families) {
                instances_done(&i);
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        }
        *ret = i;
        return r;
}

static int instances_save(const Instances *i, Error *reterr) {
        _cleanup_free_ char *temporary = str_printf("%s.new", i->path), *text = json_dumps(i->families, JSON_COMPACT);
        _cleanup_close_ int fd = -EBADF;
        size_t length;

        if (!temporary || !text)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot write: %m", temporary);
        length = strlen(text);
        for (size_t done = 0; done < length;) {
                ssize_t n = write(fd, text + done, length - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot write: %m", temporary);
                done += (size_t) n;
        }
        /* No fsync: after a crash of the whole host the locks end by their TTL, and a restart must not wait for a disk.
         */
        if (rename(temporary, i->path) < 0)
                return error_set(reterr, ERROR_RETRY, -errno, "%s: cannot replace: %m", i->path);
        return 0;
}

/* The current id joins the dead ones; the oldest beyond the bound are forgotten, their locks have ended. */
static int entry_retire(json_t *entry) {
        json_t *current = json_object_get(entry, "current"), *dead = json_object_get(entry, "dead");

        if (!current)
                return 0;
        if (json_array_append(dead, current) < 0 || json_object_del(entry, "current") < 0)
                return -ENOMEM;
        while (json_array_size(dead) > INSTANCES_MAX_DEAD)
                if (json_array_remove(dead, 0) < 0)
                        return -ENOMEM;
        return 0;
}

int instances_next(Instances *i, const char *family, char ret_id[static INSTANCE_TEXT_SIZE], json_t **ret_dead,
                   Error *reterr) {
        json_t *entry = json_object_get(i->families, family);
        int r;

        if (!entry) {
                entry = json_pack("{s:[]}", "dead");
                if (!entry || json_object_set_new(i->families, family, entry) < 0)
                        return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        }
        random_uuid(ret_id);
        if (entry_retire(entry) < 0 || json_object_set_new(entry, "current", json_string(ret_id)) < 0)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        r = instances_save(i, reterr);
        if (r < 0)
                return r;
        *ret_dead = json_deep_copy(json_object_get(entry, "dead"));
        return *ret_dead ? 0 : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
}
