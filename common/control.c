/* control */

#include "common/control.h"
