#pragma once

/* What a worker gives up before it has a thread or a secret: core dumps, being traced or read through /proc, gaining
 * privileges, files it has no business with (Landlock), system calls nobody here makes (seccomp). */

#include "common/error.h"

typedef struct SandboxOptions {
        const char *mode;               /* "auto" takes what the system has, "required" fails where Landlock or seccomp
                                         * is missing, "off" leaves these two out */
        const char *const *read_paths;  /* files and directories that the settings name; NULL-terminated, or NULL.
                                         * What does not exist is left out. Sockets need no entry. */
        const char *const *write_paths; /* directories in which files and sockets are made: the runtime directory */
        int64_t open_files;             /* RLIMIT_NOFILE, at most the hard limit; 0: as it is */
} SandboxOptions;

typedef struct SandboxReport {
        int landlock_abi; /* in force; 0: none */
        bool seccomp;
        char *text; /* "Landlock ABI 7, seccomp", or what is missing and why. Owned: sandbox_report_done() */
} SandboxReport;
void sandbox_report_done(SandboxReport *r);

/* Call once, before the first thread. Limits of descriptors and core dumps, no tracing, no new privileges hold in every
 * mode. Builds with sanitizers stay traceable: their leak checker needs it. */
int sandbox_enter(const SandboxOptions *options, SandboxReport *ret, Error *reterr);
