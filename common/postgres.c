/* postgres */

#include "common/postgres.h"
