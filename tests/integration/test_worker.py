"""A stand-alone worker on real servers: intervals, locks, the control socket, the drain, and servers that are missing."""
import os
import signal
import socket

import pytest

import harness
from servers import Redis, wait_until
from testing_family import TABLES

E_KEYS = 'roundtable.loops.*.task_extended_timeouts'


class Bench:
    def __init__(self, build, postgres, database, redis_server):
        self.postgres, self.database = postgres, database
        self.deployment = harness.Deployment(build, postgres, database, redis_server)
        self.redis = redis_server.client()

    def execute(self, sql, parameters=()):
        return self.postgres.execute(sql, parameters, self.database)

    def tasks(self, values=None, **tasks):
        self.deployment.settings('testing', **(values or {}),
                                 tasks={name: dict({'enabled': True}, **t) for name, t in tasks.items()})

    def worker(self, *arguments, **environment):
        return self.deployment.worker('testing', arguments, environment)

    def events(self, task, event='begin'):
        return self.execute('SELECT run_id, extract(epoch FROM at)::float8 FROM testing_runs WHERE task = %s AND event = %s '
                            'ORDER BY at', (task, event))


@pytest.fixture
def bench(build, postgres, database, redis_server, redis):
    redis.set('roundtable.control.epoch', 1)  # else the first take waits 6 s for originals
    b = Bench(build, postgres, database, redis_server)
    b.execute(TABLES)
    yield b
    b.deployment.close()


def status(w, task):
    return next(t for t in w.control('status')['worker']['tasks'] if t['name'] == task)


def test_runs_on_its_interval_and_not_more_often(bench):
    bench.tasks({'rows_sleep': '0 s'}, testing_rows={'interval': '300 ms'})
    w = bench.worker()
    w.wait_for(lambda: len(bench.events('testing_rows')) >= 6, 'six runs')
    starts = [at for _, at in bench.events('testing_rows')]
    # a row comes later than its lock was taken, by what a busy machine makes of it: less than an interval altogether
    assert starts[-1] - starts[0] >= 0.3 * (len(starts) - 2)
    finished = w.records(at='worker#runTask', taskName='testing_rows', result='ok')
    assert {r['runId'] for r in finished} <= {run for run, _ in bench.events('testing_rows')}
    assert len(finished) >= 5 and all(r['durationUsec'] > 0 for r in finished)


def test_a_run_longer_than_its_interval_is_not_overlapped(bench):
    bench.tasks({'rows_sleep': '350 ms'}, testing_rows={'interval': '100 ms'})
    w = bench.worker()
    w.wait_for(lambda: len(bench.events('testing_rows', 'end')) >= 3, 'three runs')
    events = [event for event, in bench.execute('SELECT event FROM testing_runs ORDER BY at')]
    assert events[:6] == ['begin', 'end'] * 3


def test_sigterm_lets_the_run_finish_and_leaves_no_lock(bench):
    bench.tasks({'rows_sleep': '1 s'}, testing_rows={'interval': '10 s'})
    w = bench.worker()
    w.wait_for(lambda: bench.events('testing_rows'), 'the run to begin')
    assert bench.redis.keys(E_KEYS)
    assert w.stop() == 0
    assert len(bench.events('testing_rows', 'end')) == 1
    assert bench.redis.keys(E_KEYS) == []
    assert not os.path.exists(w.socket)


def test_stop_timeout_cancels_what_does_not_finish(bench):
    bench.tasks({'rows_sleep': '1 h', 'stop_timeout': '1 s'}, testing_rows={'interval': '10 s'})
    w = bench.worker()
    w.wait_for(lambda: bench.events('testing_rows'), 'the run to begin')
    assert w.stop() == 0
    assert bench.events('testing_rows', 'end') == []
    assert bench.redis.keys('roundtable.loops.*') == [], 'what was cut short is not due at once'
    assert w.records(at='worker#runTask', taskName='testing_rows', result='cancelled')


def test_drain_over_the_socket(bench):
    bench.tasks(testing_rows={'interval': '10 s'})
    w = bench.worker()
    assert w.control('drain')['ok']
    assert w.wait() == 0


def test_trigger_runs_now(bench):
    bench.tasks({'rows_sleep': '0 s'}, testing_rows={'interval': '1 h'})
    w = bench.worker()
    w.wait_for(lambda: status(w, 'testing_rows')['runs'] == 1, 'the first run')
    assert w.control('trigger', task='testing_rows', force=False)['ok']
    w.wait_for(lambda: status(w, 'testing_rows')['runs'] == 2, 'the triggered run')
    reply = w.control('trigger', task='testing_query', force=False)
    assert not reply['ok'] and 'disabled' in reply['error']
    reply = w.control('trigger', task='nonsense', force=False)
    assert not reply['ok'] and reply['code'] == 2


