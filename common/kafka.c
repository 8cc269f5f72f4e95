/* kafka */

#include "common/kafka.h"
