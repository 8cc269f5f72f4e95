/* `roundtable-admin sample`: deterministic data for a database that has none. PostgreSQL is filled in one transaction
 * by a handful of statements that generate rows on the server, so that scale 1 takes seconds and a failure leaves
 * nothing. */

#include <getopt.h>
#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "sql/statements.h"
#include "workers/sample/sample.h"
#include "workers/sample/sample_internal.h"
#include "workers/worker_protocol.h"

#define SAMPLE(family) extern const SampleFamily sample_##family;
#include "workers/sample/families.def"
#undef SAMPLE

const SampleFamily *const sample_families[] = {
#define SAMPLE(family) &sample_##family,
#include "workers/sample/families.def"
#undef SAMPLE
        NULL,
};

/* What scale 1 is. A fifth of the positions is closed, and a trade is two fills. */
static const struct SamplePreset {
        const char *name;
        size_t markets, subaccounts, positions, trades;
} presets[] = {
        { "default", 50, 1000, 5000, 100000 },
        /* the size of the exchange this is made for: 100,000 open positions, 2,000,000 fills in 25 hours */
        { "mainnet", 250, 65000, 125000, 1000000 },
};

typedef struct SampleOptions {
        const char *conf_dir;
        const struct SamplePreset *preset;
        double scale;
        long markets; /* 0: the preset's */
        long levels;
        uint64_t seed;
        bool replace;
} SampleOptions;

static int usage(void) {
        fprintf(stderr, "usage: sample [--conf DIR] [--preset default|mainnet] [--scale 0.01..1000] [--markets "
                        "1..10000] [--levels 0..900] "
                        "[--seed N] [--replace]\n");
        return EXIT_CODE_USAGE;
}

static const struct SamplePreset *find_preset(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(presets); i++)
                if (str_eq(presets[i].name, name))
                        return presets + i;
        return NULL;
}

static int parse_options(int argc, char **argv, SampleOptions *o) {
        static const struct option options[] = {
                { "conf", required_argument, NULL, 'c' },   { "preset", required_argument, NULL, 'p' },
                { "scale", required_argument, NULL, 's' },  { "markets", required_argument, NULL, 'm' },
                { "seed", required_argument, NULL, 'e' },   { "replace", no_argument, NULL, 'r' },
                { "levels", required_argument, NULL, 'l' }, { NULL, 0, NULL, 0 },
        };
        char *end = NULL;
        int c;

        optind = 1;
        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
                end = NULL;
                switch (c) {
                case 'c':
                        o->conf_dir = optarg;
                        break;
                case 'p':
                        o->preset = find_preset(optarg);
                        break;
                case 's':
                        o->scale = str_eq(optarg, "small") ? 0.02 : strtod(optarg, &end);
                        break;
                case 'm':
                        o->markets = strtol(optarg, &end, 10);
                        break;
                case 'l':
                        o->levels = strtol(optarg, &end, 10);
                        break;
                case 'e':
                        o->seed = strtoull(optarg, &end, 10);
                        break;
                case 'r':
                        o->replace = true;
                        break;
                default:
                        return -EINVAL;
                }
                if (end && (end == optarg || *end))
                        return -EINVAL;
        }
        if (optind != argc || !o->preset || !isfinite(o->scale) || o->scale < 0.01 || o->scale > 1000 ||
            o->markets < 0 || o->markets > 10000 || o->levels < 0 || o->levels > 900)
                return -EINVAL;
        return 0;
}

static size_t scaled(size_t n, double scale) {
        return (size_t) llround((double) n * scale);
}

static void set_size(SampleContext *s, const SampleOptions *o) {
        s->n_markets = o->markets > 0 ? (size_t) o->markets : o->preset->markets;
        s->n_levels = (size_t) o->levels;
        s->n_subaccounts = scaled(o->preset->subaccounts, o->scale);
        s->n_positions = scaled(o->preset->positions, o->scale);
        s->n_trades = scaled(o->preset->trades, o->scale);
        s->seed = o->seed >> 1; /* bigint has no sign to spare */
        s->now_usec = clock_realtime_usec();
        (void) format_iso_msec(s->now_usec, s->now);
        (void) snprintf(s->seed_text, sizeof(s->seed_text), "%llu", (unsigned long long) s->seed);
        (void) snprintf(s->markets_text, sizeof(s->markets_text), "%zu", s->n_markets);
        (void) snprintf(s->subaccounts_text, sizeof(s->subaccounts_text), "%zu", s->n_subaccounts);
        (void) snprintf(s->positions_text, sizeof(s->positions_text), "%zu", s->n_positions);
        (void) snprintf(s->trades_text, sizeof(s->trades_text), "%zu", s->n_trades);
}