def test_cancel_ends_the_run_that_is_named(bench):
    bench.tasks({'query_sleep': '1 h'}, testing_query={'interval': '10 s'})
    w = bench.worker()
    run = w.wait_for(lambda: status(w, 'testing_query')['state'] == 'running' and status(w, 'testing_query')['run'],
                     'the run to begin')
    reply = w.control('trigger', task='testing_query', force=False)
    assert reply['code'] == 75, 'it runs already'
    reply = w.control('cancel', task='testing_query')
    assert reply['ok'] and reply['run_id'] == run['run_id']
    last = w.wait_for(lambda: status(w, 'testing_query')['last'], 'its end')
    assert last['result'] == 'cancelled' and last['run_id'] == run['run_id']
    assert not w.control('cancel', task='testing_query')['ok']


def test_pause_holds_and_resume_goes_on(bench):
    bench.tasks({'rows_sleep': '0 s'}, testing_rows={'interval': '200 ms'}, testing_rows_nolock={'interval': '200 ms'})
    w = bench.worker()
    w.wait_for(lambda: bench.events('testing_rows'), 'the first run')
    reply = w.control('pause', tasks=['testing_rows'], who='alice', reason='upgrade', until_usec=0)
    assert reply['ok'], reply
    w.wait_for(lambda: status(w, 'testing_rows')['state'] == 'paused', 'state paused')
    assert bench.redis.exists('roundtable.control.testing_rows.paused')
    wait_until(lambda: bench.redis.pttl('roundtable.loops.testing_rows.task_timeouts') > 20000,
               'the regular lock to be kept up for originals')
    runs = status(w, 'testing_rows')['runs']
    reply = w.control('trigger', task='testing_rows', force=False)
    assert not reply['ok'] and 'alice' in reply['error']
    # another task of the same interval goes on meanwhile
    others = status(w, 'testing_rows_nolock')['runs']
    w.wait_for(lambda: status(w, 'testing_rows_nolock')['runs'] >= others + 5, 'five intervals')
    assert status(w, 'testing_rows')['runs'] == runs
    assert w.control('trigger', task='testing_rows', force=True)['ok']
    w.wait_for(lambda: status(w, 'testing_rows')['runs'] == runs + 1, 'the forced run')
    assert w.control('resume', tasks='all', who='alice')['ok']
    w.wait_for(lambda: status(w, 'testing_rows')['runs'] > runs + 2, 'runs after the resume')


def test_a_chain_of_slices_is_one_run(bench):
    bench.tasks({'more_slices': 4}, testing_more={'interval': '1 h'})
    w = bench.worker()
    w.wait_for(lambda: status(w, 'testing_more')['last'], 'the run')
    slices = bench.events('testing_more', 'slice')
    assert len(slices) == 4 and len({run for run, _ in slices}) == 1
    finished = w.records(at='worker#runTask', taskName='testing_more')
    assert [r['slices'] for r in finished] == [4]


def test_a_short_task_runs_beside_a_long_one(bench):
    bench.tasks({'query_sleep': '1 h', 'rows_sleep': '0 s', 'stop_timeout': '1 s'}, testing_query={'interval': '10 s'},
                testing_more={'interval': '10 s'}, testing_rows={'interval': '200 ms'})
    w = bench.worker()
    w.wait_for(lambda: status(w, 'testing_query')['state'] == 'running', 'the long run')
    n = len(bench.events('testing_rows', 'end'))
    w.wait_for(lambda: len(bench.events('testing_rows', 'end')) >= n + 3, 'short runs beside it')
    assert status(w, 'testing_query')['state'] == 'running'
    assert bench.redis.keys('*testing_query*extended*')
    # its first slice gave way to the query, which kept the only slot for long tasks; its lock is kept for it
    more = status(w, 'testing_more')
    assert more['state'] == 'queued' and more['run']
    assert len(bench.events('testing_more', 'slice')) == 1
    assert bench.redis.keys('*testing_more*extended*')
    assert w.stop() == 0


def test_a_second_worker_of_the_family_exits_75(bench):
    bench.tasks(testing_rows={'interval': '10 s'})
    first = bench.worker()
    second = bench.deployment.worker('testing', wait=False)
    assert second.wait() == 75
    assert str(first.pid) in second.log()
    assert first.control('status')['ok']


