#pragma once

/* DogStatsD over UDP: one metric a datagram, no newline, names and tags as the original sends them (runtime
 * specification, section 7). Sending never blocks and never fails the caller; the host name is resolved by a thread of
 * its own every minute. Thread-safe. */

#include "common/error.h"
#include "common/settings.h"

typedef struct Metrics Metrics;

typedef struct MetricTag {
        const char *name;
        const char *value;
} MetricTag;

/* Reads statsd.host, statsd.port, node_env, service_name and $DD_ENTITY_ID, DD_ENV, DD_SERVICE, DD_VERSION (handed
 * over as settings `datadog.*`). NODE_ENV=test sends nothing. */
int metrics_new(const Settings *settings, Metrics **ret);
Metrics *metrics_free(Metrics *m);
DEFINE_CLEANUP(Metrics, metrics_free)

/* `name` without the "{S}." prefix; it is added here, to a name that begins with an underscore without the dot. A NULL
 * Metrics sends nothing. */
void metrics_count(Metrics *m, const char *name, int64_t value, const MetricTag *tags, size_t n_tags);
void metrics_gauge(Metrics *m, const char *name, double value, const MetricTag *tags, size_t n_tags);
/* Whole milliseconds. */
void metrics_timing(Metrics *m, const char *name, int64_t msec, const MetricTag *tags, size_t n_tags);
/* `name` is sent as it is: the original's only distribution, redis.connection_retries, has no service in front. */
void metrics_distribution(Metrics *m, const char *name, double value, const MetricTag *tags, size_t n_tags);
