#pragma once

/* Small language helpers every module uses: cleanup attributes, ownership hand-over, string building.
 * Nothing here knows a library other than libc. All functions are thread-safe. */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))
#define _warn_unused_ __attribute__((warn_unused_result))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))

#define USEC_PER_MSEC ((uint64_t) 1000)
#define USEC_PER_SEC ((uint64_t) 1000000)
#define USEC_INFINITY UINT64_MAX

/* Hands the pointer over and leaves NULL behind, so that the cleanup attribute does nothing. */
#define TAKE_PTR(p)                                                                                                    \
        ({                                                                                                             \
                __typeof__(p) *_pp = &(p);                                                                             \
                __typeof__(p) _v = *_pp;                                                                               \
                *_pp = NULL;                                                                                           \
                _v;                                                                                                    \
        })

/* Hands the descriptor over and leaves -EBADF behind. */
static inline int take_fd(int *fd) {
        int v = *fd;
        *fd = -EBADF;
        return v;
}

static inline int close_fd(int fd) {
        if (fd >= 0)
                (void) close(fd);
        return -EBADF;
}

static inline void free_p(void *p) {
        free(*(void **) p);
}

static inline void close_fd_p(int *fd) {
        *fd = close_fd(*fd);
}

#define _cleanup_free_ _cleanup_(free_p)
#define _cleanup_close_ _cleanup_(close_fd_p)

/* Defines `void func##p(type **p)` for _cleanup_: calls func on a non-NULL pointer. */
#define DEFINE_CLEANUP(type, func)                                                                                     \
        static inline void func##p(type **p) {                                                                         \
                if (*p)                                                                                                \
                        func(*p);                                                                                      \
        }

static inline bool str_eq(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}

/* A decimal integer of 32 bits and nothing else. 0, or -EINVAL and *ret is 0. */
int parse_int(const char *text, int *ret);
static inline bool str_empty(const char *s) {
        return !s || !*s;
}

/* Returns a newly allocated string, or NULL when out of memory. The caller frees. */
char *str_printf(const char *format, ...) _printf_(1, 2);
char *str_vprintf(const char *format, va_list ap) _printf_(1, 0);

/* Growing byte buffer, always NUL-terminated behind `length`. All-zero is an empty one; buffer_done() frees.
 * After a failed allocation every further append fails too and buffer_failed() stays true: check once. */
typedef struct Buffer {
        char *data;
        size_t length;
        size_t allocated;
        bool failed;
} Buffer;

int buffer_append(Buffer *b, const void *data, size_t length);
int buffer_append_string(Buffer *b, const char *s);
int buffer_printf(Buffer *b, const char *format, ...) _printf_(2, 3);
/* Removes the first `length` bytes. */
void buffer_consume(Buffer *b, size_t length);
void buffer_clear(Buffer *b);
void buffer_done(Buffer *b);
/* Hands the string over (never NULL unless an allocation failed) and leaves an empty buffer. */
char *buffer_take(Buffer *b);
static inline bool buffer_failed(const Buffer *b) {
        return b->failed;
}
#define _cleanup_buffer_ _cleanup_(buffer_done)
