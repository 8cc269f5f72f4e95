#pragma once

/* One logging front end, two back ends: the journal when stderr is the journal's stream ($JOURNAL_STREAM), else JSON
 * lines on stdout in the original's form (one object, keys sorted, no blanks: runtime specification 6.2) plus
 * `timestamp`. Thread-safe after log_init(): a record is one sendmsg or one write.
 *
 * Libraries in common/ log at debug only; whoever decides to give up or go on logs the error, once. */

#include "common/error.h"
#include "common/util.h"

typedef enum LogLevel { /* syslog(3) numbers */
                        LOG_LEVEL_EMERG,
                        LOG_LEVEL_ALERT,
                        LOG_LEVEL_CRIT,
                        LOG_LEVEL_ERROR,
                        LOG_LEVEL_WARNING,
                        LOG_LEVEL_NOTICE,
                        LOG_LEVEL_INFO,
                        LOG_LEVEL_DEBUG,
} LogLevel;

typedef enum LogFieldType { LOG_FIELD_STRING, LOG_FIELD_INT, LOG_FIELD_JSON } LogFieldType;

/* `journal` is the journal's field name (upper case, e.g. RUN_ID), `json` the JSON lines' key (e.g. runId). A NULL
 * string value drops the field. LOG_FIELD_JSON is JSON text, put into JSON lines as it is. */
typedef struct LogField {
        const char *journal;
        const char *json;
        LogFieldType type;
        const char *string;
        int64_t number;
} LogField;

#define LOG_STRING(journal_, json_, value_)                                                                            \
        ((LogField){ .journal = (journal_), .json = (json_), .type = LOG_FIELD_STRING, .string = (value_) })
#define LOG_INT(journal_, json_, value_)                                                                               \
        ((LogField){ .journal = (journal_), .json = (json_), .type = LOG_FIELD_INT, .number = (value_) })
#define LOG_JSON(journal_, json_, value_)                                                                              \
        ((LogField){ .journal = (journal_), .json = (json_), .type = LOG_FIELD_JSON, .string = (value_) })

typedef enum LogTarget {
        LOG_TARGET_AUTO, /* the journal if stderr is its stream, else JSON lines */
        LOG_TARGET_JOURNAL,
        LOG_TARGET_JSON,    /* stdout */
        LOG_TARGET_CONSOLE, /* for people on stderr: "12:00:01 warning market: text" (dev, run, command line) */
        LOG_TARGET_NONE,
} LogTarget;

/* Call once in main before threads. `program` becomes SYSLOG_IDENTIFIER. Fields WORKER and FAMILY of every record of
 * this process are set by log_set_identity (strings are copied; NULL drops). */
void log_init(const char *program, LogTarget target, LogLevel max_level);
void log_set_identity(const char *family, const char *worker);
/* Whether what is written to stderr ends up in the journal. */
bool log_stderr_is_journal(void);
/* Where the records from now on go. */
void log_set_target(LogTarget target);
/* Whether records also go to the journal when another target has them: what a person runs by hand is to be found there
 * too. Nothing happens where there is no journal. */
void log_set_journal_copy(bool on);
void log_set_max_level(LogLevel level);
LogLevel log_max_level(void);
/* "emerg" … "debug"; -EINVAL for any other name (`warn` and `INFO` too: the original fell silent on them). */
int log_level_from_string(const char *name, LogLevel *ret);
const char *log_level_to_string(LogLevel level);

/* `at` is the original's source tag ("market-updater#runTask"). `message_id` is one of common/message_ids.h or NULL.
 * `message` is a finished sentence without a full stop. Fields are borrowed. */
void log_write(LogLevel level, const char *message_id, const char *at, const LogField *fields, size_t n_fields,
               const char *message);
void log_printf(LogLevel level, const char *message_id, const char *at, const char *format, ...) _printf_(4, 5);

/* Logs `e` behind "format: ", with fields ERROR_TEXT, HINT, SQLSTATE; JSON `error` object {name, message, code, hint}.
 */
void log_error_object(LogLevel level, const char *message_id, const char *at, const Error *e, const LogField *fields,
                      size_t n_fields, const char *message);

#define log_debug(at, ...) log_printf(LOG_LEVEL_DEBUG, NULL, at, __VA_ARGS__)
#define log_info(at, ...) log_printf(LOG_LEVEL_INFO, NULL, at, __VA_ARGS__)
#define log_notice(at, ...) log_printf(LOG_LEVEL_NOTICE, NULL, at, __VA_ARGS__)
#define log_warning(at, ...) log_printf(LOG_LEVEL_WARNING, NULL, at, __VA_ARGS__)
#define log_error(at, ...) log_printf(LOG_LEVEL_ERROR, NULL, at, __VA_ARGS__)
