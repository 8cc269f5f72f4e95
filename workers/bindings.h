#pragma once

/* Which function runs a task; linked only into the worker. */

#include "workers/task.h"

/* NULL when the family or task is unknown. */
TaskRun task_binding_find(const char *family, const char *task);
