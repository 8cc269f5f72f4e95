/* Host names to addresses, in a thread of their own: getaddrinfo can block longer than a lock lives. */

#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>

#include "common/clock.h"
#include "common/postgres_internal.h"

typedef struct Lookup {
        char *host;
        int result; /* getaddrinfo's; valid when the helper is done */
        struct addrinfo *list;
} Lookup;

static void lookup_run(void *data) {
        const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
        Lookup *l = data;

        l->result = getaddrinfo(l->host, NULL, &hints, &l->list);
}

static void lookup_free(void *data) {
        Lookup *l = data;

        if (l->list)
                freeaddrinfo(l->list);
        free(l->host);
        free(l);
}

static int collect(const Lookup *l, size_t max, char **ret_addresses, size_t *ret_n) {
        size_t n = 0;

        for (const struct addrinfo *a = l->list; a && n < max; a = a->ai_next) {
                char text[NI_MAXHOST];

                if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
                        continue;
                ret_addresses[n] = strdup(text);
                if (!ret_addresses[n]) {
                        while (n > 0)
                                free(ret_addresses[--n]);
                        return -ENOMEM;
                }
                n++;
        }
        *ret_n = n;
        return 0;
}

static bool is_address(const char *host) {
        unsigned char unused[16];

        return inet_pton(AF_INET, host, unused) == 1 || inet_pton(AF_INET6, host, unused) == 1;
}

int pg_resolve(const PgTarget *target, const PgWait *wait, size_t max, char **ret_addresses, size_t *ret_n, Error *reterr) {
        _cleanup_(pg_helper_unrefp) PgHelper *helper = NULL;
        uint64_t now = clock_monotonic_usec();
        Lookup *l;
        int r;

        if (is_address(target->host)) {
                ret_addresses[0] = strdup(target->host);
                *ret_n = 1;
                return ret_addresses[0] ? 0 : -ENOMEM;
        }
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->host = strdup(target->host);
        if (!l->host) {
                free(l);
                return -ENOMEM;
        }
        r = pg_helper_start(lookup_run, lookup_free, l, &helper);
        if (r < 0)
                return error_set(reterr, ERROR_RETRY, r, "%s: no thread to resolve the host name: %s", target->label,
                                 strerror(-r));
        r = cancel_token_poll(wait->token, pg_helper_fd(helper), POLLIN,
                              wait->until_usec == USEC_INFINITY ? USEC_INFINITY
                              : wait->until_usec > now          ? wait->until_usec - now
                                                                : 0);
        if (r < 0)
                return r;
        if (r == 0) {
                r = error_set(reterr, ERROR_RETRY, -ETIME, "%s: the host name was not resolved in time", target->label);
                error_set_hint(reterr, "check the name servers (resolv.conf)");
                return r;
        }
        if (l->result == 0)
                r = collect(l, max, ret_addresses, ret_n);
        if (l->result == 0 && r < 0)
                return r;
        if (l->result != 0 || *ret_n == 0) {
                r = error_set(reterr, ERROR_RETRY, -EHOSTUNREACH, "%s: cannot resolve the host name: %s", target->label,
                              l->result != 0 ? gai_strerror(l->result) : "no address");
                error_set_hint(reterr, "check database.host (DB_HOSTNAME) and the name servers");
                return r;
        }
        return 0;
}
