/* clock */

#include "common/clock.h"
