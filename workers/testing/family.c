/* The functions of the testing family's tasks. */

#include "workers/task.h"

extern const TaskBinding testing_tasks[];
const TaskBinding testing_tasks[] = {
        { NULL, NULL },
};
