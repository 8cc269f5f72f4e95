/* The five values of a market. Divisions round to 20 places half away from zero, which PostgreSQL's do not: what
 * divides is computed here, what only sums is summed by the server (market specification, sections 2 and 9.3). */

#include "common/decimal.h"
#include "workers/market/market_statistics.h"

static int parse(Decimal *d, const char *text, size_t length, const char *what, Error *reterr) {
        int r = decimal_parse_n(d, text, length);

        if (r < 0)
                return error_set(reterr, ERROR_NEVER, r, "%s is not a decimal number: \"%.*s\"%s", what,
                                 (int) (length < 60 ? length : 60), text, length < 60 ? "" : "…");
        return 0;
}

static int format(const Decimal *d, char **ret) {
        char *text = decimal_to_fixed(d);

        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

static int copy(const char *text, char **ret) {
        char *copied = strdup(text);

        if (!copied)
                return -ENOMEM;
        *ret = copied;
        return 0;
}

int market_compute_price_change(const char *latest, const char *day_ago, char **ret, Error *reterr) {
        _cleanup_decimal_ Decimal a = DECIMAL_INIT, b = DECIMAL_INIT;
        int r;

        if (!latest || !day_ago) {
                *ret = NULL;
                return 0;
        }
        r = parse(&a, latest, strlen(latest), "the latest oracle price", reterr);
        if (r < 0)
                return r;
        r = parse(&b, day_ago, strlen(day_ago), "the oracle price of 24 hours ago", reterr);
        if (r < 0)
                return r;
        r = decimal_sub(&a, &a, &b);
        if (r < 0)
                return error_set(reterr, ERROR_NEVER, r, "the difference of the oracle prices is too long");
        return format(&a, ret);
}

int market_compute_sum(const char *sum, char **ret, Error *reterr) {
        if (!sum)
                return copy("0", ret);
        if (strspn(sum, "-.0123456789") != strlen(sum) || !*sum)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "the sum is \"%.60s\"", sum);
        return copy(sum, ret);
}

int market_compute_trades(const char *count, char **ret, Error *reterr) {
        char *end;
        long long n;

        if (!count)
                return copy("0", ret);
        errno = 0;
        n = strtoll(count, &end, 10);
        if (end == count || *end)
                return error_set(reterr, ERROR_NEVER, -EINVAL, "the number of trades is \"%.60s\"", count);
        if (errno == ERANGE || n < 0 || n > INT32_MAX)
                return error_set(reterr, ERROR_NEVER, -ERANGE, "%.60s trades are more than column trades24H can hold",
                                 count);
        return copy(count, ret);
}

int market_compute_funding_rate(size_t n, const char *const *samples, const size_t *lengths, const char *default_rate,
                                char **ret, Error *reterr) {
        _cleanup_decimal_ Decimal sum = DECIMAL_INIT, value = DECIMAL_INIT;
        int r;

        if (n == 0) {
                *ret = NULL;
                return 0;
        }
        decimal_set_int(&sum, 0);
        for (size_t i = 0; i < n; i++) {
                r = parse(&value, samples[i], lengths[i], "a funding sample", reterr);
                if (r < 0)
                        return r;
                r = decimal_add(&sum, &sum, &value);
                if (r < 0)
                        return error_set(reterr, ERROR_NEVER, r, "the sum of the funding samples is too long");
        }
        decimal_set_int(&value, (int64_t) n);
        r = decimal_div(&sum, &sum, &value, DECIMAL_DIVISION_PLACES);
        if (r < 0)
                return error_set(reterr, ERROR_NEVER, r, "the average of the funding samples cannot be computed");
        if (default_rate) {
                r = parse(&value, default_rate, strlen(default_rate), "defaultFundingRate1H", reterr);
                if (r < 0)
                        return r;
                r = decimal_add(&sum, &sum, &value);
                if (r < 0)
                        return error_set(reterr, ERROR_NEVER, r, "the funding rate is too long");
        }
        return format(&sum, ret);
}
