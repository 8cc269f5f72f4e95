"""A supervised worker whose servers fail in every way. Whatever happens to a server: no worker dies of it, the tasks that
need it resume by themselves when it is back, the others go on meanwhile, one record tells of each change of state, and
`status` names the culprit."""
import contextlib
import json
import os
import signal
import socket
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
import netns  # noqa: E402
import tcp_proxy  # noqa: E402
from servers import KafkaMock, Postgres, Redis, free_port, wait_until  # noqa: E402
from testing_family import TABLES  # noqa: E402

TASKS = {'postgres-primary': 'testing_rows', 'redis': None, 'kafka': 'testing_kafka'}
PASSWORD = 'right'


class Servers:
    """The three of them, the one under test reached over TCP and the others, so that they share no fate, by sockets."""

    def __init__(self, build, network=None):
        self.postgres = Postgres(tcp=True, auth='scram-sha-256')
        self.redis = Redis(tcp=True)
        self.kafka = KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock'))
        self.kafka_control = os.path.join(self.kafka.directory, 'control')
        self.all = {'postgres-primary': self.postgres, 'redis': self.redis, 'kafka': self.kafka}
        for server in self.all.values():
            server.network = network
        self.postgres.start()
        self.postgres.execute(f"CREATE ROLE worker LOGIN PASSWORD '{PASSWORD}'; GRANT ALL ON SCHEMA public TO worker")
        self.postgres.execute(TABLES)
        self.postgres.execute('GRANT ALL ON ALL TABLES IN SCHEMA public TO worker; '
                              'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO worker')
        self.redis.start()
        for _ in range(10):  # it keeps its port over a restart; the port may be taken between choosing and binding
            self.kafka.arguments = ['--port', str(free_port()), '--control', self.kafka_control]
            try:
                self.kafka.start()
                break
            except Exception:
                self.kafka.close()
        self.no_epoch_wait()

    def no_epoch_wait(self):
        """A new Redis would keep everybody waiting for the owners of its locks."""
        with contextlib.closing(self.redis.client()) as c:
            c.set('roundtable.control.epoch', 1)

    def start(self, name):
        self.all[name].start()
        if name == 'redis':
            self.no_epoch_wait()

    def stop(self, name):
        self.all[name].kill()

    def mock(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(30)
            s.connect(self.kafka_control)
            s.sendall(command.encode() + b'\n')
            assert s.makefile().readline().strip() == 'ok'

    def passwords(self, name, word):
        """Changes the password, and ends the sessions that came in with the old one."""
        if name == 'redis':
            with contextlib.closing(self.redis.client()) as c:
                c.config_set('requirepass', word or '')
                c.execute_command('CLIENT', 'KILL', 'TYPE', 'normal')
            self.redis.password = word
        else:
            self.postgres.execute(f"ALTER ROLE worker PASSWORD '{word}'")
            self.postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")

    def close(self):
        for server in self.all.values():
            server.close()


@pytest.fixture(scope='module')
def servers(build):
    s = Servers(build)
    yield s
    s.close()


@pytest.fixture(scope='module')
def cut_servers(build):
    with netns.require(netns.LoopbackNamespace) as network:
        s = Servers(build, network.path)
        s.namespace = network
        yield s
        s.close()


class World:
    def __init__(self, build, servers, over_tcp, proxy=None, prefix=()):
        self.servers = servers
        d = self.deployment = harness.Deployment(build)
        d.prefix = list(prefix)
        tcp = over_tcp == 'postgres-primary'
        host = '127.0.0.1' if tcp else servers.postgres.host
        port = proxy.port if proxy and tcp else servers.postgres.port
        redis_port = proxy.port if proxy and over_tcp == 'redis' else servers.redis.port
        secret = f':{servers.redis.password}@' if servers.redis.password else ''
        redis = f'redis://{secret}127.0.0.1:{redis_port}' if over_tcp == 'redis' else f'unix://{servers.redis.socket}'
        d.settings(database={'host': host, 'use_replica': False, 'port': port, 'name': 'postgres', 'user': 'worker',
                             'password': PASSWORD},
                   redis={'url': redis, 'reconnect_delay': '50 ms'},
                   kafka={'brokers': servers.kafka.bootstrap, 'connection_timeout': '1 s'})
        task = {'enabled': True, 'interval': '150 ms', 'max_run': '1 s', 'lock_multiplier': 20}
        d.settings('testing', rows_sleep='0 s', tasks={'testing_rows': task, 'testing_kafka': dict(task, max_run='2 s')})
        self.supervisor = None
        self.changes = 0  # of state, so far

    def start(self):
        self.supervisor = self.deployment.supervisor(['--family', 'testing'])
        self.wait(lambda: self.worker()['state'] == 'running', 'its worker')
        self.first_pid = self.worker()['pid']

    def wait(self, condition, what):
        return self.supervisor.wait_for(condition, what)

    def worker(self):
        (w,) = [w for w in self.supervisor.control('status')['workers'] if w['family'] == 'testing']
        return w

    def task(self, name):
        (t,) = [t for t in self.worker()['worker']['tasks'] if t['name'] == name]
        return t

    def ok(self, task):
        """Finished runs that did what they are for."""
        return len(self.supervisor.records(at='worker#runTask', taskName=task, result='ok'))

    def server(self, name):
        return self.worker()['worker']['servers'][name]

    def wait_for_runs(self, task, more=2):
        n = self.ok(task)
        self.wait(lambda: self.ok(task) >= n + more, f'runs of {task}')

    def records(self, server):
        return [r for r in self.supervisor.records(server=server) if r['at'] == 'worker#servers']

    def complaints(self):
        """What the screen of `status` marks as wrong."""
        shown = self.deployment.run('roundtable', 'status', '--runtime-dir', self.deployment.runtime)
        lines = [line for line in shown.stdout.splitlines() if line.startswith('  ! ')]
        assert not lines or shown.returncode == 1
        return lines

    def expect_lost(self, name):
        """It is named, once, however often it is tried; tasks that do without it go on."""
        self.wait(lambda: not self.server(name)['ok'], f'{name} named')
        assert self.server(name)['error']
        assert any(name in line for line in self.complaints()), self.complaints()
        if TASKS[name]:
            failures = self.task(TASKS[name])['failures']
            self.wait(lambda: self.task(TASKS[name])['failures'] > failures, 'another failed attempt')
        for other, task in TASKS.items():
            if name != 'redis' and task and other != name:
                self.wait_for_runs(task)
                assert self.server(other)['ok']
        self.changes += 1
        assert len(self.records(name)) == self.changes, self.records(name)

    def expect_back(self, name):
        self.wait(lambda: self.server(name)['ok'], f'{name} back')
        for task in filter(None, TASKS.values()):
            self.wait_for_runs(task)
        self.changes += 1
        assert len(self.records(name)) == self.changes, self.records(name)
        assert not any(name in line for line in self.complaints()), self.complaints()

    def expect_alive(self):
        w = self.worker()
        assert w['pid'] == self.first_pid and w['restarts'] == 0
        assert self.supervisor.stop() == 0

    def close(self):
        self.deployment.close()


@contextlib.contextmanager
def world(build, servers, name, **more):
    w = World(build, servers, name, **more)
    try:
        yield w
    except Exception:
        if w.supervisor:
            print(w.supervisor.log()[-6000:])
        raise
    finally:
        w.close()


EACH = pytest.mark.parametrize('name', list(TASKS))
WITH_PASSWORD = pytest.mark.parametrize('name', ['postgres-primary', 'redis'])


@EACH
def test_absent_at_start_then_stopped_and_started(build, servers, name):
    servers.stop(name)
    try:
        with world(build, servers, name) as w:
            w.start()
            w.expect_lost(name)
            servers.start(name)
            w.expect_back(name)
            servers.stop(name)
            w.expect_lost(name)
            servers.start(name)
            w.expect_back(name)
            w.expect_alive()
    finally:
        if not servers.all[name].running():
            servers.start(name)


@EACH
def test_frozen(build, servers, name):
    with world(build, servers, name) as w:
        w.start()
        w.wait_for_runs('testing_rows')
        w.wait_for_runs('testing_kafka')
        servers.all[name].freeze()
        try:
            w.expect_lost(name)
        finally:
            servers.all[name].thaw()
        w.expect_back(name)
        w.expect_alive()


def test_postgres_frozen_in_mid_query(build, servers):
    """The run fails at its deadline, and the next one works."""
    with world(build, servers, 'postgres-primary') as w:
        w.deployment.settings('testing', query_sleep='500 ms', tasks={
            'testing_query': {'enabled': True, 'interval': '100 ms', 'max_run': '1 s'}})
        w.start()
        w.wait_for_runs('testing_query', 1)
        with contextlib.closing(servers.postgres.connect()) as c, c.cursor() as cursor:
            def in_query():
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep($1%'")
                return cursor.fetchone()[0]
            w.wait(in_query, 'a query that is under way')
        servers.postgres.freeze()
        try:
            failed = w.wait(lambda: w.supervisor.records(at='loops-helpers/testing_query', level='error'), 'a failed run')
        finally:
            servers.postgres.thaw()
        assert 'its deadline (max_run) passed' in failed[0]['error']['message']
        w.wait_for_runs('testing_query')
        w.expect_alive()


@WITH_PASSWORD
def test_refuses_its_password(build, servers, name):
    if name == 'redis':
        servers.passwords(name, PASSWORD)
    with world(build, servers, name) as w:
        w.start()
        w.wait_for_runs('testing_rows')
        servers.passwords(name, 'another')
        try:
            w.expect_lost(name)
            assert 'password' in w.server(name)['error'].lower() or 'auth' in w.server(name)['error'].lower()
        finally:
            servers.passwords(name, PASSWORD)
        w.expect_back(name)
        w.expect_alive()
    if name == 'redis':
        servers.passwords(name, None)


@EACH
def test_slow_but_in_time_is_nobodys_fault(build, servers, name):
    with tcp_proxy.TcpProxy(('127.0.0.1', getattr(servers.all[name], 'port', 0))) as proxy, \
            world(build, servers, name, proxy=proxy) as w:
        w.start()
        w.wait_for_runs('testing_rows')
        proxy.delay, proxy.mode = 0.1, tcp_proxy.DELAY
        if name == 'kafka':
            servers.mock('rtt 100')
        try:
            for task in filter(None, TASKS.values()):
                w.wait_for_runs(task, 3)
        finally:
            if name == 'kafka':
                servers.mock('rtt 0')
        assert w.records(name) == []
        w.expect_alive()


@EACH
def test_slower_than_anybody_waits(build, servers, name):
    with tcp_proxy.TcpProxy(('127.0.0.1', getattr(servers.all[name], 'port', 0))) as proxy, \
            world(build, servers, name, proxy=proxy) as w:
        if name == 'kafka':  # an attempt takes a third of that
            w.deployment.settings(kafka=dict(w.deployment.common['kafka'], request_timeout='3 s'))
        w.start()
        w.wait_for_runs('testing_rows')
        w.wait_for_runs('testing_kafka')
        proxy.delay, proxy.mode = 60, tcp_proxy.DELAY
        if name == 'kafka':
            servers.mock('rtt 60000')
        try:
            w.expect_lost(name)
        finally:
            if name == 'kafka':
                servers.mock('rtt 0')
        proxy.mode = tcp_proxy.PASS
        w.expect_back(name)
        w.expect_alive()


def test_a_lock_that_a_drain_could_not_give_back_holds_nobody_up(build, servers):
    """Redis is cut off in mid-run, and the worker is drained: it ends in order, but its lock would stay for half an hour."""
    task = {'enabled': True, 'interval': '2 s', 'lock_multiplier': 1000}
    with tcp_proxy.TcpProxy(('127.0.0.1', servers.redis.port)) as proxy, \
            world(build, servers, 'redis', proxy=proxy) as w, contextlib.closing(servers.redis.client()) as redis:
        w.deployment.environment['ROUNDTABLE_TEST_RELEASE_USEC'] = '100000'
        w.deployment.settings('testing', rows_sleep='1 h', stop_timeout='1 s', tasks={'testing_rows': task})
        w.start()
        w.wait(lambda: w.task('testing_rows')['state'] == 'running', 'a run')
        proxy.mode = tcp_proxy.REFUSE
        proxy.cut()
        w.deployment.settings('testing', rows_sleep='0 s', tasks={'testing_rows': task})
        w.supervisor.signal(signal.SIGHUP)
        w.wait(lambda: w.worker()['pid'] not in (0, w.first_pid) and w.worker()['state'] == 'running', 'the next worker')
        assert w.worker()['last_exit'] == 'exited with code 0'
        assert redis.pttl('roundtable.loops.testing_rows.task_extended_timeouts') > 1000000
        proxy.mode = tcp_proxy.PASS
        w.wait_for_runs('testing_rows')
        assert w.supervisor.stop() == 0


@EACH
def test_cut_off_without_a_packet(build, cut_servers, name):
    with world(build, cut_servers, name, prefix=cut_servers.namespace.inside([])) as w:
        w.start()
        w.wait_for_runs('testing_rows')
        w.wait_for_runs('testing_kafka')
        cut_servers.namespace.cut()
        try:
            if name == 'kafka':
                w.expect_lost(name)
            else:  # Kafka is always reached over TCP
                w.wait(lambda: not w.server(name)['ok'], f'{name} named')
        finally:
            cut_servers.namespace.join()
        w.wait(lambda: w.server(name)['ok'] and w.server('kafka')['ok'], 'servers back')
        w.wait_for_runs('testing_rows')
        w.wait_for_runs('testing_kafka')
        assert len(w.records(name)) == 2, w.records(name)
        w.expect_alive()
