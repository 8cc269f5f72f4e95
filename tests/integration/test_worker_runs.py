"""A worker that stands alone, with real PostgreSQL and Redis. Runs are counted by the rows that tasks write."""

import pytest

import harness
from servers import wait_until

TABLES = '''
CREATE TABLE testing_runs (id bigserial PRIMARY KEY, run_id text, task text, host text, event text, xid text,
                           at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE testing_control (task text, mode text);
CREATE TABLE testing_published (id bigserial PRIMARY KEY, run_id text);
'''


@pytest.fixture
def deployment(build, postgres, database, redis, redis_server):
    postgres.execute(TABLES, database=database)
    with harness.Deployment(build, postgres, database, redis_server) as d:
        d.rows = lambda where='true': postgres.execute(
            f'SELECT run_id, event, at FROM testing_runs WHERE {where} ORDER BY id', database=database)
        yield d


def enable(deployment, interval='200 ms', task='testing_rows', **settings):
    deployment.settings('testing', tasks={task: {'enabled': True, 'interval': interval}}, **settings)


def task_of(worker, name='testing_rows'):
    return next(t for t in worker.control('status')['worker']['tasks'] if t['name'] == name)


def runs(deployment, event='begin'):
    return [r for r in deployment.rows() if r[1] == event]


def test_runs_on_its_interval_and_not_more_often(deployment):
    enable(deployment, '300 ms', rows_sleep='10 ms')
    w = deployment.worker('testing')
    w.wait_for(lambda: len(runs(deployment)) >= 5, 'five runs')
    # a row is later than its run's start by what a busy machine makes of it: less than an interval altogether
    begins = [r[2] for r in runs(deployment)]
    assert (begins[-1] - begins[0]).total_seconds() >= 0.3 * (len(begins) - 2)
    record = w.records(taskName='testing_rows', result='ok')[0]
    assert record['durationUsec'] > 0
    assert task_of(w)['last']['result'] == 'ok' and task_of(w)['runs'] >= 4


def test_a_run_longer_than_its_interval_is_not_overlapped(deployment):
    enable(deployment, '100 ms', rows_sleep='350 ms')
    w = deployment.worker('testing')
    w.wait_for(lambda: len(runs(deployment, 'end')) >= 4, 'four runs')
    events = [r[1] for r in deployment.rows()]
    assert events[:8] == ['begin', 'end'] * 4


def test_trigger_and_cancel(deployment, redis):
    enable(deployment, '1 h', rows_sleep='1 h')
    w = deployment.worker('testing')
    # its row is there: a run that is cancelled before it would leave none
    w.wait_for(lambda: task_of(w)['state'] == 'running' and runs(deployment), 'the first run')
    assert w.control('trigger', task='testing_rows')['code'] == 75
    run_id = task_of(w)['run']['run_id']
    assert w.control('cancel', task='testing_rows')['run_id'] == run_id
    w.wait_for(lambda: (task_of(w)['last'] or {}).get('result') == 'cancelled', 'the cancelled run')
    assert not redis.exists('roundtable.loops.testing_rows.task_extended_timeouts')
    assert w.control('cancel', task='testing_rows')['ok'] is False
    assert w.control('trigger', task='testing_rows')['ok']
    w.wait_for(lambda: len(runs(deployment)) == 2, 'the triggered run')
    assert w.control('trigger', task='nothing')['code'] == 2


def test_pause_and_resume(deployment, redis):
    enable(deployment, '100 ms', rows_sleep='10 ms')
    w = deployment.worker('testing')
    w.wait_for(lambda: len(runs(deployment)) >= 2, 'two runs')
    assert w.control('pause', tasks=['testing_rows'], who='somebody', reason='maintenance', until_usec=0)['ok']
    w.wait_for(lambda: task_of(w)['state'] == 'paused', 'the pause')
    assert redis.exists('roundtable.control.testing_rows.paused')
    wait_until(lambda: redis.pttl('roundtable.loops.testing_rows.task_timeouts') > 20000, 'R is kept alive for originals')
    n = len(runs(deployment))
    assert w.control('trigger', task='testing_rows')['code'] == 75
    assert w.control('resume', tasks='all', who='somebody')['ok']
    w.wait_for(lambda: len(runs(deployment)) >= n + 2, 'runs again')


def test_sigterm_finishes_the_run_and_releases_the_locks(deployment, redis):
    enable(deployment, '1 h', rows_sleep='400 ms')
    w = deployment.worker('testing')
    w.wait_for(lambda: len(runs(deployment)) == 1, 'a run')
    assert w.stop() == 0
    assert [r[1] for r in deployment.rows()] == ['begin', 'end']
    assert not redis.exists('roundtable.loops.testing_rows.task_extended_timeouts')


def test_sigterm_cancels_what_does_not_finish_in_time(deployment, redis):
    enable(deployment, '1 h', rows_sleep='1 h', stop_timeout='1 s')
    w = deployment.worker('testing')
    w.wait_for(lambda: len(runs(deployment)) == 1, 'a run')
    assert w.stop() == 0
    assert [r[1] for r in deployment.rows()] == ['begin']
    assert w.records(taskName='testing_rows', result='cancelled')
    assert not redis.exists('roundtable.loops.testing_rows.task_extended_timeouts')


def test_a_second_worker_of_the_family_names_the_holder(deployment):
    enable(deployment)
    w = deployment.worker('testing')
    second = deployment.worker('testing', wait=False)
    assert second.wait() == 75
    assert str(w.pid) in second.log()


def test_more_is_one_run(deployment):
    enable(deployment, '1 h', task='testing_more', more_slices=4)
    w = deployment.worker('testing')
    w.wait_for(lambda: w.records(taskName='testing_more', result='ok'), 'the run')
    assert len({r[0] for r in deployment.rows()}) == 1 and len(deployment.rows()) == 4
    assert len(w.records(taskName='testing_more', result='ok')) == 1







def test_redis_away_and_back(build, postgres, database):
    from servers import Redis
    postgres.execute(TABLES, database=database)
    with Redis() as server, harness.Deployment(build, postgres, database, server) as d:
        d.settings('testing', tasks={'testing_rows': {'enabled': True, 'interval': '100 ms'}}, rows_sleep='10 ms')
        w = d.worker('testing')
        count = lambda: postgres.execute("SELECT count(*) FROM testing_runs WHERE event = 'end'", database=database)[0][0]
        w.wait_for(lambda: count() >= 2, 'runs')
        server.kill()
        w.wait_for(lambda: not w.control('status')['worker']['servers']['redis']['ok'], 'redis is named')
        server.start()
        n = count()
        w.wait_for(lambda: count() >= n + 2, 'runs again')
        assert len(w.records(server='redis')) == 2, 'one record per change of state'


def test_bad_settings_exit_78(deployment):
    enable(deployment, 'soon')
    w = deployment.worker('testing', wait=False)
    assert w.wait() == 78 and 'interval' in w.log()
