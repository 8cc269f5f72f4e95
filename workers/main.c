/* roundtable-worker: one family's worker process, started by the supervisor or by hand. */

#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>

#include "workers/handover.h"
#include "workers/registry.h"
#include "workers/run.h"
#include "workers/sandbox.h"
#include "workers/worker.h"
#include "workers/worker_protocol.h"

static int usage(void) {
        (void) fputs("usage: roundtable-worker --family FAMILY [--supervised] [--conf DIR] [--env-dir DIR]\n"
                     "       roundtable-worker --run TASK [OPTION ...]\n",
                     stderr);
        return EXIT_CODE_USAGE;
}

static int parse(int argc, char **argv, WorkerOptions *ret) {
        enum { OPTION_FAMILY = 256, OPTION_SUPERVISED, OPTION_CONF, OPTION_ENV_DIR };
        static const struct option options[] = { { "family", required_argument, NULL, OPTION_FAMILY },
                                                 { "supervised", no_argument, NULL, OPTION_SUPERVISED },
                                                 { "conf", required_argument, NULL, OPTION_CONF },
                                                 { "env-dir", required_argument, NULL, OPTION_ENV_DIR },
                                                 { NULL, 0, NULL, 0 } };

        *ret = (WorkerOptions){ 0 };
        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
                switch (c) {
                case OPTION_FAMILY:
                        ret->manifest = family_manifest_find(optarg);
                        if (!ret->manifest)
                                (void) fprintf(stderr, "roundtable-worker: there is no family %s\n", optarg);
                        break;
                case OPTION_SUPERVISED:
                        ret->supervised = true;
                        break;
                case OPTION_CONF:
                        ret->conf_dir = optarg;
                        break;
                case OPTION_ENV_DIR:
                        ret->env_dir = optarg;
                        break;
                default:
                        return usage();
                }
        return ret->manifest && optind == argc ? EXIT_CODE_OK : usage();
}

static int fail(int code, const Error *e) {
        log_error_object(LOG_LEVEL_ERROR, NULL, "worker#start", e, NULL, 0, "cannot start");
        return code;
}

/* What a system lacks that settings require is a matter of settings: another attempt would end the same. */
static int enter(const SandboxOptions *options, SandboxReport *report) {
        _cleanup_error_ Error e = ERROR_INIT;

        if (sandbox_enter(options, report, &e) < 0)
                return fail(str_eq(options->mode, "required") ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED, &e);
        return EXIT_CODE_OK;
}

/* The sandbox comes before the first secret in this process. */
static int start_supervised(const WorkerOptions *options, WorkerStart *ret) {
        _cleanup_(worker_confinement_done) WorkerConfinement c = { 0 };
        _cleanup_(sandbox_report_done) SandboxReport report = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        int code;

        if (worker_confinement_receive(&c, &e) < 0)
                return fail(EXIT_CODE_CONFIG, &e);
        code = enter(&(SandboxOptions){ .mode = c.sandbox,
                                        .read_paths = (const char *const *) c.read_paths,
                                        .write_paths = (const char *const *) c.write_paths,
                                        .open_files = c.open_files },
                     &report);
        if (code != EXIT_CODE_OK)
                return code;
        if (worker_start_from_supervisor(options, &(WorkerHello){ report.landlock_abi, report.seccomp }, ret, &e) < 0)
                return fail(EXIT_CODE_CONFIG, &e);
        return EXIT_CODE_OK;
}

static int start_alone(const WorkerOptions *options, WorkerStart *ret) {
        _cleanup_(sandbox_report_done) SandboxReport report = { 0 };
        _cleanup_error_ Error e = ERROR_INIT;
        _cleanup_free_ const char **readable = NULL;
        const char *writable[] = { NULL, NULL };
        const char *family = options->manifest->name;
        int r;

        r = worker_start_from_files(options, ret);
        if (r != EXIT_CODE_OK)
                return r;
        if (mkdir(ret->runtime_dir, 0755) < 0 && errno != EEXIST) {
                (void) error_set(&e, ERROR_NEVER, -errno, "cannot make %s: %m", ret->runtime_dir);
                return fail(EXIT_CODE_FAILED, &e);
        }
        readable = settings_worker_paths(ret->settings, options->manifest);
        if (!readable) {
                (void) error_set(&e, ERROR_RETRY, -ENOMEM, "out of memory");
                return fail(EXIT_CODE_FAILED, &e);
        }
        writable[0] = ret->runtime_dir;
        return enter(&(SandboxOptions){ .mode = settings_worker_string(ret->settings, family, "worker.sandbox"),
                                        .read_paths = readable,
                                        .write_paths = writable,
                                        .open_files = settings_worker_int(ret->settings, family, "worker.open_files") },
                     &report);
}

static void apply_log_settings(const WorkerStart *start) {
        LogLevel level;

        if (log_level_from_string(settings_string(start->settings, "log.level"), &level) < 0)
                level = LOG_LEVEL_INFO;
        log_init("roundtable-worker", start->log_target, level);
        log_set_identity(start->manifest->name, start->manifest->name);
}

int main(int argc, char **argv) {
        _cleanup_(worker_start_done) WorkerStart start = { 0 };
        WorkerOptions options;
        int code;

        if (argc > 1 && str_eq(argv[1], "--run"))
                return run_command(argc - 1, argv + 1);
        log_init("roundtable-worker", LOG_TARGET_AUTO, LOG_LEVEL_INFO);
        code = parse(argc, argv, &options);
        if (code != EXIT_CODE_OK)
                return code;
        log_set_identity(options.manifest->name, options.manifest->name);
        code = options.supervised ? start_supervised(&options, &start) : start_alone(&options, &start);
        if (code != EXIT_CODE_OK)
                return code;
        apply_log_settings(&start);
        return worker_run(&start);
}
