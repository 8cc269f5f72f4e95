/* cancel */

#include "common/cancel.h"
