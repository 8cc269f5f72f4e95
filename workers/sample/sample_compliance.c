/* Sample data of the compliance family: referrals, what screening has found, tokens, and checkpoints of the
 * accumulations. User names are left to their task. */

#include "sql/statements.h"
#include "workers/sample/sample_internal.h"

static int fill(SampleContext *s, Error *reterr) {
        const char *params[] = { s->now, s->seed_text };

        return sample_query(s, &sql_sample_compliance, ELEMENTSOF(params), params, NULL, reterr);
}

static const SamplePart parts[] = {
        { "compliance", fill },
        { NULL, NULL },
};

const SampleFamily sample_compliance = {
        .name = "compliance",
        .parts = parts,
};
