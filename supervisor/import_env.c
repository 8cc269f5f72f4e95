/* import-env: what the original would read from its .env files, as one environment file for roundtable. Only variables
 * that roundtable knows are taken: keys of other services do not belong into a file that this one reads. */

#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>

#include "supervisor/verbs.h"
#include "workers/registry.h"
#include "workers/worker_protocol.h"

#define NO_FILES "/nonexistent"

typedef struct Import {
        const char *dir, *node_env, *output;
        bool force;
        const Settings *known; /* for the table only */
        Buffer text;
        size_t taken, files_seen;
        bool masked;
        /* of the variable that is looked up in the table */
        const char *wanted;
        bool found, secret;
} Import;

static int usage(void) {
        (void) fputs("usage: roundtable import-env DIR [--node-env NAME] [--output FILE [--force]]\n", stderr);
        return EXIT_CODE_USAGE;
}

static int parse(int argc, char **argv, Import *ret) {
        enum { OPTION_NODE_ENV = 256, OPTION_OUTPUT, OPTION_FORCE };
        static const struct option options[] = { { "node-env", required_argument, NULL, OPTION_NODE_ENV },
                                                 { "output", required_argument, NULL, OPTION_OUTPUT },
                                                 { "force", no_argument, NULL, OPTION_FORCE },
                                                 { NULL, 0, NULL, 0 } };

        optind = 0;
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                if (c == OPTION_NODE_ENV)
                        ret->node_env = optarg;
                else if (c == OPTION_OUTPUT)
                        ret->output = optarg;
                else if (c == OPTION_FORCE)
                        ret->force = true;
                else
                        return -EINVAL;
        if (optind != argc - 1 || (ret->force && !ret->output))
                return -EINVAL;
        ret->dir = argv[optind];
        return 0;
}

static void look_at_row(const char *name _unused_, const SettingSpec *spec, void *userdata) {
        Import *i = userdata;

        if (!str_eq(spec->env, i->wanted))
                return;
        i->found = true;
        i->secret = i->secret || (spec->flags & SETTING_SECRET);
}

/* As systemd's EnvironmentFile= and our own reader take it. */
static void append_value(Buffer *b, const char *value) {
        static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,@%+=-";

        if (value[strspn(value, bare)] == '\0') {
                (void) buffer_append_string(b, value);
                return;
        }
        (void) buffer_append_string(b, "\"");
        for (const char *p = value; *p; p++)
                (void) buffer_printf(b, strchr("\"\\`$", *p) ? "\\%c" : "%c", *p);
        (void) buffer_append_string(b, "\"");
}

static void take_variable(const char *name, const char *value, const char *file, int line, void *userdata) {
        Import *i = userdata;

        i->files_seen++;
        i->wanted = name;
        i->found = i->secret = false;
        settings_visit(i->known, look_at_row, i);
        if (!i->found) {
                (void) fprintf(stderr, "%s:%d: %s is left out: it is no setting of roundtable\n", file, line, name);
                return;
        }
        if (str_empty(value) || (str_eq(name, "NODE_ENV") && !str_empty(i->node_env)))
                return; /* counts as unset; is told from outside */
        (void) buffer_printf(&i->text, "# %s:%d\n%s=", file, line, name);
        append_value(&i->text, i->masked && i->secret ? "********" : value);
        (void) buffer_append_string(&i->text, "\n");
        i->taken++;
}

/* The values as settings, so that a bad one is told here with its file and line and not at the next start. What they
 * lack may come from elsewhere. Returns an exit code. */
static int check_values(const Import *i) {
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        _cleanup_free_ char *node_env = str_printf("NODE_ENV=%s", i->node_env ?: "");
        const char *const environment[] = { node_env, NULL };
        SettingsSource source = { .conf_dir = NO_FILES, .environ = environment, .env_dir = i->dir };
        _cleanup_settings_ Settings *unused = NULL;
        int r = node_env ? settings_load(&source, family_manifests, &unused, &problems) : -ENOMEM;
        int code = r < 0 && r != -EBADMSG ? EXIT_CODE_FAILED : EXIT_CODE_OK;

        for (size_t n = 0; n < problems.n; n++) {
                SettingsProblem *p = &problems.items[n];
                _cleanup_free_ char *text = NULL;

                if (p->warning || !p->file || strncmp(p->file, i->dir, strlen(i->dir)) != 0)
                        continue;
                text = settings_problems_format(&(SettingsProblems){ .items = p, .n = 1 });
                (void) fputs(text ?: "out of memory\n", stderr);
                code = EXIT_CODE_CONFIG;
        }
        return code;
}

