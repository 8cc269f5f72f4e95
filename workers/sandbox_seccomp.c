/* seccomp: a deny-list, because the libraries of the clients may need any of the other calls. A denied call fails with
 * EPERM; it does not kill, since a library that merely tries one must go on. */

#include <seccomp.h>

#include "workers/sandbox_internal.h"

static const int denied[] = {
/* With a sanitizer the leak checker traces its own process, and another program makes reports readable. */
#if !SANDBOX_SANITIZED
        SCMP_SYS(ptrace),
        SCMP_SYS(execve),
        SCMP_SYS(execveat),
#endif
        /* other processes */
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev),
        SCMP_SYS(pidfd_getfd),
        SCMP_SYS(kcmp),
        /* mounts and name spaces */
        SCMP_SYS(mount),
        SCMP_SYS(umount2),
        SCMP_SYS(mount_setattr),
        SCMP_SYS(move_mount),
        SCMP_SYS(open_tree),
        SCMP_SYS(fsopen),
        SCMP_SYS(fsconfig),
        SCMP_SYS(fsmount),
        SCMP_SYS(fspick),
        SCMP_SYS(pivot_root),
        SCMP_SYS(chroot),
        SCMP_SYS(unshare),
        SCMP_SYS(setns),
        SCMP_SYS(open_by_handle_at),
        /* the kernel and its programs */
        SCMP_SYS(bpf),
        SCMP_SYS(perf_event_open),
        SCMP_SYS(userfaultfd),
        SCMP_SYS(init_module),
        SCMP_SYS(finit_module),
        SCMP_SYS(delete_module),
        SCMP_SYS(kexec_load),
        SCMP_SYS(kexec_file_load),
        SCMP_SYS(reboot),
        SCMP_SYS(swapon),
        SCMP_SYS(swapoff),
        SCMP_SYS(acct),
        SCMP_SYS(quotactl),
        SCMP_SYS(syslog),
        SCMP_SYS(vhangup),
        SCMP_SYS(iopl),
        SCMP_SYS(ioperm),
        SCMP_SYS(modify_ldt),
        SCMP_SYS(personality),
        /* keys */
        SCMP_SYS(add_key),
        SCMP_SYS(keyctl),
        SCMP_SYS(request_key),
        /* the machine's clock and name */
        SCMP_SYS(settimeofday),
        SCMP_SYS(clock_settime),
        SCMP_SYS(clock_adjtime),
        SCMP_SYS(adjtimex),
        SCMP_SYS(sethostname),
        SCMP_SYS(setdomainname),
};

int sandbox_enter_seccomp(void) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        int r = filter ? 0 : -ENOMEM;

        for (size_t i = 0; i < ELEMENTSOF(denied) && r >= 0; i++)
                /* negative: this architecture has no such call */
                if (denied[i] >= 0)
                        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied[i], 0);
        if (r >= 0)
                r = seccomp_load(filter);
        if (filter)
                seccomp_release(filter);
        return r;
}
