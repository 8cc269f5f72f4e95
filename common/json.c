/* json */

#include "common/json.h"
