/* Variables: the process environment, the environment file (NAME=value lines as systemd's EnvironmentFile= has them),
 * and the original's .env files. A variable found first wins even when it is empty, and an empty one counts as unset.
 */

#include <ctype.h>
#include <stdio.h>

#include "common/settings_internal.h"

enum { ENVIRONMENT_FILE_MAX = 1024 * 1024, VARIABLES_MAX = 20000 };

void environment_done(Environment *e) {
        for (size_t i = 0; i < e->n; i++) {
                free(e->items[i].name);
                free(e->items[i].value);
                free(e->items[i].file);
        }
        free(e->items);
        *e = (Environment){ 0 };
}

const EnvironmentVariable *environment_find(const Environment *e, const char *name) {
        for (size_t i = 0; i < e->n; i++)
                if (strcmp(e->items[i].name, name) == 0)
                        return &e->items[i];
        return NULL;
}

int environment_add(Environment *e, const char *name, size_t name_length, const char *value, const char *file,
                    int line) {
        EnvironmentVariable v = { .line = line }, *items;

        if (e->n >= VARIABLES_MAX)
                return 0;
        v.name = strndup(name, name_length);
        v.value = strdup(value);
        v.file = file ? strdup(file) : NULL;
        items = realloc(e->items, (e->n + 1) * sizeof(*items));
        if (items)
                e->items = items;
        if (!v.name || !v.value || (file && !v.file) || !items) {
                free(v.name);
                free(v.value);
                free(v.file);
                return -ENOMEM;
        }
        e->items[e->n++] = v;
        return 0;
}

