/* log */

#include "common/log.h"
