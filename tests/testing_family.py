"""The tables that tasks of the family testing use (workers/testing/testing.h)."""

TABLES = '''
CREATE TABLE testing_runs (id bigserial PRIMARY KEY, run_id text, task text, host text, event text, xid text,
                           at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE testing_control (task text, mode text);
CREATE TABLE testing_published (id bigserial PRIMARY KEY, run_id text);
'''