int environment_add_list(Environment *e, const char *const *list) {
        for (const char *const *p = list; p && *p; p++) {
                const char *eq = strchr(*p, '=');
                int r;

                if (!eq || eq == *p)
                        continue;
                r = environment_add(e, *p, (size_t) (eq - *p), eq + 1, NULL, 0);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Within a file the last line of a name wins, among sources the first: items from `base` on are the file's own. */
static int add_of_file(Environment *e, size_t base, const char *name, size_t length, const char *value,
                       const char *file, int line) {
        for (size_t i = base; i < e->n; i++)
                if (strlen(e->items[i].name) == length && memcmp(e->items[i].name, name, length) == 0) {
                        char *copy = strdup(value);

                        if (!copy)
                                return -ENOMEM;
                        free(e->items[i].value);
                        e->items[i].value = copy;
                        e->items[i].line = line;
                        return 0;
                }
        return environment_add(e, name, length, value, file, line);
}

/* Reads a value as systemd does: parts in single or double quotes, backslashes, continuation by a backslash at the end
 * of the line. Returns false when a quote is not closed. Moves *p behind the value's last line. */
static bool read_value(const char **p, int *line, Buffer *value) {
        size_t keep = 0; /* what must not be stripped from the end */
        char quote = 0;
        const char *q = *p;

        for (; *q && (quote || *q != '\n'); q++) {
                if (!quote && (*q == '"' || *q == '\'')) {
                        quote = *q;
                        continue;
                }
                if (quote && *q == quote) {
                        quote = 0;
                        keep = value->length;
                        continue;
                }
                if (*q == '\\' && quote != '\'' && q[1]) {
                        q++;
                        if (*q == '\n') {
                                ++*line;
                                continue;
                        }
                        if (quote == '"' && !strchr("\"\\`$", *q))
                                (void) buffer_append(value, "\\", 1);
                        (void) buffer_append(value, q, 1);
                        keep = value->length;
                        continue;
                }
                *line += *q == '\n';
                (void) buffer_append(value, q, 1);
                if (quote)
                        keep = value->length;
        }
        while (value->length > keep && isspace((unsigned char) value->data[value->length - 1]))
                value->data[--value->length] = '\0';
        *p = q;
        return quote == 0;
}

static int parse_line(Environment *e, size_t base, const char **p, const char *path, int *line,
                      SettingsProblems *problems) {
        _cleanup_buffer_ Buffer value = { 0 };
        const char *name = *p, *end, *q;
        int first = *line;

        for (end = name; isalnum((unsigned char) *end) || *end == '_'; end++)
                ;
        for (q = end; *q == ' ' || *q == '\t'; q++)
                ;
        if (end == name || isdigit((unsigned char) *name) || *q != '=') {
                *p = q + strcspn(q, "\n");
                return settings_problem(problems, false, path, first, NULL, "write NAME=value; comments start with #",
                                        "is not an assignment");
        }
        q++;
        q += strspn(q, " \t");
        if (!read_value(&q, line, &value)) {
                _cleanup_free_ char *key = strndup(name, (size_t) (end - name));

                *p = q;
                return key ? settings_problem(problems, false, path, first, key, "close it with the same quote",
                                              "a quote is not closed")
                           : -ENOMEM;
        }
        *p = q;
        if (buffer_failed(&value))
                return -ENOMEM;
        return add_of_file(e, base, name, (size_t) (end - name), value.data ?: "", path, first);
}

int environment_add_file(Environment *e, const char *path, bool required, SettingsProblems *problems) {
        _cleanup_free_ char *text = NULL;
        size_t length, base = e->n;
        int line = 1, r;

        r = settings_read_file(path, ENVIRONMENT_FILE_MAX, &text, &length);
        if (r == -ENOENT && !required)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return settings_problem(problems, false, path, 0, NULL,
                                        "check environment_file, the path and its permissions",
                                        "cannot read the environment file: %s", strerror(-r));
        if (memchr(text, '\0', length))
                return settings_problem(problems, false, path, 0, NULL, "is it the right file?", "is not a text file");
        for (const char *p = text; *p;) {
                p += strspn(p, " \t\r");
                if (*p == '#' || *p == ';')
                        p += strcspn(p, "\n");
                if (*p && *p != '\n') {
                        r = parse_line(e, base, &p, path, &line, problems);
                        if (r < 0)
                                return r;
                }
                if (*p == '\n') {
                        p++;
                        line++;
                }
        }
        return 0;
}

/* The original's files: NAME = value, values in one pair of quotes or trimmed, \n expanded in double quotes, no
 * comments behind a value; other lines are ignored. */
static int add_dotenv(Environment *e, const char *path, SettingsProblems *problems) {
        _cleanup_free_ char *text = NULL;
        size_t length, base = e->n;
        int line = 0, r;
        char *rest, *p;

        r = settings_read_file(path, ENVIRONMENT_FILE_MAX, &text, &length);
        if (r == -ENOENT)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return settings_problem(problems, false, path, 0, NULL, "check the path and its permissions",
                                        "cannot read the file: %s", strerror(-r));
        for (rest = text; (p = strsep(&rest, "\n"));) {
                _cleanup_buffer_ Buffer value = { 0 };
                char *name, *end;
                size_t n;

                line++;
                name = p += strspn(p, " \t\r");
                while (isalnum((unsigned char) *p) || (*p && strchr("_.-", *p)))
                        p++;
                n = (size_t) (p - name);
                p += strspn(p, " \t");
                if (n == 0 || *p != '=')
                        continue;
                p++;
                p += strspn(p, " \t");
                for (end = p + strlen(p); end > p && isspace((unsigned char) end[-1]);)
                        *--end = '\0';
                if (end - p >= 2 && (*p == '"' || *p == '\'') && end[-1] == *p) {
                        bool expand = *p == '"';

                        end[-1] = '\0';
                        for (p++; *p; p++) {
                                bool newline = expand && p[0] == '\\' && p[1] == 'n';

                                (void) buffer_append(&value, newline ? "\n" : p, 1);
                                p += newline;
                        }
                } else
                        (void) buffer_append_string(&value, p);
                if (buffer_failed(&value))
                        return -ENOMEM;
                r = add_of_file(e, base, name, n, value.data ?: "", path, line);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_env_dir(Environment *e, const char *dir, const char *node_env, SettingsProblems *problems) {
        /* From high to low. What a file says about NODE_ENV does not change which files are read. */
        static const char *const formats[] = { "%s/.env.%s.local", "%s/.env.%s", "%s/.env.local", "%s/.env",
                                               "%s/.env.defaults" };

        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                _cleanup_free_ char *path = NULL;
                int r;

                if ((i < 2 && (!*node_env || strchr(node_env, '/'))) || (i == 2 && str_eq(node_env, "test")))
                        continue;
                path = i == 0   ? str_printf("%s/.env.%s.local", dir, node_env)
                       : i == 1 ? str_printf("%s/.env.%s", dir, node_env)
                                : str_printf("%s/%s", dir, formats[i] + 3);
                if (!path)
                        return -ENOMEM;
                r = add_dotenv(e, path, problems);
                if (r < 0)
                        return r;
        }
        return 0;
}

int environment_add_env_dir(Environment *e, const char *dir, SettingsProblems *problems) {
        const EnvironmentVariable *v = environment_find(e, "NODE_ENV");
        _cleanup_free_ char *node_env = strdup(v ? v->value : ""); /* adding moves the items */

        return node_env ? add_env_dir(e, dir, node_env, problems) : -ENOMEM;
}

int settings_env_dir_visit(const char *dir, const char *node_env, SettingsVariableVisitor visitor, void *userdata,
                           SettingsProblems *problems) {
        _cleanup_(environment_done) Environment e = { 0 };
        int r = add_env_dir(&e, dir, node_env ?: "", problems);

        /* the files come from high to low: the first item of a name is the one that counts */
        for (size_t i = 0; r >= 0 && i < e.n; i++)
                if (environment_find(&e, e.items[i].name) == &e.items[i])
                        visitor(e.items[i].name, e.items[i].value, e.items[i].file, e.items[i].line, userdata);
        return r;
}
