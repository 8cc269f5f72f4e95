/* settings */

#include "common/settings.h"
