/* Texts to values: units, ranges, and the original's rules for variables (ECMAScript's Number). Nothing here depends on
 * the locale. A secret's text is never quoted. */

#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "common/settings_internal.h"

typedef struct Unit {
        const char *name;
        int64_t factor;
} Unit;

static const Unit duration_units[] = {
        { "us", 1 },
        { "ms", 1000 },
        { "s", 1000000 },
        { "sec", 1000000 },
        { "m", INT64_C(60) * 1000000 },
        { "min", INT64_C(60) * 1000000 },
        { "h", INT64_C(3600) * 1000000 },
        { "d", INT64_C(86400) * 1000000 },
        { "w", INT64_C(7) * 86400 * 1000000 },
};
static const Unit size_units[] = {
        { "", 1 },
        { "B", 1 },
        { "KiB", INT64_C(1) << 10 },
        { "MiB", INT64_C(1) << 20 },
        { "GiB", INT64_C(1) << 30 },
        { "TiB", INT64_C(1) << 40 },
        { "kB", 1000 },
        { "MB", 1000000 },
        { "GB", 1000000000 },
};

void setting_value_done(SettingValue *v) {
        free(v->text);
        *v = (SettingValue){ 0 };
}

void setting_refusal_done(SettingRefusal *r) {
        free(r->text);
        free(r->hint);
        *r = (SettingRefusal){ 0 };
}

int setting_refuse(SettingRefusal *r, const char *hint, const char *format, ...) {
        va_list ap;

        setting_refusal_done(r);
        va_start(ap, format);
        r->text = str_vprintf(format, ap);
        va_end(ap);
        r->hint = hint ? strdup(hint) : NULL;
        if (!r->text || (hint && !r->hint))
                return -ENOMEM;
        return -EINVAL;
}

/* Quotes for an error text: short, printable, and nothing of a secret. */
static const char *quote(const SettingSpec *spec, const char *text, char *buf, size_t size) {
        size_t n = 0;

        if (spec->flags & SETTING_SECRET)
                return "the value (secret, not shown)";
        buf[n++] = '"';
        for (const char *p = text; *p && n < size - 5; p++)
                buf[n++] = (unsigned char) *p < 0x20 || *p == 0x7f ? '?' : *p;
        if (n >= size - 5) {
                memcpy(buf + n, "...", 3);
                n += 3;
        }
        buf[n++] = '"';
        buf[n] = '\0';
        return buf;
}

/* One or more "NUMBER [UNIT]", each with up to six decimals, summed. Exact: no floating point. */
static int parse_units(const char *text, const Unit *units, size_t n_units, int64_t *ret) {
        const char *p = text;
        __int128 total = 0;
        bool any = false;

        for (;;) {
                __int128 v = 0;
                int64_t scale = 1, factor = -1;
                const char *start;
                bool digits = false;

                while (isspace((unsigned char) *p))
                        p++;
                if (!*p)
                        break;
                for (; *p >= '0' && *p <= '9'; p++, digits = true) {
                        v = v * 10 + (*p - '0');
                        if (v > INT64_MAX)
                                return -ERANGE;
                }
                if (*p == '.')
                        for (p++; *p >= '0' && *p <= '9'; p++, digits = true) {
                                if (scale >= 1000000)
                                        return -EINVAL;
                                v = v * 10 + (*p - '0');
                                scale *= 10;
                        }
                if (!digits)
                        return -EINVAL;
                while (isspace((unsigned char) *p))
                        p++;
                for (start = p; isalpha((unsigned char) *p); p++)
                        ;
                for (size_t i = 0; i < n_units; i++)
                        if (strlen(units[i].name) == (size_t) (p - start) &&
                            strncmp(units[i].name, start, (size_t) (p - start)) == 0)
                                factor = units[i].factor;
                if (factor < 0)
                        return -EINVAL;
                if (v * factor % scale != 0)
                        return -EINVAL;
                total += v * factor / scale;
                if (total > INT64_MAX)
                        return -ERANGE;
                any = true;
        }
        if (!any)
                return -EINVAL;
        *ret = (int64_t) total;
        return 0;
}

