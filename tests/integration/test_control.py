"""The control protocol over the supervisor's socket, with real workers behind it and an imitated original beside them:
trigger, cancel, pause, resume, log-level, and who may ask."""
import json
import os
import subprocess
import sys
import time

import pytest

import harness
from conftest import ROOT
from servers import die_with_parent, wait_until
from test_supervisor import Fake, ready
from test_worker import TABLES

R = 'roundtable.loops.{}.task_timeouts'


class Service:
    def __init__(self, build, postgres, database, redis_server):
        self.postgres, self.database, self.redis_url = postgres, database, redis_server.url
        self.redis = redis_server.client()
        self.deployment = harness.Deployment(build, postgres, database, redis_server)
        self.postgres.execute(TABLES, database=database)

    def start(self, values=None, **tasks):
        self.deployment.settings('testing', **(values or {}), tasks={n: dict({'enabled': True}, **t) for n, t in tasks.items()})
        self.supervisor = self.deployment.supervisor(['--family', 'testing'])
        self.supervisor.wait_for(lambda: self.worker(), 'the worker')
        return self.supervisor

    def ask(self, verb, **fields):
        return self.supervisor.control(verb, **fields)

    def worker(self):
        found = [w for w in self.ask('status')['workers'] if w['family'] == 'testing']
        return found[0]['worker']

    def task(self, name):
        worker = self.worker()
        return next(t for t in worker['tasks'] if t['name'] == name) if worker else {}

    def rows(self, where='true'):
        return self.postgres.execute(f'SELECT host, event FROM testing_runs WHERE {where} ORDER BY at', database=self.database)

    def shown(self):
        return self.deployment.run('roundtable', 'status', '--runtime-dir', self.deployment.runtime).stdout

    def changes(self):
        return [r for r in self.supervisor.records() if r['message'].startswith('Asked by uid ')]


@pytest.fixture
def service(build, postgres, database, redis_server, redis):
    redis.set('roundtable.control.epoch', 1)
    s = Service(build, postgres, database, redis_server)
    yield s
    s.deployment.close()


def test_trigger_and_cancel(service):
    service.start({'rows_sleep': '0 s', 'query_sleep': '1 h'}, testing_rows={'interval': '1 h'}, testing_query={'interval': '1 h'})
    wait_until(lambda: service.task('testing_rows')['runs'] == 1, 'the first run')
    assert service.ask('trigger', task='testing_rows')['ok']
    wait_until(lambda: service.task('testing_rows')['runs'] == 2, 'the triggered run')

    run = wait_until(lambda: service.task('testing_query')['run'], 'the long run')
    busy = service.ask('trigger', task='testing_query')
    assert (busy['ok'], busy['code']) == (False, 75) and 'testing_query runs already' in busy['error']
    assert 'RUN BY' in service.shown() and os.uname().nodename in service.shown().split('testing_query')[1].splitlines()[0]
    cancelled = service.ask('cancel', task='testing_query')
    assert cancelled['ok'] and cancelled['workers']['testing']['run_id'] == run['run_id']
    last = wait_until(lambda: service.task('testing_query')['last'], 'its end')
    assert (last['run_id'], last['result']) == (run['run_id'], 'cancelled')
    again = service.ask('cancel', task='testing_query')
    assert (again['ok'], again['code']) == (False, 1) and 'does not run here' in again['error']
    # every change is on record with who asked
    assert {(c['peerUid'], c['taskName'] if 'taskName' in c else c.get('task')) for c in service.changes()} == {
        (os.geteuid(), 'testing_rows'), (os.geteuid(), 'testing_query')}


@pytest.mark.parametrize('verb, fields, code, said', [
    ('trigger', {}, 2, 'trigger needs a task'), ('cancel', {'task': 'nonsense'}, 2, 'no task nonsense'),
    ('trigger', {'task': 'testing_http'}, 1, 'testing_http is disabled'), ('trigger', {'task': 5}, 2, 'no task'),
    ('pause', {}, 2, 'pause needs tasks'), ('pause', {'tasks': ['testing_rows', 'nonsense']}, 2, 'no task nonsense'),
    ('pause', {'tasks': 'some'}, 2, 'no task some'), ('resume', {'tasks': []}, 2, ''),
    ('pause', {'tasks': ['testing_rows'], 'until_usec': -1}, 2, 'until_usec'), ('log-level', {'level': 'loud'}, 2, 'no log level loud'),
    ('nonsense', {}, 2, 'no verb'), ('trigger', {'task': 'testing_rows', 'family': 'market'}, 2, 'no worker has that')])
