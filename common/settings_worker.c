/* Settings on their way from the supervisor to a worker. Origins stay behind: they change with every comment that is
 * added to a file, and equal documents mean that the worker is not restarted. */

#include "common/settings_internal.h"

static bool is_given(const SettingRow *row, const FamilyManifest *manifest) {
        if (row->family != manifest && row->family)
                return false;
        if (row->worker && !row->family)
                return false; /* the family's own rows hold what is in force */
        if (row->spec->flags & SETTING_SUPERVISOR)
                return false;
        if (!(row->spec->flags & SETTING_SECRET))
                return true;
        for (const char *const *n = manifest->secrets; n && *n; n++)
                if (strcmp(*n, row->name) == 0)
                        return true;
        return false;
}

static json_t *value_to_json(const SettingRow *row) {
        if (!row->value.set)
                return json_null();
        if (row->value.text)
                return json_string(row->value.text); /* valid UTF-8, or it had been refused */
        if (row->spec->type == SETTING_BOOL)
                return json_boolean(row->value.integer);
        if (row->spec->type == SETTING_NUMBER)
                return json_real(row->value.number);
        return json_integer(row->value.integer);
}

json_t *settings_to_worker_json(const Settings *s, const FamilyManifest *manifest) {
        json_t *document, *values = json_object();

        for (size_t i = 0; values && i < s->n; i++)
                if (is_given(s->rows[i], manifest) &&
                    json_object_set_new(values, s->rows[i]->name, value_to_json(s->rows[i])) < 0) {
                        json_decref(values);
                        return NULL;
                }
        if (!values)
                return NULL;
        document = json_pack("{s:s, s:o}", "family", manifest->name, "values", values);
        return document;
}

const char **settings_worker_paths(const Settings *s, const FamilyManifest *manifest) {
        const char **paths = calloc(s->n + 1, sizeof *paths);
        size_t n = 0;

        for (size_t i = 0; paths && i < s->n; i++)
                if (s->rows[i]->spec->type == SETTING_PATH && is_given(s->rows[i], manifest) &&
                    !str_empty(s->rows[i]->value.text))
                        paths[n++] = s->rows[i]->value.text;
        return paths;
}

static int value_from_json(SettingRow *row, const json_t *j, Error *reterr) {
        SettingValue v = { .set = true };
        SettingType type = row->spec->type;
        int r;

        if (json_is_null(j))
                v.set = false;
        else if (type == SETTING_BOOL && json_is_boolean(j))
                v.integer = json_is_true(j);
        else if (type == SETTING_NUMBER && json_is_number(j))
                v.number = json_number_value(j);
        else if ((type == SETTING_INT || type == SETTING_SIZE || type == SETTING_DURATION) && json_is_integer(j))
                v.integer = json_integer_value(j);
        else if ((type == SETTING_STRING || type >= SETTING_URL) && json_is_string(j)) {
                v.text = strdup(json_string_value(j));
                if (!v.text)
                        return error_set(reterr, ERROR_NEVER, -ENOMEM, "out of memory");
        } else
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "setting %s has the wrong type", row->name);
        r = setting_row_assign(row, &v, "supervisor", 0, NULL);
        setting_value_done(&v);
        return r < 0 ? error_set(reterr, ERROR_NEVER, r, "out of memory") : 0;
}

int settings_from_worker_json(const json_t *document, const FamilyManifest *manifest, Settings **ret, Error *reterr) {
        const FamilyManifest *const manifests[] = { manifest, NULL };
        _cleanup_settings_ Settings *s = NULL;
        const json_t *values = json_object_get(document, "values");
        int r;

        if (!str_eq(json_string_value(json_object_get(document, "family")), manifest->name) || !json_is_object(values))
                return error_set(reterr, ERROR_NEVER, -EBADMSG, "the settings are not those of family %s",
                                 manifest->name);
        r = settings_new(manifests, &s);
        if (r < 0)
                return error_set(reterr, ERROR_NEVER, r, "out of memory");
        for (size_t i = 0; i < s->n; i++) {
                SettingRow *row = s->rows[i];
                const json_t *j = json_object_get(values, row->name);

                if (j)
                        r = value_from_json(row, j, reterr);
                else if (is_given(row, manifest))
                        r = error_set(reterr, ERROR_NEVER, -EBADMSG, "setting %s is missing", row->name);
                else if (row->spec->flags & SETTING_SECRET)
                        setting_value_done(&row->value); /* no default in place of a secret that was withheld */
                if (r < 0)
                        return r;
        }
        for (void *i = json_object_iter((json_t *) values); i; i = json_object_iter_next((json_t *) values, i))
                if (!settings_find(s, json_object_iter_key(i)))
                        return error_set(reterr, ERROR_NEVER, -EBADMSG, "setting %s is unknown to this worker",
                                         json_object_iter_key(i));
        *ret = TAKE_PTR(s);
        return 0;
}