def test_bad_settings_exit_78(bench):
    bench.deployment.settings('testing', no_such_setting=1)
    w = bench.deployment.worker('testing', wait=False)
    assert w.wait() == 78
    assert 'no_such_setting' in w.log()


def test_a_url_of_no_server_exits_78(bench):
    """It has the form of a URL, so that only the client notices: a restart would not help."""
    bench.deployment.settings(None, redis={'url': 'redis://h/no-number'})
    w = bench.deployment.worker('testing', wait=False)
    assert w.wait() == 78
    assert 'the database is not a number' in w.log()


def test_a_body_that_does_not_return_is_named_and_the_worker_ends(bench):
    bench.tasks(testing_hang={'interval': '10 s', 'max_run': '1 s'})
    bench.execute("INSERT INTO testing_control VALUES ('testing_hang', 'on')")
    w = bench.worker(ROUNDTABLE_TEST_HUNG_USEC='500000')
    assert w.wait() == 1
    assert 'testing_hang did not return' in w.log()


def test_log_level_and_unknown_verbs(bench):
    bench.tasks(testing_rows={'interval': '10 s'})
    w = bench.worker()
    assert w.control('log-level', level='debug')['ok']
    assert w.control('log-level', level='loud')['code'] == 2
    assert w.control('dance')['code'] == 2


def test_a_key_of_a_wrong_type_holds_its_own_task_only(bench, redis):
    redis.set('roundtable.control.testing_rows.run', 'not a hash')
    redis.set('roundtable.control.testing_more.paused', 'not a hash')
    bench.tasks({'rows_sleep': '0 s'}, testing_rows={'interval': '100 ms'}, testing_more={'interval': '100 ms'},
                testing_rows_nolock={'interval': '100 ms'})
    bench.deployment.settings(None, redis=dict(bench.deployment.common['redis'], reconnect_delay='10 ms'))
    w = bench.worker()
    w.wait_for(lambda: status(w, 'testing_rows_nolock')['runs'] >= 5, 'runs of the task that is in order')
    w.wait_for(lambda: status(w, 'testing_more')['state'] == 'paused', 'the task that such a key holds')
    assert status(w, 'testing_rows_nolock')['fleet'] and status(w, 'testing_rows')['fleet'] is None
    assert w.control('pause', tasks=['testing_rows_nolock'], who='alice', reason='', until_usec=0)['ok']
    w.wait_for(lambda: status(w, 'testing_rows_nolock')['state'] == 'paused', 'a pause beside it')
    # told once, however often it is tried
    complaints = [r for r in w.records(level='error') if 'WRONGTYPE' in r['message']]
    assert len(complaints) == 1 and 'testing_rows' in complaints[0]['message'], complaints
    assert status(w, 'testing_rows')['runs'] == 0 and w.control('status')['worker']['servers']['redis']['ok']
    redis.delete('roundtable.control.testing_rows.run')
    w.wait_for(lambda: status(w, 'testing_rows')['runs'], 'a run once the key is gone')
    assert w.stop() == 0


BROKEN = {  # task: the key that is of a wrong type, made by
    'testing_rows': ('roundtable.control.testing_rows.run', lambda redis, key: redis.set(key, 'not a hash')),
    'testing_segfault': ('roundtable.loops.testing_segfault.task_extended_timeouts', lambda redis, key: redis.hset(key, 'a', 'b')),
    'testing_abort': ('roundtable.loops.testing_abort.task_timeouts',
                              lambda redis, key: redis.hset(key, 'a', 'b')),
    'testing_more': ('roundtable.control.testing_more.paused', lambda redis, key: redis.set(key, 'not a hash')),
}


