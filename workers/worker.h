#pragma once

/* A family's worker: the event loop that decides when its tasks run. */

#include "workers/handover.h"

/* Until it is drained. Returns an exit code (worker_protocol.h); why it is not 0 was logged. */
int worker_run(const WorkerStart *start);
