/* redis */

#include "common/redis.h"