def test_broken_keys_keep_no_slot_from_a_task_that_is_in_order(bench, redis):
    """Two slots, four tasks that cannot get their locks: were one to wait for its lock with a slot, the fifth starved."""
    for key, spoil in BROKEN.values():
        spoil(redis, key)
    bench.tasks({'rows_sleep': '0 s'}, testing_rows_nolock={'interval': '50 ms'},
                **{task: {'interval': '50 ms'} for task in BROKEN})
    bench.deployment.settings(None, redis=dict(bench.deployment.common['redis'], reconnect_delay='10 ms'))
    s = bench.deployment.supervisor(['--family', 'testing'])

    def tasks():
        (w,) = [w for w in s.control('status')['workers'] if w['family'] == 'testing']
        return {t['name']: t for t in w['worker']['tasks']} if w.get('worker') else {}
    s.wait_for(lambda: all(tasks().get(t, {}).get('obstacle') for t in BROKEN), 'the four named')
    n = len(bench.events('testing_rows_nolock'))
    s.wait_for(lambda: len(bench.events('testing_rows_nolock')) > n + 10, 'runs of the fifth')
    for task, (key, _) in BROKEN.items():
        t = tasks()[task]
        assert t['runs'] == 0 and t['state'] in ('waiting', 'queued', 'paused'), t
        assert key in t['obstacle'], t
        # an R is looked at no closer than for being there: it says what it is by its having no end
        assert task != 'testing_abort' or f'{key} without a TTL' in t['obstacle'], t
        told = [r for r in s.records(taskName=task) if key in r['message'] + str(r.get('error', ''))]
        assert len(told) == 1, told
    shown = bench.deployment.run('roundtable', 'status', '--runtime-dir', bench.deployment.runtime)
    assert shown.returncode == 1 and shown.stdout.count('cannot run: ') == len(BROKEN), shown
    # what a pause keeps others away with outlasts a key that is deleted by hand
    redis.delete('roundtable.loops.testing_more.task_timeouts', *(key for key, _ in BROKEN.values()))
    s.wait_for(lambda: all(tasks()[t]['runs'] and not tasks()[t]['obstacle'] for t in BROKEN), 'runs once the keys are gone')
    assert s.stop() == 0


def test_an_obstacle_is_gone_when_it_is_and_not_before(bench, redis, redis_server):
    """A pause, the wait behind a FLUSHALL and a drain while Redis is away come in the place of an answer about the lock."""
    key = 'roundtable.loops.testing_rows.task_timeouts'
    redis.set(key, 'TIMEOUT NOT EXPIRED')
    bench.tasks({'rows_sleep': '0 s'}, testing_rows={'interval': '50 ms'})
    w = bench.worker()

    def told():
        """Of what was in the way, and of its being gone."""
        return [len([r for r in w.records(taskName='testing_rows') if text in r['message']])
                for text in ('cannot run: its lock is held by', 'what was in its way is gone')]
    w.wait_for(lambda: told() == [1, 0], 'the obstacle')
    assert key in status(w, 'testing_rows')['obstacle']
    # by another host: a take comes before the look-up of pauses
    redis.hset('roundtable.control.testing_rows.paused', mapping={'who': 'alice', 'host': 'another', 'reason': ''})
    w.wait_for(lambda: status(w, 'testing_rows')['state'] == 'paused', 'the pause')
    seconds, microseconds = redis.time()
    redis.set('roundtable.control.epoch', seconds * 1000000 + microseconds - 4500000)  # of the 6 s, 1.5 s are left
    assert w.control('resume', tasks=['testing_rows'], who='alice')['ok']
    w.wait_for(lambda: status(w, 'testing_rows')['state'] == 'waiting', 'the answer to its take')
    assert key in status(w, 'testing_rows')['obstacle'] and told() == [1, 0]
    redis.delete(key)
    w.wait_for(lambda: told() == [1, 1] and bench.events('testing_rows'), 'a run')
    redis.set(key, 'TIMEOUT NOT EXPIRED')
    w.wait_for(lambda: told() == [2, 1], 'the obstacle once more')
    redis_server.stop()
    try:
        w.wait_for(lambda: not w.control('status')['worker']['servers']['redis']['ok'], 'redis missing')
        w.wait_for(lambda: status(w, 'testing_rows')['state'] == 'queued', 'a take that is under way')
        assert w.stop() == 0
    finally:
        redis_server.start()
    assert told() == [2, 1]


def test_goes_on_when_redis_is_back(bench, redis_server):
    bench.tasks({'rows_sleep': '0 s'}, testing_rows={'interval': '200 ms'})
    w = bench.worker()
    w.wait_for(lambda: bench.events('testing_rows'), 'the first run')
    redis_server.stop()
    try:
        w.wait_for(lambda: not w.control('status')['worker']['servers']['redis']['ok'], 'redis missing')
    finally:
        redis_server.start()
    redis_server.client().set('roundtable.control.epoch', 1)
    n = len(bench.events('testing_rows'))
    w.wait_for(lambda: len(bench.events('testing_rows')) > n + 1, 'runs after redis came back')
    assert w.control('status')['worker']['servers']['redis']['ok']
    assert w.stop() == 0


