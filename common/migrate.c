/* migrate */

#include "common/migrate.h"