/* Whole or not at all. Secrets are in it: for root and the service's group only. */
static int write_output(const Import *i) {
        _cleanup_free_ char *temporary = str_printf("%s.new", i->output);
        const struct group *group = getgrnam("roundtable");
        _cleanup_close_ int fd = -EBADF;
        size_t done = 0;

        if (!temporary)
                return -ENOMEM;
        if (!i->force && access(i->output, F_OK) >= 0)
                return -EEXIST;
        (void) unlink(temporary);
        fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
        if (fd < 0)
                return -errno;
        if (geteuid() == 0 && group && fchown(fd, 0, group->gr_gid) < 0)
                return -errno;
        while (done < i->text.length) {
                ssize_t n = write(fd, i->text.data + done, i->text.length - done);

                if (n < 0 && errno != EINTR)
                        return -errno;
                done += n > 0 ? (size_t) n : 0;
        }
        if (fsync(fd) < 0 || rename(temporary, i->output) < 0)
                return -errno;
        return 0;
}

static int put_out(const Import *i) {
        int r;

        if (!i->output) {
                if (i->masked)
                        (void) fputs("secrets are not shown on a terminal: use --output FILE, or a pipe\n", stderr);
                return fputs(i->text.data, stdout) < 0 || fflush(stdout) != 0 ? EXIT_CODE_FAILED : EXIT_CODE_OK;
        }
        r = write_output(i);
        if (r < 0) {
                (void) fprintf(stderr, "roundtable: cannot write %s: %s\n%s", i->output, strerror(-r),
                               r == -EEXIST ? "  HINT: --force replaces it\n" : "");
                return EXIT_CODE_FAILED;
        }
        (void) printf("%zu variables written to %s\n", i->taken, i->output);
        return EXIT_CODE_OK;
}

int verb_import_env(int argc, char **argv) {
        _cleanup_(settings_problems_done) SettingsProblems problems = { 0 };
        Import i = { .node_env = getenv("NODE_ENV") };
        _cleanup_settings_ Settings *settings = NULL;
        int code, r;

        if (parse(argc, argv, &i) < 0)
                return usage();
        if (access(i.dir, R_OK | X_OK) < 0) {
                (void) fprintf(stderr, "roundtable: cannot read %s: %m\n", i.dir);
                return EXIT_CODE_FAILED;
        }
        code = check_values(&i);
        if (code != EXIT_CODE_OK)
                return code;
        if (settings_load(&(SettingsSource){ .conf_dir = NO_FILES }, family_manifests, &settings, &problems) < 0)
                return EXIT_CODE_FAILED;
        i.known = settings;
        i.masked = !i.output && isatty(STDOUT_FILENO);
        (void) buffer_printf(&i.text,
                             "# Made by roundtable import-env from %s%s%s. Read by roundtable at start and on "
                             "reload.\n",
                             i.dir, str_empty(i.node_env) ? "" : " with NODE_ENV=", i.node_env ?: "");
        if (!str_empty(i.node_env)) {
                (void) buffer_append_string(&i.text, "NODE_ENV=");
                append_value(&i.text, i.node_env);
                (void) buffer_append_string(&i.text, "\n");
                i.taken++;
        }
        r = settings_env_dir_visit(i.dir, i.node_env, take_variable, &i, &problems);
        if (r < 0 || buffer_failed(&i.text))
                (void) fputs("roundtable: out of memory\n", stderr);
        else if (i.files_seen == 0)
                (void) fprintf(stderr,
                               "roundtable: no .env file in %s sets a variable\n"
                               "  HINT: name the directory in which the original service ran, and its NODE_ENV\n",
                               i.dir);
        code = r < 0 || buffer_failed(&i.text) || i.files_seen == 0 ? EXIT_CODE_FAILED : put_out(&i);
        buffer_done(&i.text);
        return code;
}
