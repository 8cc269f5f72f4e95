/* failpoint */

#include "common/failpoint.h"
