/* What Kafka's settings must agree on, so that a mistake is told when settings are read and not by a producer later. */

#include <unistd.h>

#include "common/settings_internal.h"

static int check_brokers(const Settings *s, SettingsProblems *p) {
        const SettingRow *row = settings_find(s, "kafka.brokers");
        _cleanup_free_ char *copy = NULL;
        char *rest, *item;

        if (!row->value.text)
                return 0;
        copy = strdup(row->value.text);
        if (!copy)
                return -ENOMEM;
        for (rest = copy; (item = strsep(&rest, ","));) {
                char *colon = strrchr(item, ':'), *end = NULL;
                long port = colon ? strtol(colon + 1, &end, 10) : 9092;

                if (!*item || colon == item || strpbrk(item, " \t/") || (colon && (end == colon + 1 || *end)) ||
                    port < 1 || port > 65535)
                        return settings_row_problem(row, p, false, "write host:port[,host:port...], without spaces",
                                                    "is not a list of brokers");
        }
        return 0;
}

static bool is_set(const SettingRow *row) {
        return !str_empty(row->value.text);
}

/* What SASL needs when the protocol says SASL, and what would be silently ignored when it does not. */
static int check_sasl(const Settings *s, const SettingRow *protocol, SettingsProblems *p) {
        static const char *const names[] = { "kafka.sasl_mechanism", "kafka.sasl_username", "kafka.sasl_password" };
        bool sasl = strncmp(protocol->value.text, "SASL_", 5) == 0;
        const SettingRow *mechanism = settings_find(s, names[0]);
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++) {
                const SettingRow *row = settings_find(s, names[i]);

                if (row->problem || is_set(row) == sasl)
                        continue;
                if (sasl)
                        r = settings_row_problem(
                                protocol, p, false,
                                i == 2 ? "set kafka.sasl_password_file, or give the credential kafka.sasl_password"
                                       : "set it, as the brokers' operator says",
                                "is %s, and %s is not set", protocol->value.text, names[i]);
                else /* a mechanism alone lets nobody think that somebody logs in */
                        r = settings_row_problem(row, p, i == 0,
                                                 "set kafka.security_protocol to SASL_SSL, or leave this out",
                                                 "has no effect while kafka.security_protocol is %s: nobody logs in",
                                                 protocol->value.text);
        }
        if (r >= 0 && str_eq(protocol->value.text, "SASL_PLAINTEXT") && str_eq(mechanism->value.text, "PLAIN"))
                r = settings_row_problem(protocol, p, true, "use SASL_SSL, or a SCRAM mechanism",
                                         "with mechanism PLAIN the password crosses the network as it is");
        return r;
}

static int check_tls(const Settings *s, const SettingRow *protocol, SettingsProblems *p) {
        static const char *const names[] = { "kafka.ssl_ca_file", "kafka.ssl_certificate_file", "kafka.ssl_key_file" };
        bool tls = str_eq(protocol->value.text, "SSL") || str_eq(protocol->value.text, "SASL_SSL");
        const SettingRow *certificate = settings_find(s, names[1]), *key = settings_find(s, names[2]);
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(names); i++) {
                const SettingRow *row = settings_find(s, names[i]);

                if (row->problem || !is_set(row))
                        continue;
                if (!tls)
                        r = settings_row_problem(
                                row, p, false, "set kafka.security_protocol to SSL or SASL_SSL, or leave this out",
                                "has no effect while kafka.security_protocol is %s: nothing is encrypted",
                                protocol->value.text);
                else if (access(row->value.text, R_OK) < 0)
                        r = settings_row_problem(row, p, false, "make it readable for the user of the service",
                                                 "cannot read %s: %s", row->value.text, strerror(errno));
        }
        if (r >= 0 && tls && is_set(certificate) != is_set(key) && !certificate->problem && !key->problem)
                r = settings_row_problem(is_set(certificate) ? certificate : key, p, false,
                                         "set kafka.ssl_certificate_file and kafka.ssl_key_file, or neither",
                                         "a certificate and its key go together, and %s is not set",
                                         is_set(certificate) ? key->name : certificate->name);
        return r;
}

int settings_check_kafka(const Settings *s, SettingsProblems *p) {
        const SettingRow *protocol = settings_find(s, "kafka.security_protocol");
        int r = check_brokers(s, p);

        if (r >= 0 && !protocol->problem)
                r = check_sasl(s, protocol, p);
        if (r >= 0 && !protocol->problem)
                r = check_tls(s, protocol, p);
        return r;
}
