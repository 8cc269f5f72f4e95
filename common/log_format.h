#pragma once

/* How one record is laid out for each back end. Pure: no descriptor, no clock, no global. */

#include <sys/uio.h>

#include "common/log.h"

#define LOG_MAX_FIELDS 64 /* of one journal record, ours included; more are dropped with a field FIELDS_CUT */

typedef struct LogRecord {
        LogLevel level;
        const char *message_id; /* this and the next may be NULL */
        const char *at;
        const char *message;
        const LogField *fields;
        size_t n_fields;
        const char *identifier;
        const char *family;
        const char *worker;
        uint64_t usec; /* realtime */
} LogRecord;

/* Each returns false when out of memory. Lines end with a newline. */
bool log_format_json(const LogRecord *record, Buffer *b);
bool log_format_console(const LogRecord *record, bool colour, Buffer *b);
/* iov has LOG_MAX_FIELDS entries and points into b. */
bool log_format_journal(const LogRecord *record, Buffer *b, struct iovec *iov, size_t *ret_n);
/* {"code":…,"hint":…,"message":…,"name":"Error"}, keys sorted; code is the SQLSTATE or the errno's name. */
int log_format_error_json(const Error *e, Buffer *b);
