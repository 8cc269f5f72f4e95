/* Looks at a settings file before libconfig does, for what libconfig 1.5 does wrong: it wraps integers beyond 32 bits
 * silently, and it ends the process when an included path is a directory. Follows libconfig's lexer: comments (#, //,
 * C style), strings with backslashes, names, numbers, @include at the start of a line. */

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/settings_internal.h"

enum { INCLUDE_DEPTH_MAX = 8, INCLUDE_SIZE_MAX = 256 * 1024 };

typedef struct Scan {
        const char *path;
        const char *p, *end;
        int line;
        const char *include_dir;
        unsigned depth;
        SettingsProblems *problems;
        bool *ok;
} Scan;

/* libconfig takes the end of the file for the end of both, and says nothing about what it swallowed. */
static int unclosed(Scan *c, int line, const char *what) {
        *c->ok = false;
        return settings_problem(c->problems, false, c->path, line, NULL,
                                "close it; what follows this line was not checked", "a %s is not closed", what);
}

static int skip_comment(Scan *c) {
        int line = c->line;

        if (*c->p == '#' || c->p[1] == '/') {
                while (c->p < c->end && *c->p != '\n')
                        c->p++;
                return 0;
        }
        for (c->p += 2; c->p < c->end && !(c->p[0] == '*' && c->p[1] == '/'); c->p++)
                c->line += *c->p == '\n';
        if (c->p >= c->end)
                return unclosed(c, line, "comment");
        c->p += 2;
        return 0;
}

static int skip_string(Scan *c) {
        int line = c->line;

        for (c->p++; c->p < c->end && *c->p != '"'; c->p++) {
                if (*c->p == '\\' && c->p + 1 < c->end)
                        c->p++;
                c->line += *c->p == '\n';
        }
        if (c->p >= c->end)
                return unclosed(c, line, "string");
        c->p++;
        return 0;
}

static int scan_number(Scan *c) {
        const char *start = c->p, *digits;
        bool hex, wide;
        unsigned long long v;

        c->p += *c->p == '+' || *c->p == '-';
        hex = c->p[0] == '0' && (c->p[1] == 'x' || c->p[1] == 'X');
        digits = c->p += hex ? 2 : 0;
        while (hex ? isxdigit((unsigned char) *c->p) : isdigit((unsigned char) *c->p))
                c->p++;
        if (c->p == digits || (!hex && (*c->p == '.' || *c->p == 'e' || *c->p == 'E'))) {
                /* A float, or no number at all: nothing of it can wrap. */
                c->p += c->p == start;
                while (c->p < c->end && (isalnum((unsigned char) *c->p) || *c->p == '.' ||
                                         ((*c->p == '-' || *c->p == '+') && (c->p[-1] | 32) == 'e')))
                        c->p++;
                return 0;
        }
        errno = 0;
        v = strtoull(digits, NULL, hex ? 16 : 10);
        wide = *c->p == 'L';
        while (*c->p == 'L')
                c->p++;
        if (errno == 0 && (wide ? v <= (unsigned long long) INT64_MAX
                                : v <= (unsigned long long) INT32_MAX + (*start == '-' && !hex)))
                return 0;
        return settings_problem(c->problems, false, c->path, c->line, NULL,
                                wide ? "use a number below 2^63"
                                     : "append L to the number (as in 5000000000L), or write it with a unit in quotes",
                                wide ? "the integer does not fit into 64 bits"
                                     : "the integer does not fit into 32 bits and would be changed silently");
}

/* @include "path", relative to the directory of settings. */
static int scan_include(Scan *c) {
        _cleanup_free_ char *name = NULL, *path = NULL, *text = NULL;
        const char *open, *close;
        size_t length;
        int r;

        open = memchr(c->p, '"', (size_t) (c->end - c->p));
        close = open ? memchr(open + 1, '"', (size_t) (c->end - open - 1)) : NULL;
        if (!close || memchr(c->p, '\n', (size_t) (close - c->p))) {
                c->p++;
                return 0; /* libconfig reports it */
        }
        name = strndup(open + 1, (size_t) (close - open - 1));
        if (!name)
                return -ENOMEM;
        c->p = close + 1;
        path = name[0] == '/' || !c->include_dir ? strdup(name) : str_printf("%s/%s", c->include_dir, name);
        if (!path)
                return -ENOMEM;
        if (c->depth >= INCLUDE_DEPTH_MAX) {
                *c->ok = false;
                return settings_problem(c->problems, false, c->path, c->line, "@include",
                                        "look for a file that includes itself", "files are included too deeply");
        }
        r = settings_read_file(path, INCLUDE_SIZE_MAX, &text, &length);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                *c->ok = false;
                return settings_problem(c->problems, false, c->path, c->line, "@include",
                                        "check the path and its permissions", "cannot read %s: %s", path, strerror(-r));
        }
        return settings_scan(path, text, length, c->include_dir, c->depth + 1, c->problems, c->ok);
}

int settings_scan(const char *path, const char *text, size_t length, const char *include_dir, unsigned depth,
                  SettingsProblems *p, bool *ret_ok) {
        Scan c = { path, text, text + length, 1, include_dir, depth, p, ret_ok };
        bool line_start = true;
        int r = 0;

        if (memchr(text, '\0', length)) {
                *ret_ok = false;
                return settings_problem(p, false, path, 0, NULL, "is it the right file?", "is not a text file");
        }
        while (r >= 0 && c.p < c.end) {
                char ch = *c.p;

                if (ch == '\n') {
                        c.line++;
                        c.p++;
                        line_start = true;
                        continue;
                }
                if (ch == '#' || (ch == '/' && (c.p[1] == '/' || c.p[1] == '*')))
                        r = skip_comment(&c);
                else if (ch == '"')
                        r = skip_string(&c);
                else if (line_start && ch == '@' && strncmp(c.p, "@include", 8) == 0)
                        r = scan_include(&c);
                else if (isalpha((unsigned char) ch) || ch == '*')
                        while (c.p < c.end && (isalnum((unsigned char) *c.p) || strchr("-_*", *c.p)))
                                c.p++;
                else if (isdigit((unsigned char) ch) || ch == '-' || ch == '+' || ch == '.')
                        r = scan_number(&c);
                else
                        c.p++;
                line_start = line_start && (ch == ' ' || ch == '\t');
        }
        return r;
}