bool setting_choice_valid(const char *choices, const char *text) {
        size_t length = strlen(text);

        for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
                if (length > 0 && strncmp(p, text, length) == 0 && (p[length] == '|' || p[length] == '\0'))
                        return !memchr(text, '|', length);
        return false;
}

static int check_url(const SettingSpec *spec, const char *text, SettingRefusal *refusal) {
        bool redis = str_eq(spec->name, "redis.url");
        const char *hint = redis ? "write redis://[user:]password@host[:port][/db] or unix:///path"
                                 : "write http://host or https://host";
        const char *sep = strstr(text, "://"), *host, *end, *colon;
        size_t scheme = sep ? (size_t) (sep - text) : 0;

        if (redis && text[0] == '/')
                return 0; /* the original takes a path without scheme for a socket */
        if (!sep)
                return setting_refuse(refusal, hint, "is not a URL: it has no scheme");
        for (const char *p = text; *p; p++)
                if ((unsigned char) *p <= 0x20 || *p == 0x7f)
                        return setting_refuse(refusal, hint, "is not a URL: it contains a space or control character");
        /* what is accepted here is what redis_url_parse() accepts: a worker could not start */
        if (redis && scheme == 4 && strncmp(text, "unix", 4) == 0)
                return sep[3] == '/' ? 0 : setting_refuse(refusal, hint, "names no socket");
        if (redis && scheme == 6 && strncmp(text, "rediss", 6) == 0)
                return setting_refuse(refusal, "put a local TLS proxy such as stunnel in front and name it by redis://",
                                      "asks for TLS, which is not supported");
        if (redis ? !(scheme == 5 && strncmp(text, "redis", 5) == 0)
                  : !((scheme == 4 && strncmp(text, "http", 4) == 0) ||
                      (scheme == 5 && strncmp(text, "https", 5) == 0)))
                return setting_refuse(refusal, hint, "has an unknown scheme");
        host = sep + 3;
        end = host + strcspn(host, "/?#");
        for (const char *p = host; p < end; p++)
                if (*p == '@')
                        host = p + 1;
        colon = NULL;
        for (const char *p = host; p < end; p++)
                colon = *p == ':' ? p : *p == ']' ? NULL : colon;
        if (host == end || colon == host)
                return setting_refuse(refusal, hint, "names no host");
        if (colon) {
                long port = 0;

                for (const char *p = colon + 1; p < end; p++)
                        port = *p < '0' || *p > '9' || port > 65535 ? 65536 : port * 10 + (*p - '0');
                if (port < 1 || port > 65535)
                        return setting_refuse(refusal, hint, "has a bad port");
        }
        return 0;
}

static int take_string(const SettingSpec *spec, const char *text, SettingValue *ret, SettingRefusal *refusal) {
        char buf[100];
        json_t *utf8;
        int r = 0;

        if (!*text && str_empty(spec->fallback) && spec->type != SETTING_ENUM)
                return 0; /* as with variables, empty means unset */
        if (!*text && spec->type != SETTING_ENUM)
                return setting_refuse(refusal, "leave the setting out for its default", "is empty");
        utf8 = json_string(text);
        if (!utf8)
                return setting_refuse(refusal, "write the file in UTF-8", "is not UTF-8");
        json_decref(utf8);
        if (spec->type == SETTING_ENUM && !setting_choice_valid(spec->choices, text)) {
                _cleanup_free_ char *hint = str_printf("one of %s", spec->choices);

                return hint ? setting_refuse(refusal, hint, "%s is not a possible value",
                                             quote(spec, text, buf, sizeof(buf)))
                            : -ENOMEM;
        }
        if (spec->type == SETTING_URL && *text)
                r = check_url(spec, text, refusal);
        if (r < 0)
                return r;
        ret->text = strdup(text);
        if (!ret->text)
                return -ENOMEM;
        ret->set = true;
        return 0;
}

