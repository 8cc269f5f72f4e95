#pragma once

/* SIGINT, SIGTERM and SIGHUP of a program without an event loop cancel a token; the second one ends the process. */

#include "common/cancel.h"

typedef struct RunSignals RunSignals;

/* Blocks the signals in the calling thread and those it makes from now on. */
int run_signals_new(CancelToken *token, RunSignals **ret);
RunSignals *run_signals_free(RunSignals *s);
DEFINE_CLEANUP(RunSignals, run_signals_free)
