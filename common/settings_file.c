/* libconfig files. The text is read by us, so that a directory or a device is a problem and not the end of the process,
 * and scanned before libconfig sees it. A setting of an included file is attributed to that file. */

#include <fcntl.h>
#include <libconfig.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/settings_internal.h"

/* libconfig compares every new name with all of its group: larger files would take minutes. */
enum { FILE_SIZE_MAX = 256 * 1024 };

typedef struct FileLoad {
        Settings *settings;
        const char *path;
        const FamilyManifest *family;
        SettingsProblems *problems;
} FileLoad;

int settings_read_file(const char *path, size_t limit, char **ret, size_t *ret_length) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_buffer_ Buffer b = { 0 };
        struct stat st;
        char chunk[8192];
        ssize_t n;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (b.length + (size_t) n > limit)
                        return -EFBIG;
                if (buffer_append(&b, chunk, (size_t) n) < 0)
                        return -ENOMEM;
        }
        *ret_length = b.length;
        *ret = buffer_take(&b);
        return *ret ? 0 : -ENOMEM;
}

static const char *type_name(int type) {
        switch (type) {
        case CONFIG_TYPE_GROUP:
                return "a group";
        case CONFIG_TYPE_INT:
        case CONFIG_TYPE_INT64:
                return "an integer";
        case CONFIG_TYPE_FLOAT:
                return "a float";
        case CONFIG_TYPE_STRING:
                return "a string";
        case CONFIG_TYPE_BOOL:
                return "a boolean";
        default:
                return "a list";
        }
}

static const char *type_hint(SettingType type) {
        switch (type) {
        case SETTING_BOOL:
                return "write true or false, without quotes";
        case SETTING_INT:
                return "write an integer, without quotes";
        case SETTING_NUMBER:
                return "write a number, without quotes";
        case SETTING_DURATION:
                return "write a number and a unit in quotes: \"250 ms\", \"30 s\", \"2 min\", \"1 h\"";
        case SETTING_SIZE:
                return "write a number of bytes, or a number and a unit in quotes: \"64 MiB\"";
        case SETTING_LIST:
                return "write strings in quotes: [\"a\", \"b\"]";
        default:
                return "write a string in quotes";
        }
}

/* An array or list of strings; kept as the original's variables have it, with commas. */
static int parse_list(const SettingSpec *spec, const config_setting_t *c, SettingValue *ret, SettingRefusal *refusal) {
        _cleanup_buffer_ Buffer b = { 0 };

        for (int i = 0; i < config_setting_length(c); i++) {
                const config_setting_t *item = config_setting_get_elem(c, (unsigned) i);
                const char *text =
                        config_setting_type(item) == CONFIG_TYPE_STRING ? config_setting_get_string(item) : NULL;

                if (!text)
                        return setting_refuse(refusal, type_hint(SETTING_LIST), "has an item that is %s",
                                              type_name(config_setting_type(item)));
                if (str_empty(text) || strchr(text, ','))
                        return setting_refuse(refusal, "write each item as a string of its own",
                                              "has an item that is empty or has a comma in it");
                (void) buffer_printf(&b, "%s%s", i > 0 ? "," : "", text);
        }
        if (buffer_failed(&b))
                return -ENOMEM;
        return b.length > 0 ? setting_parse_text(spec, b.data, ret, refusal) : 0; /* none: unset */
}

static int parse_setting(const SettingSpec *spec, const config_setting_t *c, SettingValue *ret,
                         SettingRefusal *refusal) {
        int type = config_setting_type(c);
        bool integer = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;

        if (spec->type == SETTING_BOOL && type == CONFIG_TYPE_BOOL)
                ret->integer = config_setting_get_bool(c) != 0;
        else if ((spec->type == SETTING_INT || spec->type == SETTING_SIZE) && integer)
                ret->integer = config_setting_get_int64(c);
        else if (spec->type == SETTING_NUMBER && integer)
                ret->number = (double) config_setting_get_int64(c);
        else if (spec->type == SETTING_NUMBER && type == CONFIG_TYPE_FLOAT)
                ret->number = config_setting_get_float(c);
        else if (spec->type == SETTING_LIST && (type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST))
                return parse_list(spec, c, ret, refusal);
        else if (type == CONFIG_TYPE_STRING && spec->type != SETTING_BOOL && spec->type != SETTING_INT &&
                 spec->type != SETTING_NUMBER)
                return setting_parse_text(spec, config_setting_get_string(c), ret, refusal);
        else
                return setting_refuse(refusal, type_hint(spec->type), "is %s, which is the wrong type",
                                      type_name(type));
        ret->set = true;
        return 0;
}

static int take_setting(FileLoad *l, SettingRow *row, const config_setting_t *c, const char *file, int line) {
        SettingValue v = { 0 };
        SettingRefusal refusal = { 0 };
        int r;

        r = parse_setting(row->spec, c, &v, &refusal);
        if (r >= 0)
                r = setting_check_range(row->spec, &v, &refusal);
        if (r >= 0)
                r = setting_row_assign(row, &v, file, line, NULL);
        else if (r == -EINVAL) {
                row->problem = true;
                r = settings_problem(l->problems, false, file, line, row->name, refusal.hint, "%s", refusal.text);
        }
        setting_value_done(&v);
        setting_refusal_done(&refusal);
        return r;
}