def test_bad_requests_are_answered(service, verb, fields, code, said):
    service.start({'rows_sleep': '0 s'}, testing_rows={'interval': '1 h'})
    reply = service.ask(verb, **fields)
    assert (reply['ok'], reply['code']) == (False, code) and said in reply['error'], reply


def test_pause_holds_ours_and_an_original(service, redis):
    service.start({'rows_sleep': '0 s'}, testing_rows={'interval': '200 ms'})
    original = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, 'tests', 'original_imitation.py'), '--url', service.redis_url, '--task', 'testing_rows',
         '--interval-ms', '200', '--run-ms', '20', '--pg',
         f'host={service.postgres.host} port={service.postgres.port} user={service.postgres.user} dbname={service.database}'],
        preexec_fn=die_with_parent)
    ours, theirs = "host <> 'original'", "host = 'original'"

    def held():
        """Both have stopped: rows stay the same while our worker looks at the pause a few times."""
        wait_until(lambda: service.task('testing_rows')['state'] == 'paused', 'the pause')
        wait_until(lambda: not redis.exists('roundtable.loops.testing_rows.task_extended_timeouts'), 'our last run to end')
        wait_until(lambda: service.rows(theirs)[-1][1] == 'end', 'the last run of the original to end')
        seen, looked = len(service.rows()), redis.info('commandstats')['cmdstat_evalsha']['calls']
        wait_until(lambda: redis.info('commandstats')['cmdstat_evalsha']['calls'] > looked + 3 or
                   0 <= redis.pttl('roundtable.control.testing_rows.paused') < 500, 'more looks at the pause, or nearly its end')
        assert len(service.rows()) == seen

    def both_run():
        counts = [len(service.rows(w)) for w in (ours, theirs)]
        wait_until(lambda: all(len(service.rows(w)) >= n + 4 for w, n in zip((ours, theirs), counts)), 'runs of both')

    try:
        both_run()
        # the original sleeps for as long as R lives: to the end of the pause and not beyond
        assert service.ask('pause', tasks=['testing_rows'], reason='a while', until_usec=int((time.time() + 4) * 1e6))['ok']
        held()
        assert redis.pttl(R.format('testing_rows')) <= 4000
        both_run()

        assert service.ask('pause', tasks=['testing_rows'], reason='upgrade')['ok']
        held()
        assert redis.pttl(R.format('testing_rows')) > 29000
        who = 'root' if os.geteuid() == 0 else f'uid {os.geteuid()}'
        text = service.shown()
        assert f'paused by {who} on {os.uname().nodename}: upgrade' in text, text
        refused = service.ask('trigger', task='testing_rows')
        assert (refused['ok'], refused['code']) == (False, 75) and 'upgrade' in refused['error']
        count = len(service.rows(ours))
        assert service.ask('resume', tasks=['testing_rows'])['ok']
        assert redis.pttl(R.format('testing_rows')) <= 200, 'what is left of the interval, for originals too'
        wait_until(lambda: len(service.rows(ours)) > count + 2, 'ours again')
    finally:
        original.kill()
        original.wait()


def test_a_pause_that_ends_by_itself_and_all_tasks(service, redis):
    service.start({'rows_sleep': '0 s'}, testing_rows={'interval': '200 ms'}, testing_more={'interval': '200 ms'})
    wait_until(lambda: service.task('testing_rows')['runs'] > 0 and service.task('testing_more')['runs'] > 0, 'runs')
    until = int((time.time() + 3) * 1e6)
    assert service.ask('pause', tasks='all', family='testing', reason='night', until_usec=until)['ok']
    wait_until(lambda: {service.task(n)['state'] for n in ('testing_rows', 'testing_more')} == {'paused'}, 'both paused')
    runs = service.task('testing_rows')['runs']
    wait_until(lambda: service.task('testing_rows')['runs'] > runs, 'runs after its end')
    assert service.ask('resume', tasks='all')['ok'], 'nothing is left to resume, which is no error'


