#pragma once

/* The rows every family shares. Family rows are in the manifests, task rows are made from TaskSpec by settings.c. */

#include "common/manifest.h"

/* Rows of roundtable.conf, by dotted name; ended by a NULL name. */
extern const SettingSpec settings_common_table[];
/* Rows under `worker` in roundtable.conf, each family's file may override them by the bare key ("worker." left out). */
extern const SettingSpec settings_worker_table[];