int setting_parse_text(const SettingSpec *spec, const char *text, SettingValue *ret, SettingRefusal *refusal) {
        char buf[100];
        double d;
        int r;

        switch (spec->type) {
        case SETTING_BOOL:
                if (!str_eq(text, "true") && !str_eq(text, "false"))
                        return setting_refuse(refusal, "write true or false, without quotes", "%s is not a boolean",
                                              quote(spec, text, buf, sizeof(buf)));
                ret->integer = str_eq(text, "true");
                break;
        case SETTING_INT:
        case SETTING_NUMBER:
                d = settings_ecmascript_number(text);
                if (isnan(d) || (spec->type == SETTING_INT && (fabs(d) >= 9223372036854775808.0 || d != trunc(d))))
                        return setting_refuse(refusal, NULL, "%s is not %s", quote(spec, text, buf, sizeof(buf)),
                                              spec->type == SETTING_INT ? "an integer" : "a number");
                if (spec->type == SETTING_INT)
                        ret->integer = (int64_t) d;
                else
                        ret->number = d;
                break;
        case SETTING_DURATION:
                r = parse_units(text, duration_units, ELEMENTSOF(duration_units), &ret->integer);
                if (r < 0)
                        return setting_refuse(refusal,
                                              "a number and a unit: \"250 ms\", \"30 s\", \"2 min\", \"1 h\", \"30 d\"",
                                              "%s is not a duration", quote(spec, text, buf, sizeof(buf)));
                break;
        case SETTING_SIZE:
                r = parse_units(text, size_units, ELEMENTSOF(size_units), &ret->integer);
                if (r < 0)
                        return setting_refuse(refusal,
                                              "a number of bytes, or with a unit: \"64 KiB\", \"64 MiB\", \"1 GiB\"",
                                              "%s is not a size", quote(spec, text, buf, sizeof(buf)));
                break;
        default:
                return take_string(spec, text, ret, refusal);
        }
        ret->set = true;
        return 0;
}

int setting_check_range(const SettingSpec *spec, const SettingValue *v, SettingRefusal *refusal) {
        const char *const bounds[] = { spec->min, spec->max };

        if (!v->set || v->text)
                return 0;
        for (size_t i = 0; i < 2; i++) {
                SettingValue bound = { 0 };
                _cleanup_free_ char *hint = NULL;
                int r;

                if (!bounds[i])
                        continue;
                r = setting_parse_text(spec, bounds[i], &bound, refusal);
                if (r < 0)
                        return r;
                /* Written so that NaN is refused. */
                if (spec->type == SETTING_NUMBER ? (i == 0 ? v->number >= bound.number : v->number <= bound.number)
                                                 : (i == 0 ? v->integer >= bound.integer : v->integer <= bound.integer))
                        continue;
                hint = spec->min && spec->max ? str_printf("from %s to %s", spec->min, spec->max)
                                              : str_printf("%s %s", spec->min ? "at least" : "at most", bounds[i]);
                return hint ? setting_refuse(refusal, hint, "is %s", i == 0 ? "too small" : "too large") : -ENOMEM;
        }
        return 0;
}

int setting_parse_environment(const SettingSpec *spec, const char *text, SettingValue *ret, SettingRefusal *refusal) {
        double d;

        if (spec->type == SETTING_DURATION && spec->env_unit == SETTING_ENV_PLAIN)
                return setting_parse_text(spec, text, ret, refusal);
        if (spec->type == SETTING_BOOL && !str_eq(text, "true") && !str_eq(text, "false"))
                return setting_refuse(refusal, "exactly true or false, in lower case", "invalid boolean");
        if (spec->type != SETTING_INT && spec->type != SETTING_SIZE && spec->type != SETTING_DURATION)
                return setting_parse_text(spec, text, ret, refusal);
        d = settings_ecmascript_number(text);
        if (spec->type == SETTING_DURATION)
                d *= spec->env_unit == SETTING_ENV_MSEC ? 1000.0 : 1e6;
        if (!isfinite(d) || d != trunc(d) ||
            (spec->type == SETTING_DURATION && fmod(d, spec->env_unit == SETTING_ENV_MSEC ? 1000.0 : 1e6) != 0))
                return setting_refuse(refusal,
                                      spec->type != SETTING_DURATION ? "an integer, without separators or unit"
                                      : spec->env_unit == SETTING_ENV_MSEC
                                              ? "a whole number of milliseconds, without unit"
                                              : "a whole number of seconds, without unit",
                                      "invalid integer");
        if (fabs(d) >= 9223372036854775808.0)
                return setting_refuse(refusal, NULL, "is out of range");
        ret->integer = (int64_t) d;
        ret->set = true;
        return 0;
}
