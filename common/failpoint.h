#pragma once

/* Failpoints: places where a test kills the process. Compiled in by -Dtesting=true only; otherwise nothing.
 *
 * Each client call has three: before, sent (but unanswered), after; named "<task>:<client>.<call>:<phase>" with a
 * counter of how often that name was passed in this process, e.g. "market_updater:postgres.update_markets:sent#1".
 *   ROUNDTABLE_FAILPOINT_RECORD=FILE   appends each passed point as a line (O_APPEND)
 *   ROUNDTABLE_FAILPOINT_KILL=POINT    raise(SIGKILL) when that point is passed, if the file
 *                                      ROUNDTABLE_FAILPOINT_ONCE (when set) could be created, so that it fires once
 * Thread-safe. The task's name is thread-local, set by the executor. */

void failpoint_set_task(const char *task);
#ifdef ROUNDTABLE_TESTING
void failpoint_hit(const char *client, const char *call, const char *phase);
#define FAILPOINT(client, call, phase) failpoint_hit(client, call, phase)
#else
#define FAILPOINT(client, call, phase) ((void) (client), (void) (call), (void) (phase))
#endif
