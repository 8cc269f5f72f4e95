/* http */

#include "common/http.h"
