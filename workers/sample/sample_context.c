/* Settings and connections of roundtable-admin's sample and feed. */

#include <stdio.h>

#include "common/log.h"
#include "workers/registry.h"
#include "workers/sample/sample_internal.h"

int sample_load_settings(const char *conf_dir, Settings **ret) {
        SettingsSource source = settings_process_source(conf_dir, NULL);

        return settings_process_load(&source, family_manifests, false, ret);
}

int sample_connect(const Settings *settings, const char *name, SampleContext *s, Error *reterr) {
        int r;

        r = pg_conn_open(settings, PG_PRIMARY, name, s->token, &s->postgres, reterr);
        if (r < 0)
                return r;
        return redis_conn_new(settings_string(settings, "redis.url"), name, 0, NULL, NULL, &s->redis, reterr);
}

void sample_context_done(SampleContext *s) {
        s->redis = s->redis ? redis_conn_free(s->redis) : NULL;
        s->postgres = s->postgres ? pg_conn_free(s->postgres) : NULL;
}

int sample_query(SampleContext *s, const SqlStatement *statement, size_t n_params, const char *const *params,
                 PGresult **ret, Error *reterr) {
        return pg_query(s->postgres, statement, n_params, params, s->token, ret, reterr);
}

int sample_redis(SampleContext *s, const char *name, RedisPipeline *p, int type, Error *reterr) {
        int r;

        r = redis_execute(s->redis, name, p, s->token, reterr);
        for (size_t i = 0; r >= 0 && i < redis_pipeline_count(p); i++)
                r = redis_reply_check(redis_pipeline_reply(p, i), type, name, reterr);
        redis_pipeline_clear(p);
        return r;
}

/* Steele, Lea, Flood 2014. */
uint64_t sample_random(uint64_t *state) {
        uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
}
