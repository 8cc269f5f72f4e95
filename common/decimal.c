/* decimal */

#include "common/decimal.h"