def test_log_level(service):
    service.start({'rows_sleep': '0 s'}, testing_rows={'interval': '200 ms'})
    assert service.ask('log-level', level='emerg')['ok']
    runs = service.task('testing_rows')['runs']
    wait_until(lambda: service.task('testing_rows')['runs'] > runs + 1, 'two runs')
    told = len([r for r in service.supervisor.records() if 'task finished' in r['message']])
    runs = service.task('testing_rows')['runs']
    wait_until(lambda: service.task('testing_rows')['runs'] > runs + 1, 'two more')
    assert len([r for r in service.supervisor.records() if 'task finished' in r['message']]) == told
    assert service.ask('log-level', level='info')['ok']
    wait_until(lambda: len([r for r in service.supervisor.records() if 'task finished' in r['message']]) > told, 'records again')


def test_a_worker_may_look_but_not_touch(build):
    """Whoever it runs as: in development it has the supervisor's uid, here perhaps even root's."""
    fake = Fake(build)
    try:
        fake.say('ask')
        s = fake.start()
        pid = ready(fake)['pid']
        path = fake.word_file + '.answers'
        wait_until(lambda: os.path.exists(path), 'its answers')
        with open(path) as f:
            status, reload = (json.loads(line) for line in f)
        assert status['ok'] and status['workers']
        assert not reload['ok'] and f'reload is not allowed to uid {os.geteuid()}' in reload['error'], reload
        assert ready(fake)['pid'] == pid
        # the same request from outside
        assert s.control('reload')['ok']
    finally:
        fake.deployment.close()


@pytest.mark.skipif(os.geteuid() != 0, reason='requires root: changes of user')
def test_strangers_are_refused_and_the_own_user_is_not(build):
    """Outside the system service: the supervisor's own uid may change things. (The groups: tests/systemd.)"""
    with harness.Deployment(build) as d:
        for path in (d.directory, d.conf, os.path.join(d.conf, 'workers'), d.runtime, d.state, d.common['environment_file'],
                     os.path.join(d.conf, 'roundtable.conf')):
            os.chown(path, 65534, 65534)
        program = d.program_path('roundtable')

        def as_user(uid, *words):
            return subprocess.run(['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups', program, *words, '--runtime-dir',
                                   d.runtime], capture_output=True, text=True, env=d.environment)
        with open(os.path.join(d.directory, 'log'), 'w') as log:
            s = subprocess.Popen(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', program, 'supervise', '--conf', d.conf,
                                  '--family', 'testing'], stdout=log, stderr=log, env=d.environment, preexec_fn=die_with_parent)
        try:
            wait_until(lambda: as_user(65534, 'status').returncode in (0, 1) and 'testing: running' in as_user(65534, 'status').stdout,
                       'the service')
            assert as_user(65534, 'reload').returncode == 0
            for words in (('status',), ('reload',), ('reload', '--dry-run')):
                refused = as_user(60000, *words)
                assert refused.returncode == 1 and f'{words[0]} is not allowed to uid 60000' in refused.stderr, refused
                assert 'HINT: ' in refused.stderr and 'roundtable-admin' in refused.stderr
            worker = as_user(60000, 'status')
            assert worker.returncode == 1
            # a worker's own socket: no stranger connects, and of its user only the supervisor may change things
            path = os.path.join(d.runtime, 'worker-testing.sock')
            ask = 'import sys; sys.path.insert(0, sys.argv[1]); import harness; print(harness.control(sys.argv[2], sys.argv[3]))'

            def direct(uid, verb):
                return subprocess.run(['setpriv', f'--reuid={uid}', f'--regid={uid}', '--clear-groups', sys.executable, '-c', ask,
                                       os.path.join(ROOT, 'tests'), path, verb], capture_output=True, text=True)
            assert "'ok': True" in direct(65534, 'status').stdout
            assert 'drain is not allowed to uid 65534' in direct(65534, 'drain').stdout
            assert 'PermissionError' in direct(60000, 'status').stderr
        finally:
            s.terminate()
            assert s.wait(30) == 0
