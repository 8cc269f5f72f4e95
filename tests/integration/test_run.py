"""One run in the foreground (roundtable-worker --run) with real PostgreSQL and Redis."""

import pytest

import harness

TABLES = '''
CREATE TABLE testing_runs (id bigserial PRIMARY KEY, run_id text, task text, host text, event text, xid text,
                           at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE testing_control (task text, mode text);
CREATE TABLE testing_published (id bigserial PRIMARY KEY, run_id text);
'''


@pytest.fixture
def deployment(build, postgres, database, redis, redis_server):
    postgres.execute(TABLES, database=database)
    redis.set('roundtable.control.epoch', '1')  # else everybody waits for owners of locks to show up
    with harness.Deployment(build, postgres, database, redis_server) as d:
        d.rows = lambda where='true': postgres.execute(
            f'SELECT run_id, event, at FROM testing_runs WHERE {where} ORDER BY id', database=database)
        yield d


def enable(deployment, interval='200 ms', task='testing_rows', **settings):
    deployment.settings('testing', tasks={task: {'enabled': True, 'interval': interval}}, **settings)


def run_once(deployment, *arguments):
    return deployment.run('roundtable-worker', '--run', *arguments, '--conf', deployment.conf)


def test_run_in_the_foreground(deployment, redis):
    enable(deployment, '1 h', rows_sleep='10 ms')
    p = run_once(deployment, 'testing_rows')
    assert p.returncode == 0 and 'testing_rows: done' in p.stdout, p
    assert [r[1] for r in deployment.rows()] == ['begin', 'end']
    assert redis.pttl('roundtable.loops.testing_rows.task_timeouts') > 3000000
    assert not redis.exists('roundtable.loops.testing_rows.task_extended_timeouts')
    assert run_once(deployment, 'testing_rows').returncode == 0, 'an R of ours is no reason to wait'


def test_run_waits_for_nobody_unless_told(deployment, redis):
    enable(deployment, '1 h', rows_sleep='10 ms')
    redis.set('roundtable.loops.testing_rows.task_timeouts', 'TIMEOUT NOT EXPIRED', px=3000)
    p = run_once(deployment, 'testing_rows')
    assert p.returncode == 75 and 'original?' in p.stderr, p
    assert run_once(deployment, 'testing_rows', '--wait').returncode == 0
    redis.set('roundtable.loops.testing_rows.task_extended_timeouts', 'TIMEOUT NOT EXPIRED other', px=600000)
    assert run_once(deployment, 'testing_rows', '--force').returncode == 75
    assert run_once(deployment, 'testing_rows', '--no-lock').returncode == 0


def test_dry_run_changes_nothing(deployment, redis):
    enable(deployment, '1 h', rows_sleep='10 ms')
    p = run_once(deployment, 'testing_rows', '--dry-run')
    assert p.returncode == 0 and 'previewed' in p.stdout, p
    assert deployment.rows() == [] and [k for k in redis.keys() if not k.startswith((b'roundtable.loops.', b'roundtable.control.'))] == []
    p = run_once(deployment, 'testing_kafka', '--dry-run')
    assert p.returncode == 0 and 'to-websockets-markets' in p.stdout, p
