#pragma once

/* What a worker gives up before it has a thread or a secret: core dumps, being traced or read through /proc, gaining
 * privileges, files it has no business with (Landlock), system calls nobody here makes (seccomp). */

#include "common/error.h"

typedef struct Sandbox {
        int landlock;  /* ABI in force; 0: none */
        bool seccomp;
} Sandbox;

typedef struct SandboxPaths {
        const char *runtime_dir;    /* may be written */
        const char *const *files;   /* read too: what the settings name; NULL-terminated, or NULL */
} SandboxPaths;

/* mode: "auto" takes what the system has, "required" fails where something is missing, "off" leaves Landlock and seccomp
 * out. Must be called before the first thread. ret tells what is in force. */
int sandbox_enter(const char *mode, const SandboxPaths *paths, Sandbox *ret, Error *reterr);
/* RLIMIT_NOFILE, lowered or raised up to the hard limit. Returns what holds, or negative errno. */
int64_t sandbox_limit_files(int64_t n);