def test_failed_attempts_to_reach_redis_are_sent_without_the_password(bench):
    agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    agent.bind(('127.0.0.1', 0))
    agent.settimeout(60)
    with agent, Redis(tcp=True, password='sesame') as server:
        server.client().set('roundtable.control.epoch', 1)
        bench.tasks({'rows_sleep': '0 s'}, testing_rows={'interval': '50 ms'})
        bench.deployment.settings(None, redis={'url': server.url, 'reconnect_delay': '10 ms'},
                                  statsd={'host': '127.0.0.1', 'port': agent.getsockname()[1]})
        w = bench.worker()
        w.wait_for(lambda: bench.events('testing_rows'), 'the first run')
        server.kill()
        sent = []
        while len(sent) < 3:
            text = agent.recv(65536).decode()
            if 'connection_retries' in text:
                sent.append(text)
        w.stop()
    for i, text in enumerate(sent, 1):
        assert text.startswith(f'redis.connection_retries:{i}|d|#NODE_ENV:'), text
        assert text.endswith(f',SERVICE_NAME:roundtable,url:redis_//127.0.0.1_{server.port}/0'), text


@pytest.mark.parametrize('threshold', [3, 1000000])
def test_an_outage_of_redis_that_lasts_is_an_error_told_once(bench, redis_server, threshold):
    bench.tasks({'rows_sleep': '0 s'}, testing_rows={'interval': '50 ms'})
    bench.deployment.settings(None, redis=dict(bench.deployment.common['redis'], reconnect_delay='10 ms',
                                               reconnect_error_threshold=threshold))
    w = bench.worker()
    w.wait_for(lambda: bench.events('testing_rows'), 'the first run')

    def errors():
        return [r['message'] for r in w.records(level='error') if 'redis still cannot be reached' in r['message']]
    for outages in (1, 2):
        redis_server.stop()
        try:
            w.wait_for(lambda: not w.control('status')['worker']['servers']['redis']['ok'], 'redis missing')
            if threshold == 3:
                w.wait_for(lambda: len(errors()) == outages, 'the error')
        finally:
            redis_server.start()
        redis_server.client().set('roundtable.control.epoch', 1)
        w.wait_for(lambda: w.control('status')['worker']['servers']['redis']['ok'], 'redis back')
    assert w.stop() == 0
    assert len(errors()) == (2 if threshold == 3 else 0)


def test_a_killed_worker_leaves_only_what_expires(bench):
    bench.tasks({'rows_sleep': '1 h'}, testing_rows={'interval': '200 ms'})
    w = bench.worker()
    w.wait_for(lambda: bench.events('testing_rows'), 'the run to begin')
    os.kill(w.pid, signal.SIGKILL)
    w.wait()
    wait_until(lambda: not bench.redis.keys(E_KEYS), 'the lock to expire')


def test_a_statement_does_not_outlive_its_killed_worker(bench):
    """The server would go on for an hour beside the replacement: it looks whether its client is there."""
    bench.tasks({'query_sleep': '1 h'}, testing_query={'interval': '1 h', 'max_run': '2 h'})
    w = bench.worker()

    def statements():
        return bench.execute("""SELECT pid FROM pg_stat_activity WHERE state = 'active' AND datname = current_database()
                                AND application_name = 'roundtable/testing/testing_query'""")
    w.wait_for(statements, 'the statement')
    os.kill(w.pid, signal.SIGKILL)
    w.wait()
    wait_until(lambda: not statements(), 'its end')


def of_supervisor(s):
    return next(w for w in s.control('status')['workers'] if w['family'] == 'testing')


def test_after_a_kill_the_replacement_loses_no_interval(bench):
    """The dead worker's lock would last half an hour, its interval 2 s; the supervisor tells its replacement who died."""
    bench.tasks({'rows_sleep': '1 h'}, testing_rows={'interval': '2 s', 'lock_multiplier': 1000})
    s = bench.deployment.supervisor(['--family', 'testing'])
    s.wait_for(lambda: bench.events('testing_rows'), 'the run to begin')
    os.kill(of_supervisor(s)['pid'], signal.SIGKILL)
    s.wait_for(lambda: len(bench.events('testing_rows')) == 2, 'the replacement to run')
    s.kill()


