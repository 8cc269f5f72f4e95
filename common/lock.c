/* lock */

#include "common/lock.h"
