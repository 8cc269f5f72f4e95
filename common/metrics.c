/* metrics */

#include "common/metrics.h"
