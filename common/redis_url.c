/* Redis addresses as the original writes them (runtime specification, section 9.1), plus unix:// and query options. */

#include <stdio.h>

#include "common/redis.h"

#define DEFAULT_PORT 6379

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes in place. */
static void unescape(char *s) {
        char *out = s;

        for (; *s; s++) {
                int high = *s == '%' ? hex_digit(s[1]) : -1, low = high >= 0 ? hex_digit(s[2]) : -1;

                if (low >= 0) {
                        *out++ = (char) (high * 16 + low);
                        s += 2;
                } else
                        *out++ = *s;
        }
        *out = '\0';
}

static int parse_number(const char *text, int min, int max, int *ret) {
        char *end;
        long v;

        if (*text < '0' || *text > '9')
                return -EINVAL;
        errno = 0;
        v = strtol(text, &end, 10);
        if (errno || *end || v < min || v > max)
                return -EINVAL;
        *ret = (int) v;
        return 0;
}

/* "?db=2&password=…" behind a path or an authority. Unknown options are ignored, as the original does. */
static int parse_query(char *query, RedisUrl *u, Error *reterr) {
        char *rest = NULL;

        for (char *word = strtok_r(query, "&", &rest); word; word = strtok_r(NULL, "&", &rest)) {
                if (strncmp(word, "db=", 3) == 0 && parse_number(word + 3, 0, 1023, &u->database) < 0)
                        return error_set(reterr, ERROR_NEVER, -EINVAL, "redis url: option db is not a number");
                if (strncmp(word, "password=", 9) == 0) {
                        unescape(word + 9);
                        free(u->password);
                        u->password = strdup(word + 9);
                        if (!u->password)
                                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
                }
        }
        return 0;
}

static int parse_path(char *path, RedisUrl *u, Error *reterr) {
        char *query = strchr(path, '?');

        if (query)
                *query++ = '\0';
        if (*path != '/')
                return error_set(reterr, ERROR_NEVER, -EINVAL,
                                 "redis url: the path of a unix socket must start with /");
        unescape(path);
        u->path = strdup(path);
        if (!u->path)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        return query ? parse_query(query, u, reterr) : 0;
}

static int parse_host(char *host, RedisUrl *u, Error *reterr) {
        char *port = NULL;

        if (*host == '[') { /* [::1]:6379 */
                char *end = strchr(host, ']');

                if (!end)
                        return error_set(reterr, ERROR_NEVER, -EINVAL, "redis url: missing ] behind an IPv6 address");
                *end = '\0';
                host++;
                if (end[1] == ':')
                        port = end + 2;
        } else {
                port = strchr(host, ':');
                if (port)
                        *port++ = '\0';
        }
        if (port && parse_number(port, 1, 65535, &u->port) < 0)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "redis url: the port is not a number from 1 to 65535");
        u->host = strdup(*host ? host : "localhost");
        return u->host ? 0 : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
}

/* user:password@: the user is ignored, as the original does; a password alone may stand without a colon before it. */
static int parse_credentials(char *credentials, RedisUrl *u, Error *reterr) {
        char *password = strchr(credentials, ':');

        if (!password)
                return 0;
        password++;
        unescape(password);
        if (!*password)
                return 0;
        u->password = strdup(password);
        return u->password ? 0 : error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
}

static int parse_authority(char *authority, RedisUrl *u, Error *reterr) {
        char *query = strchr(authority, '?'), *slash, *at;
        int r;

        if (query)
                *query++ = '\0';
        /* a password may hold a slash only when it is escaped, so the first one ends the authority */
        at = strrchr(authority, '@');
        slash = strchr(at ? at : authority, '/');
        if (slash) {
                *slash++ = '\0';
                if (*slash && parse_number(slash, 0, 1023, &u->database) < 0)
                        return error_set(reterr, ERROR_NEVER, -EINVAL, "redis url: the database is not a number");
        }
        if (at) {
                *at++ = '\0';
                r = parse_credentials(authority, u, reterr);
                if (r < 0)
                        return r;
        }
        r = parse_host(at ? at : authority, u, reterr);
        if (r < 0 || !query)
                return r;
        return parse_query(query, u, reterr);
}

int redis_url_parse(const char *url, RedisUrl *ret, Error *reterr) {
        RedisUrl u = { .port = DEFAULT_PORT };
        _cleanup_free_ char *copy = strdup(url);
        int r;

        if (!copy)
                return error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        if (strncmp(copy, "unix://", 7) == 0)
                r = parse_path(copy + 7, &u, reterr);
        else if (*copy == '/')
                r = parse_path(copy, &u, reterr);
        else if (strncmp(copy, "redis://", 8) == 0)
                r = parse_authority(copy + 8, &u, reterr);
        else if (strncmp(copy, "rediss://", 9) == 0) {
                r = error_set(reterr, ERROR_NEVER, -EPROTONOSUPPORT, "redis url: TLS (rediss://) is not supported");
                error_set_hint(reterr, "put a local TLS proxy such as stunnel in front and name it by redis://");
        } else {
                r = error_set(reterr, ERROR_NEVER, -EINVAL, "redis url: not redis://host[:port][/db] or unix:///path");
                error_set_hint(reterr, "write redis:// before host and port");
        }
        if (r >= 0) {
                u.display = u.path ? str_printf("unix://%s", u.path)
                                   : str_printf("redis://%s:%d/%d", u.host, u.port, u.database);
                if (!u.display)
                        r = error_set(reterr, ERROR_RETRY, -ENOMEM, "out of memory");
        }
        if (r < 0) {
                redis_url_done(&u);
                return r;
        }
        *ret = u;
        return 0;
}

void redis_url_done(RedisUrl *u) {
        free(u->host);
        free(u->path);
        if (u->password)
                explicit_bzero(u->password, strlen(u->password));
        free(u->password);
        free(u->display);
        *u = (RedisUrl){ 0 };
}
