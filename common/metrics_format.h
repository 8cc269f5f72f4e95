#pragma once

/* The bytes of one DogStatsD datagram; pure. */

#include "common/metrics.h"

/* Global and DD_* tags as they stand behind "|#": each NULL or empty one is left out (node_env prints as null). */
typedef struct MetricsTags {
        const char *node_env;
        const char *service_name;
        const char *entity_id;
        const char *env;
        const char *service;
        const char *version;
} MetricsTags;

/* whole: the service is not put in front of the name. */
int metrics_format(Buffer *b, const MetricsTags *globals, bool whole, const char *name, const char *value,
                   const char *type, const MetricTag *tags, size_t n_tags);

/* metrics_new() without Settings: strings are copied. */
int metrics_new_for(const char *host, uint16_t port, const MetricsTags *globals, Metrics **ret);
