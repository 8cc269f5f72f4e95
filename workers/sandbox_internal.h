#pragma once

/* The two parts of the sandbox that a system may lack. */

#include "workers/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

/* Returns the ABI in force (> 0) or negative errno: -EOPNOTSUPP when the kernel has none. */
int sandbox_enter_landlock(const SandboxOptions *options);
/* 0 or negative errno. NO_NEW_PRIVS must be set. */
int sandbox_enter_seccomp(void);