/* The row that a key means in this file: a family's file may also set worker rows by their bare key. */
static int find_row(const FileLoad *l, const char *key, SettingRow **ret, bool *ret_group) {
        *ret = NULL;
        *ret_group = false;
        for (int i = l->family ? 0 : 1; i < 2; i++) {
                _cleanup_free_ char *name = NULL;
                size_t length;

                name = !l->family ? strdup(key)
                       : i == 0   ? str_printf("%s.worker.%s", l->family->name, key)
                                  : str_printf("%s.%s", l->family->name, key);
                if (!name)
                        return -ENOMEM;
                length = strlen(name);
                for (size_t j = 0; j < l->settings->n; j++) {
                        SettingRow *row = l->settings->rows[j];

                        if (row->family != l->family)
                                continue;
                        if (strcmp(row->name, name) == 0) {
                                *ret = row;
                                return 0;
                        }
                        /* `worker = {…}` belongs in roundtable.conf only. */
                        if (strncmp(row->name, name, length) == 0 && row->name[length] == '.' &&
                            !(l->family && row->worker))
                                *ret_group = true;
                }
        }
        return 0;
}

static int unknown_key(FileLoad *l, const char *key, const char *file, int line) {
        /* no guesses about what nobody will read */
        _cleanup_free_ char *nearest = l->problems->n < SETTINGS_PROBLEMS_MAX
                                               ? settings_nearest(l->settings, l->family, key)
                                               : NULL,
                            *hint = NULL;

        hint = nearest ? str_printf("did you mean %s?", nearest) : strdup("roundtable.conf(5) lists all settings");
        return hint ? settings_problem(l->problems, false, file, line, key, hint, "unknown setting") : -ENOMEM;
}

static int walk_group(FileLoad *l, config_setting_t *group, const char *prefix, unsigned depth) {
        int n = config_setting_length(group);

        for (int i = 0; i < n; i++) {
                config_setting_t *c = config_setting_get_elem(group, (unsigned) i);
                const char *file = config_setting_source_file(c) ?: l->path;
                int line = (int) config_setting_source_line(c), r;
                _cleanup_free_ char *key = NULL;
                SettingRow *row;
                bool is_group;

                key = *prefix ? str_printf("%s.%s", prefix, config_setting_name(c)) : strdup(config_setting_name(c));
                if (!key)
                        return -ENOMEM;
                r = find_row(l, key, &row, &is_group);
                if (r < 0)
                        return r;
                if (row)
                        r = take_setting(l, row, c, file, line);
                else if (!is_group)
                        r = unknown_key(l, key, file, line);
                else if (config_setting_type(c) != CONFIG_TYPE_GROUP)
                        r = settings_problem(l->problems, false, file, line, key, "write it as name = { key = value; }",
                                             "is %s, not a group", type_name(config_setting_type(c)));
                else if (depth < 8)
                        r = walk_group(l, c, key, depth + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int syntax_problem(FileLoad *l, config_t *config) {
        const char *text = config_error_text(config) ?: "syntax error";

        return settings_problem(
                l->problems, false, config_error_file(config) ?: l->path, config_error_line(config), NULL,
                strstr(text, "duplicate")
                        ? "remove one of the lines that set it"
                        : "write name = value; groups are name = { … }; what follows this line was not checked",
                "%s", text);
}

int settings_file_load(Settings *s, const char *path, const FamilyManifest *family, bool required,
                       SettingsProblems *p) {
        FileLoad l = { s, path, family, p };
        _cleanup_free_ char *text = NULL, *dir = NULL;
        config_t config;
        size_t length = 0;
        bool ok = true;
        char *slash;
        int r;

        r = settings_read_file(path, FILE_SIZE_MAX, &text, &length);
        if (r == -ENOENT && !required)
                return 0;
        if (r == -ENOMEM)
                return r;
        if (r == -EFBIG)
                return settings_problem(p, false, path, 0, NULL, "is it the right file?", "is larger than 256 KiB");
        if (r < 0)
                return settings_problem(p, false, path, 0, NULL,
                                        r == -EACCES ? "make it readable for the user of the service"
                                                     : "check the path",
                                        "cannot read the file: %s", strerror(-r));
        dir = strdup(path);
        if (!dir)
                return -ENOMEM;
        slash = strrchr(dir, '/');
        if (slash && slash > dir)
                *slash = '\0';
        r = settings_scan(path, text, length, slash ? dir : NULL, 0, p, &ok);
        if (r < 0 || !ok)
                return r;
        config_init(&config);
        if (slash)
                config_set_include_dir(&config, dir);
        if (config_read_string(&config, text) == CONFIG_TRUE)
                r = walk_group(&l, config_root_setting(&config), "", 0);
        else
                r = syntax_problem(&l, &config);
        config_destroy(&config);
        return r;
}