static int make_room(SampleContext *s, bool replace, Error *reterr) {
        _cleanup_pg_result_ PGresult *empty = NULL;
        int r;

        if (replace)
                return sample_query(s, &sql_sample_clear, 0, NULL, NULL, reterr);
        r = sample_query(s, &sql_sample_is_empty, 0, NULL, &empty, reterr);
        if (r < 0)
                return r;
        if (str_eq(PQgetvalue(empty, 0, 0), "t"))
                return 0;
        r = error_set(reterr, ERROR_NEVER, -EEXIST,
                      "the database is not empty; sample data is not mixed with other data");
        error_set_hint(reterr, "--replace empties its tables first, which cannot be undone");
        return r;
}

static void print_time(const char *family, const char *part, uint64_t start) {
        char took[64];

        printf("  %-12s %-18s %s\n", family, part, format_duration(clock_monotonic_usec() - start, took, sizeof(took)));
}

static int fill_parts(SampleContext *s, const char *family, const SamplePart *parts, Error *reterr) {
        for (const SamplePart *p = parts; p && p->name; p++) {
                uint64_t start = clock_monotonic_usec();
                int r = p->fill(s, reterr);

                if (r < 0) {
                        error_prefix(reterr, "%s, %s", family, p->name);
                        return r;
                }
                print_time(family, p->name, start);
        }
        return 0;
}

/* All families' rows, without indexes until the end. */
static int fill_tables(SampleContext *s, Error *reterr) {
        _cleanup_free_ char *indexes = NULL;
        uint64_t start;
        int r;

        r = sample_indexes_drop(s, &indexes, reterr);
        for (const SampleFamily *const *f = sample_families; r >= 0 && *f; f++)
                r = fill_parts(s, (*f)->name, (*f)->parts, reterr);
        if (r < 0 || !indexes)
                return r;
        start = clock_monotonic_usec();
        r = pg_script(s->postgres, "create_indexes", indexes, s->token, reterr);
        if (r >= 0)
                print_time("all", "indexes", start);
        return r;
}

static int fill(SampleContext *s, bool replace, Error *reterr) {
        int r;

        r = pg_begin(s->postgres, s->token, reterr);
        if (r < 0)
                return r;
        r = sample_query(s, &sql_sample_trust, 0, NULL, NULL, reterr);
        if (r >= 0)
                r = make_room(s, replace, reterr);
        if (r >= 0)
                r = fill_tables(s, reterr);
        if (r >= 0)
                r = pg_commit(s->postgres, s->token, reterr);
        if (r < 0) {
                pg_rollback(s->postgres);
                return r;
        }
        /* these have no part in the transaction */
        for (const SampleFamily *const *f = sample_families; *f; f++) {
                r = fill_parts(s, (*f)->name, (*f)->outside_parts, reterr);
                if (r < 0)
                        return r;
        }
        /* the planner must know the new sizes before the first task runs */
        return sample_query(s, &sql_sample_analyze, 0, NULL, NULL, reterr);
}

int sample_run(int argc, char **argv) {
        SampleOptions options = { .preset = presets, .scale = 1, .levels = 200, .seed = 20260305 };
        _cleanup_(sample_context_done) SampleContext s = { 0 };
        _cleanup_settings_ Settings *settings = NULL;
        _cleanup_error_ Error e = ERROR_INIT;
        int r;

        if (parse_options(argc, argv, &options) < 0)
                return usage();
        r = sample_load_settings(options.conf_dir, &settings);
        if (r < 0)
                return r == -EBADMSG ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
        set_size(&s, &options);
        printf("sample: %zu markets, %zu subaccounts, %zu fills over 25 hours (seed %llu)\n", s.n_markets,
               s.n_subaccounts, 2 * s.n_trades, (unsigned long long) options.seed);
        r = sample_connect(settings, "roundtable/admin/sample", &s, &e);
        if (r >= 0)
                r = fill(&s, options.replace, &e);
        if (r >= 0)
                return EXIT_CODE_OK;
        fprintf(stderr, "sample: %s\n", error_text(&e));
        if (e.hint)
                fprintf(stderr, "HINT: %s\n", e.hint);
        return EXIT_CODE_FAILED;
}
