/* What is said about settings: the list of problems, the nearest known name, and values as a person writes them. */

#include <stdio.h>

#include "common/settings_internal.h"

static void problem_done(SettingsProblem *i) {
        free(i->file);
        free(i->key);
        free(i->text);
        free(i->hint);
}

int settings_problem(SettingsProblems *p, bool warning, const char *file, int line, const char *key, const char *hint,
                     const char *format, ...) {
        SettingsProblem i = { .line = line, .warning = warning }, *items;
        va_list ap;

        if (p->n >= SETTINGS_PROBLEMS_MAX)
                return 0; /* garbage: nobody reads further. Warnings are fewer than rows, so an error is among them. */
        va_start(ap, format);
        i.text = str_vprintf(format, ap);
        va_end(ap);
        i.file = file ? strdup(file) : NULL;
        i.key = key ? strdup(key) : NULL;
        i.hint = hint ? strdup(hint) : NULL;
        items = realloc(p->items, (p->n + 1) * sizeof(*items));
        if (items)
                p->items = items;
        if (!items || !i.text || (file && !i.file) || (key && !i.key) || (hint && !i.hint)) {
                problem_done(&i);
                return -ENOMEM;
        }
        p->items[p->n++] = i;
        return 0;
}

int settings_row_problem(const SettingRow *row, SettingsProblems *p, bool warning, const char *hint, const char *format,
                         ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = str_vprintf(format, ap);
        va_end(ap);
        if (!text)
                return -ENOMEM;
        return settings_problem(p, warning,
                                row->file
                                        ?: row->env ? row->file ?: "environment"
                                                    : NULL,
                                row->line, row->env ?: row->name, hint, "%s", text);
}

void settings_problems_done(SettingsProblems *p) {
        for (size_t i = 0; i < p->n; i++)
                problem_done(&p->items[i]);
        free(p->items);
        *p = (SettingsProblems){ 0 };
}

char *settings_problems_format(const SettingsProblems *p) {
        _cleanup_buffer_ Buffer b = { 0 };

        for (size_t i = 0; i < p->n; i++) {
                const SettingsProblem *q = &p->items[i];

                if (q->file && q->line > 0)
                        (void) buffer_printf(&b, "%s:%d: ", q->file, q->line);
                else if (q->file)
                        (void) buffer_printf(&b, "%s: ", q->file);
                if (q->key)
                        (void) buffer_printf(&b, "%s: ", q->key);
                (void) buffer_printf(&b, "%s%s\n", q->warning ? "warning: " : "", q->text);
                if (q->hint)
                        (void) buffer_printf(&b, "  HINT: %s\n", q->hint);
        }
        return buffer_take(&b);
}

/* Levenshtein's distance, for names of up to 63 characters; longer ones are near to nothing. */
static size_t distance(const char *a, const char *b) {
        size_t row[64], n = strlen(b);

        if (n >= ELEMENTSOF(row) || strlen(a) >= ELEMENTSOF(row))
                return SIZE_MAX;
        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        size_t best = diagonal + (a[i - 1] != b[j - 1]);

                        diagonal = row[j];
                        best = best < row[j] + 1 ? best : row[j] + 1;
                        row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
                }
        }
        return row[n];
}

/* How long the first `parts` of a dotted name are. */
static size_t parts_length(const char *name, size_t parts) {
        const char *p = name;

        for (size_t i = 0; i < parts; i++) {
                p += strcspn(p, ".");
                if (!*p)
                        break;
                p += i + 1 < parts;
        }
        return (size_t) (p - name);
}

char *settings_nearest(const Settings *s, const FamilyManifest *family, const char *key) {
        size_t parts = 1, best = strlen(key) / 3 + 2, best_length = 0;
        const char *found = NULL;

        for (const char *p = key; *p; p++)
                parts += *p == '.';
        for (size_t i = 0; i < s->n; i++) {
                const SettingRow *row = s->rows[i];
                const char *name = row->spec->name;
                char start[64];
                size_t d;

                if (row->family != family)
                        continue;
                if (family && row->worker)
                        name += strlen("worker.");
                /* a group that is misspelt is compared with groups */
                (void) snprintf(start, sizeof(start), "%.*s", (int) parts_length(name, parts), name);
                d = distance(key, start);
                if (d < best) {
                        best = d;
                        found = name;
                        best_length = strlen(start);
                }
        }
        return found ? strndup(found, best_length) : NULL;
}

static char *format_units(int64_t v, bool size) {
        static const struct {
                int64_t factor;
                const char *name;
        } durations[] = { { INT64_C(86400000000), "d" },
                          { INT64_C(3600000000), "h" },
                          { 60000000, "min" },
                          { 1000000, "s" },
                          { 1000, "ms" },
                          { 1, "us" } },
          sizes[] = { { INT64_C(1) << 40, "TiB" },
                      { INT64_C(1) << 30, "GiB" },
                      { INT64_C(1) << 20, "MiB" },
                      { INT64_C(1) << 10, "KiB" } };

        for (size_t i = 0; size ? i < ELEMENTSOF(sizes) : i < ELEMENTSOF(durations); i++) {
                int64_t factor = size ? sizes[i].factor : durations[i].factor;

                if (v != 0 && v % factor == 0)
                        return str_printf("%lld %s", (long long) (v / factor),
                                          size ? sizes[i].name : durations[i].name);
        }
        return size ? str_printf("%lld", (long long) v) : strdup("0 s");
}

static char *mask_url(const char *url) {
        const char *sep = strstr(url, "://"), *at = NULL, *colon;
        const char *end = sep ? sep + 3 + strcspn(sep + 3, "/?#") : NULL;

        for (const char *p = sep ? sep + 3 : ""; sep && p < end; p++)
                if (*p == '@')
                        at = p;
        if (!sep)
                return url[0] == '/' ? strdup(url) : strdup("********");
        /* A password with a slash of its own moves the @ behind what looks like the end of the host. */
        if (!at)
                return strchr(end, '@') || strchr(url, '?') ? strdup("********") : strdup(url);
        colon = memchr(sep + 3, ':', (size_t) (at - sep - 3));
        return str_printf("%.*s********%s", (int) ((colon ? colon + 1 : sep + 3) - url), url,
                          strchr(at + 1, '@') ? "" : at);
}

char *settings_format_value(const Settings *s, const char *name, bool mask) {
        const SettingRow *row = settings_find(s, name);
        char buf[40];

        if (!row || !row->value.set)
                return strdup("");
        if (mask && (row->spec->flags & SETTING_SECRET) && row->spec->type != SETTING_URL)
                return strdup("********");
        switch (row->spec->type) {
        case SETTING_BOOL:
                return strdup(row->value.integer ? "true" : "false");
        case SETTING_INT:
                return str_printf("%lld", (long long) row->value.integer);
        case SETTING_DURATION:
                return format_units(row->value.integer, false);
        case SETTING_SIZE:
                return format_units(row->value.integer, true);
        case SETTING_NUMBER:
                for (int precision = 1; precision <= 17; precision++) {
                        (void) snprintf(buf, sizeof(buf), "%.*g", precision, row->value.number);
                        /* No setlocale in any program, but a host program may have called it. */
                        for (char *p = buf; *p; p++)
                                if (*p == ',')
                                        *p = '.';
                        if (settings_ecmascript_number(buf) == row->value.number)
                                break;
                }
                return strdup(buf);
        case SETTING_URL:
                return mask ? mask_url(row->value.text) : strdup(row->value.text);
        default:
                return strdup(row->value.text);
        }
}