def test_the_supervisor_replaces_a_worker_whose_task_does_not_return(bench):
    bench.tasks(testing_hang={'interval': '1 s', 'max_run': '1 s'})
    bench.execute("INSERT INTO testing_control VALUES ('testing_hang', 'on')")
    s = bench.deployment.supervisor(['--family', 'testing'], {'ROUNDTABLE_TEST_HUNG_USEC': '300000'})
    first = s.wait_for(lambda: of_supervisor(s)['pid'], 'its worker')
    s.wait_for(lambda: of_supervisor(s)['pid'] not in (0, first), 'a replacement')
    assert 'testing_hang did not return' in s.log()
    s.kill()


def supervised(bench, task, **more):
    """A supervisor whose worker runs `task` and testing_rows side by side, nearly all the time."""
    bench.tasks({'rows_sleep': '400 ms', **more.pop('values', {})}, testing_rows={'interval': '200 ms'},
                **{task: dict({'interval': '100 ms'}, **more)})
    # a sanitizer would make an exit of a fault
    sanitizer = {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':handle_segv=0'}
    s = bench.deployment.supervisor(['--family', 'testing'], {'ROUNDTABLE_TEST_HUNG_USEC': '300000',
                                                              'ROUNDTABLE_TEST_BACKOFF_FIRST_USEC': '1000', **sanitizer})
    s.wait_for(lambda: bench.events('testing_rows'), 'the bystander to run')
    return s


@pytest.mark.parametrize('task,more', [('testing_segfault', {}), ('testing_abort', {}),
                                       ('testing_hang', {'max_run': '1 s'})])
def test_three_faults_hold_the_faulty_task_and_not_the_one_beside_it(bench, task, more):
    s = supervised(bench, task, **more)
    bench.execute('INSERT INTO testing_control VALUES (%s, %s)', (task, 'on'))
    s.wait_for(lambda: of_supervisor(s)['quarantined'], 'a quarantine')
    assert list(of_supervisor(s)['quarantined']) == [task]
    s.wait_for(lambda: of_supervisor(s)['restarts'] == 3, 'the third replacement')
    assert any(task in r['message'] and 'testing_rows' in r['message'] for r in s.records(at='supervisor#worker'))
    # counted by the row that each run leaves before its fault
    held = len(bench.events(task))
    n = len(bench.events('testing_rows', 'end'))
    s.wait_for(lambda: of_supervisor(s)['state'] == 'running' and of_supervisor(s)['worker'], 'the fourth worker')
    s.wait_for(lambda: len(bench.events('testing_rows', 'end')) > n + 1, 'the bystander to go on')
    (state,) = [t['state'] for t in of_supervisor(s)['worker']['tasks'] if t['name'] == task]
    assert state == 'quarantined'
    assert len(bench.events(task)) == held
    assert of_supervisor(s)['serial'] is False
    s.kill()


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_signals_from_outside_never_quarantine(bench, number):
    s = supervised(bench, 'testing_rows_nolock', values={'rows_sleep': '1 h', 'stop_timeout': '1 s'})
    for n in range(4):
        pid = s.wait_for(lambda: of_supervisor(s)['state'] == 'running' and of_supervisor(s)['pid'], 'a worker')
        s.wait_for(lambda: len(bench.events('testing_rows')) > n, 'its run')
        os.kill(pid, number)
        s.wait_for(lambda: of_supervisor(s)['pid'] not in (0, pid), 'a replacement')
    assert of_supervisor(s)['quarantined'] == {} and of_supervisor(s)['serial'] is False
    s.kill()


def test_a_stopped_worker_is_replaced_and_its_task_runs_again(bench):
    bench.tasks({'rows_sleep': '1 h', 'watchdog': '1 s'}, testing_rows={'interval': '200 ms'})
    s = bench.deployment.supervisor(['--family', 'testing'])
    s.wait_for(lambda: bench.events('testing_rows'), 'its run')
    pid = of_supervisor(s)['pid']
    os.kill(pid, signal.SIGSTOP)
    s.wait_for(lambda: of_supervisor(s)['pid'] not in (0, pid), 'a replacement')
    assert 'watchdog' in of_supervisor(s)['last_exit']
    s.wait_for(lambda: len(bench.events('testing_rows')) == 2, 'its task once more')
    s.kill()


def test_the_service_stops_with_its_run_finished_and_no_lock_left(bench):
    bench.tasks({'rows_sleep': '500 ms'}, testing_rows={'interval': '10 s'})
    s = bench.deployment.supervisor(['--family', 'testing'])
    s.wait_for(lambda: bench.events('testing_rows'), 'the run to begin')
    assert s.stop() == 0
    assert len(bench.events('testing_rows', 'end')) == 1 and bench.redis.keys(E_KEYS) == []
