/* The functions of the testing family's tasks. */

#include "workers/testing/testing.h"

extern const TaskBinding testing_tasks[];
const TaskBinding testing_tasks[] = {
        { "testing_abort", testing_abort_run },
        { "testing_hang", testing_hang_run },
        { "testing_http", testing_http_run },
        { "testing_kafka", testing_kafka_run },
        { "testing_more", testing_more_run },
        { "testing_publish_first", testing_publish_first_run },
        { "testing_query", testing_query_run },
        { "testing_rows", testing_rows_run },
        { "testing_rows_nolock", testing_rows_run },
        { "testing_segfault", testing_segfault_run },
        { NULL, NULL },
};
