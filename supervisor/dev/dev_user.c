/* Leaving root: initdb refuses it, and workers of root could forge their pid. The programs are copied into the state
 * directory, because the user we become may not reach a clone below /root. They are opened as root and written as that
 * user, so that nothing which that user planted in its directory is followed with root's rights. */

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "supervisor/dev/dev_internal.h"

static const char *const programs[] = { "roundtable", "roundtable-worker", "roundtable-admin",
                                        "roundtable-kafka-mock" };

int dev_make_directory(const char *path, mode_t mode, Error *reterr) {
        struct stat st;

        if (mkdir(path, mode) < 0 && errno != EEXIST)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", path, strerror(errno));
        if (lstat(path, &st) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", path, strerror(errno));
        if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
                return error_set(reterr, ERROR_NEVER, -EPERM, "%s is not a directory of uid %d", path, (int) geteuid());
        return 0;
}

static const struct passwd *target_user(void) {
        const char *sudo = getenv("SUDO_UID");
        const struct passwd *entry = NULL;

        if (sudo && strtol(sudo, NULL, 10) > 0)
                entry = getpwuid((uid_t) strtol(sudo, NULL, 10));
        return entry ? entry : getpwnam("postgres");
}

uid_t dev_uid(void) {
        const struct passwd *user = geteuid() == 0 ? target_user() : NULL;

        return user ? user->pw_uid : geteuid();
}

static int copy_program(int from, const char *directory, const char *name, Error *reterr) {
        _cleanup_free_ char *path = str_printf("%s/%s", directory, name),
                            *fresh = str_printf("%s/.%s.new", directory, name);
        _cleanup_close_ int to = -EBADF;
        ssize_t n;

        if (!path || !fresh)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        (void) unlink(fresh);
        to = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
        if (to < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", fresh, strerror(errno));
        do
                n = sendfile(to, from, NULL, 1 << 20);
        while (n > 0);
        /* renamed, so that a running copy of the old one is left alone */
        if (n < 0 || rename(fresh, path) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", path, strerror(errno));
        return 0;
}

static int become(const struct passwd *user, Error *reterr) {
        if (initgroups(user->pw_name, user->pw_gid) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
            setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "cannot become user %s: %s", user->pw_name,
                                 strerror(errno));
        if (setenv("HOME", user->pw_dir, 1) < 0 || setenv("USER", user->pw_name, 1) < 0 || chdir("/") < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s", strerror(errno));
        return 0;
}

/* A directory that exists already belongs to whom it does: it is checked after the change of user. */
static int give_directory(const char *state, const struct passwd *user, Error *reterr) {
        if (mkdir(state, 0755) < 0)
                return errno == EEXIST ? 0 : error_set(reterr, ERROR_NEVER, -errno, "%s: %s", state, strerror(errno));
        if (lchown(state, user->pw_uid, user->pw_gid) < 0)
                return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", state, strerror(errno));
        return 0;
}

int dev_leave_root(const char *state, int argc, char **argv, Error *reterr) {
        _cleanup_free_ char *bin = str_printf("%s/bin", state), *self = str_printf("%s/bin/roundtable", state);
        _cleanup_free_ char **arguments = calloc((size_t) argc + 4, sizeof(char *));
        const struct passwd *user = target_user();
        int from[ELEMENTSOF(programs)], n = 0, r;

        if (!user)
                return error_set(reterr, ERROR_NEVER, -ENOENT, "there is no user postgres to run the servers as");
        if (!bin || !self || !arguments)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        for (size_t i = 0; i < ELEMENTSOF(programs); i++) {
                _cleanup_free_ char *path = i == 0 ? strdup("/proc/self/exe") : dev_program(programs[i]);

                from[i] = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
                if (from[i] < 0)
                        return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", programs[i], strerror(errno));
        }
        r = give_directory(state, user, reterr);
        if (r >= 0)
                r = become(user, reterr);
        if (r >= 0)
                r = dev_make_directory(state, 0755, reterr);
        if (r >= 0)
                r = dev_make_directory(bin, 0755, reterr);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(programs); i++)
                r = copy_program(from[i], bin, programs[i], reterr);
        if (r < 0)
                return r;
        printf("dev: running as user %s from %s\n", user->pw_name, bin);
        (void) fflush(stdout);
        arguments[n++] = self;
        arguments[n++] = argv[0];
        /* of an option given twice the last one counts: this one is absolute */
        for (int i = 1; i < argc; i++)
                arguments[n++] = argv[i];
        arguments[n++] = (char *) "--state";
        arguments[n++] = (char *) state;
        (void) execv(self, arguments);
        return error_set(reterr, ERROR_NEVER, -errno, "%s: %s", self, strerror(errno));
}
