#pragma once

/* One worker of a family per runtime directory: a file that is locked for the life of the process. */

#include "common/error.h"

/* The locked descriptor. -EBUSY, naming the holder, when another worker of the family runs. */
int worker_lock_file_open(const char *runtime_dir, const char *family, Error *reterr);
