"""Two workers as two hosts on one Redis and one PostgreSQL: never two runs of one task at a time, whoever dies.

Runs are counted by the rows that testing_rows writes, all stamped by the one database's clock."""
import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
import tcp_proxy  # noqa: E402
from servers import die_with_parent, short_directory, wait_until  # noqa: E402
from testing_family import TABLES  # noqa: E402

IMITATION = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'original_imitation.py')

# ./dev soak gives another seed and more intervals
SEED = int(os.environ.get('ROUNDTABLE_SOAK_SEED', '20240501'))
INTERVALS = int(os.environ.get('ROUNDTABLE_SOAK_INTERVALS', '100'))


class Fleet:
    def __init__(self, build, postgres, database, redis_server, interval, sleep, task='testing_rows', urls=(None, None),
                 supervised=False):
        self.postgres, self.database, self.redis = postgres, database, redis_server
        self.task, self.original = task, None
        postgres.execute(TABLES, database=database)
        with contextlib.closing(redis_server.client()) as c:
            c.set('roundtable.control.epoch', 1)  # else the first take waits for the owners of locks
        self.hosts, self.workers, self.kills, self.deaths = [], [], 0, []
        settings = {'enabled': True, 'interval': interval}
        if task == 'testing_rows':
            settings['lock_multiplier'] = 5
        for name, url in zip(('one', 'two'), urls):
            d = harness.Deployment(build, postgres, database, redis_server)
            self.hosts.append(d)
            if url:
                d.settings(None, redis={'url': url, 'reconnect_delay': '50 ms'})
            d.settings('testing', host=name, rows_sleep=sleep, tasks={task: settings})
            self.workers.append(d.supervisor(['--family', 'testing'], {'ROUNDTABLE_TEST_BACKOFF_FIRST_USEC': '1000'})
                                if supervised else d.worker('testing'))

    def add_original(self, interval_ms, run_ms, multiplier=None):
        """An instance of the original, imitated, whose runs write the same rows."""
        pg = self.postgres
        argv = [sys.executable, IMITATION, '--url', self.redis.url, '--task', self.task, '--interval-ms', str(interval_ms),
                '--run-ms', str(run_ms), '--host', 'original', '--jitter', '0.05', '--pg',
                f'host={pg.host} port={pg.port} user={pg.user} password={pg.password} dbname={self.database}']
        if multiplier:
            argv += ['--multiplier', str(multiplier)]
        self.original = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def stop_original(self):
        if self.original:
            self.original.kill()
            self.original.wait()
            self.original = None

    def close(self):
        self.stop_original()
        for d in self.hosts:
            d.close()

    def rows(self):
        return self.postgres.execute('SELECT run_id, host, event, at FROM testing_runs ORDER BY at, id', database=self.database)

    def count(self, host='%'):
        return self.postgres.execute("SELECT count(*) FROM testing_runs WHERE event = 'begin' AND host LIKE %s", (host,),
                                     self.database)[0][0]

    def now(self):
        return self.postgres.execute('SELECT clock_timestamp()', database=self.database)[0][0]

    @contextlib.contextmanager
    def death(self, i):
        """What the host runs when the block begins, it runs at least until then; behind the block it runs nothing of it."""
        before = self.now()
        yield
        self.kills += 1
        self.deaths.append((('one', 'two')[i], before, self.now()))

    def kill(self, i):
        with self.death(i):
            self.workers[i].kill()
        self.workers[i] = self.hosts[i].worker('testing')

    def kill_supervised(self, i):
        """Its supervisor starts another one, which is told whose locks are to be cleared."""
        def pid():
            (w,) = [w for w in self.workers[i].control('status')['workers'] if w['family'] == 'testing']
            return w['state'] == 'running' and w['pid']
        victim = self.workers[i].wait_for(pid, 'a worker')
        process = os.pidfd_open(victim)
        with self.death(i):
            os.kill(victim, signal.SIGKILL)
            assert select.select([process], [], [], harness.DEADLINE)[0], 'it died'
        os.close(process)
        self.workers[i].wait_for(lambda: pid() not in (False, victim), 'its replacement')

    def overlaps(self):
        """Pairs of runs that were under way at once. A killed run has no end; it lasted until its worker was killed."""
        rows = self.rows()
        begun = [r for r in rows if r[2] == 'begin']
        ended, lives = {}, {}
        for host, before, after in self.deaths:
            # of this life: a worker killed again before its first run leaves the run of the one before alone
            mine = [r for r in begun if r[1] == host and lives.get(host, r[3]) <= r[3] < before]
            ended.update({r[0]: before for r in mine[-1:]})
            lives[host] = after
        ended.update({r[0]: r[3] for r in rows if r[2] == 'end'})
        return [(a, b) for a, b in zip(begun, begun[1:]) if a[0] in ended and b[3] < ended[a[0]]]

    def unfinished(self):
        rows = self.rows()
        return {r[0] for r in rows if r[2] == 'begin'} - {r[0] for r in rows if r[2] == 'end'}


@pytest.fixture
def fleet(build, postgres, database, redis, redis_server):
    fleets = []

    def make(interval='200 ms', sleep='60 ms', **more):
        fleets.append(Fleet(build, postgres, database, redis_server, interval, sleep, **more))
        return fleets[-1]
    yield make
    for f in fleets:
        f.close()


def finish(f):
    for w in f.workers:
        assert w.stop() == 0
    print(f'{f.task}: runs', {host: f.count(host) for host in sorted({r[1] for r in f.rows()})},
          f'kills {f.kills}, unfinished {len(f.unfinished())}, overlaps {len(f.overlaps())}')
    assert f.overlaps() == []
    assert len(f.unfinished()) <= f.kills, 'only a killed run has no end'


def test_never_two_runs_at_a_time_whoever_is_killed(fleet):
    f = fleet()
    generator = random.Random(SEED)
    for target in range(20, INTERVALS + 1, 20):
        wait_until(lambda: f.count() >= target, f'{target} runs', deadline=120)
        f.kill(generator.randrange(2))
    wait_until(lambda: f.count() >= INTERVALS + 5, 'runs after the last kill')
    assert {r[1] for r in f.rows()} == {'one', 'two'}, 'both hosts take their part'
    finish(f)


def test_two_supervisors_whose_workers_are_killed(fleet):
    """The whole service on both hosts: replacements clear the locks of the dead at once, and of nobody else."""
    f = fleet(supervised=True)
    generator = random.Random(SEED + 3)
    for target in range(10, 41, 10):
        wait_until(lambda: f.count() >= target, f'{target} runs', deadline=120)
        f.kill_supervised(generator.randrange(2))
    seen = {host: f.count(host) for host in ('one', 'two')}
    wait_until(lambda: all(f.count(host) > n for host, n in seen.items()), 'runs of both', deadline=120)
    finish(f)


def test_two_supervisors_and_an_original_beside_them(fleet):
    """What a replacement clears is never the original's."""
    f = fleet(supervised=True)
    f.add_original(200, 60, 5)
    generator = random.Random(SEED + 4)
    for target in range(10, 31, 10):
        wait_until(lambda: f.count() >= target, f'{target} runs', deadline=120)
        f.kill_supervised(generator.randrange(2))
    everybody = ('one', 'two', 'original')
    seen = {host: f.count(host) for host in everybody}
    wait_until(lambda: all(f.count(host) > seen[host] for host in everybody), 'runs of all three', deadline=120)
    f.stop_original()
    f.kills += 1
    finish(f)


def test_a_run_longer_than_its_interval_is_not_overlapped(fleet):
    f = fleet(interval='200 ms', sleep='500 ms')
    wait_until(lambda: f.count() >= 8, 'eight runs')
    finish(f)
    assert f.unfinished() == set()


@pytest.mark.parametrize('task,multiplier', [('testing_rows', 5), ('testing_rows_nolock', None)])
def test_an_original_beside_two_workers(fleet, task, multiplier):
    """Runs that are shorter than what the original locks for: nobody overlaps, whoever is killed. (Without a multiplier
    the lock of a host that died lasts 60 s, too long for a test.)"""
    f = fleet(task=task)
    f.add_original(200, 60, multiplier)
    generator = random.Random(SEED + 1)
    everybody = ('one', 'two', 'original')
    for target in range(15, 46, 15):
        wait_until(lambda: f.count() >= target, f'{target} runs', deadline=120)
        if multiplier:
            f.kill(generator.randrange(2))
    seen = {host: f.count(host) for host in everybody}
    wait_until(lambda: all(f.count(host) > seen[host] for host in everybody), 'runs of all three', deadline=120)
    f.stop_original()
    f.kills += 1
    finish(f)


def test_an_original_is_kept_out_while_a_long_run_of_ours_lasts(fleet):
    """It has no extended lock for this task and would begin a run each interval; ours renew the regular lock."""
    f = fleet(interval='300 ms', sleep='900 ms', task='testing_rows_nolock')
    f.add_original(300, 20)
    wait_until(lambda: f.count('one') + f.count('two') >= 4, 'long runs of ours')
    f.stop_original()
    f.kills += 1
    finish(f)


def test_a_host_cut_off_from_redis_in_mid_run(fleet, redis_server):
    """Its run is cancelled before its lock expires, so that the other host's begins after it; then it takes part again."""
    directory = short_directory('cut-')
    with tcp_proxy.TcpProxy(redis_server.socket, listen=os.path.join(directory, 'redis.sock')) as proxy:
        f = fleet(interval='300 ms', sleep='5 s', urls=(f'unix://{proxy.address}', None))
        wait_until(lambda: f.count() == 1, 'the first run')
        if f.rows()[0][1] == 'two':  # the one that can be cut off shall have it
            f.kill(1)
            wait_until(lambda: f.count('one') == 1, 'a run of host one')
        proxy.mode = tcp_proxy.SILENT
        seen = f.count('two')
        wait_until(lambda: f.count('two') > seen, 'the other host to take over')
        # what the cut host does is looked at after the other began: it must have been over by then
        (mine,) = [t for t in f.workers[0].control('status')['worker']['tasks'] if t['name'] == f.task]
        assert mine['state'] != 'running' and mine['last']['result'] == 'cancelled', mine
        assert not [r for r in f.rows() if r[1] == 'one' and r[2] == 'end']
        assert f.workers[0].records(server='redis'), 'and it says why'
        f.workers[1].kill()  # who has a run that is longer than its interval takes the next one, too
        proxy.mode = tcp_proxy.PASS
        seen = f.count('one')
        wait_until(lambda: f.count('one') > seen, 'the host that was cut off to take part again')
        f.workers[0].kill()
        assert f.overlaps() == []


def test_wiped_locks_do_not_make_two(fleet, redis):
    f = fleet(interval='300 ms', sleep='400 ms')
    generator = random.Random(SEED + 2)
    for _ in range(3):
        n = f.count()
        wait_until(lambda: f.count() > n, 'a run that is under way')
        begun, moment = time.monotonic(), generator.uniform(0, 0.35)
        wait_until(lambda: time.monotonic() - begun > moment, 'a moment in the run', interval=0.005)
        redis.flushall()
    n = f.count()
    wait_until(lambda: f.count() >= n + 3, 'runs after the last FLUSHALL')
    finish(f)
    assert f.unfinished() == set()
