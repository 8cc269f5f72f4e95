"""Locks of a fleet: hosts of ours (lock-agent) and imitated originals on one Redis.

Runs are counted by what their bodies write: lines "<host> <run> <event> <monotonic usec>", one clock for all processes.
"""
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from servers import DEADLINE, die_with_parent, wait_until

SEED = int(os.environ.get('ROUNDTABLE_SOAK_SEED', '7'))  # ./dev soak gives another one
IMITATION = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'original_imitation.py')


class Run:
    def __init__(self, host, begin):
        self.host, self.begin, self.end, self.event = host, begin, None, None

    def __repr__(self):
        return f'{self.host} {self.begin}-{self.end} {self.event}'


class Fleet:
    """Hosts that share one task."""

    def __init__(self, build, redis_server, directory, service, interval_ms, multiplier=None):
        self.agent = os.path.join(build, 'tests', 'integration', 'lock-agent')
        self.url = redis_server.url
        self.log = os.path.join(directory, 'events')
        self.service = service
        self.interval_ms = interval_ms
        self.multiplier = multiplier
        self.processes = {}
        self.client = redis_server.client()
        self.client.set(f'{service}.control.epoch', 1)  # nobody flushed recently

    def _start(self, host, argv):
        self.processes[host] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
        return self.processes[host]

    def ours(self, host, run_ms=20, ttl_ms=60000, dead=()):
        if self.multiplier:
            ttl_ms = int(self.interval_ms * self.multiplier)
        return self._start(host, [self.agent, self.url, self.service, 't', host, str(self.interval_ms), str(ttl_ms),
                                  '1' if self.multiplier else '0', str(run_ms), self.log, *dead])

    def original(self, host, run_ms=20):
        argv = [sys.executable, IMITATION, '--url', self.url, '--service', self.service, '--task', 't', '--interval-ms',
                str(self.interval_ms), '--run-ms', str(run_ms), '--host', host, '--log', self.log, '--jitter', '0.05']
        if self.multiplier:
            argv += ['--multiplier', str(self.multiplier)]
        return self._start(host, argv)

    def kill(self, host):
        """kill -9; a run that it had is over at this moment."""
        process = self.processes.pop(host)
        process.kill()
        process.wait(DEADLINE)
        running = [k for k, r in self._runs().items() if r.host == host and r.end is None]
        with open(self.log, 'a') as f:
            for key in running:
                f.write(f'{host} {key} killed {time.monotonic_ns() // 1000}\n')

    def _runs(self):
        runs = {}
        if os.path.exists(self.log):
            with open(self.log) as f:
                for line in f:
                    host, run, event, at = line.split()
                    if event == 'begin':
                        assert run not in runs, 'a run began twice'
                        runs[run] = Run(host, int(at))
                    else:
                        runs[run].end, runs[run].event = int(at), event
        return runs

    def runs(self, host=None):
        """In the order of their begins."""
        return sorted((r for r in self._runs().values() if host in (None, r.host)), key=lambda r: r.begin)

    def wait_for_runs(self, n, *hosts):
        """Until each of the hosts (or, without any, the fleet) began n runs."""
        def enough():
            for host, process in self.processes.items():
                assert process.poll() is None, f'{host} ended with {process.returncode}'
            return all(len(self.runs(h)) >= n for h in hosts or (None,))
        wait_until(enough, f'{n} runs of {hosts or "anybody"}', DEADLINE)

    def running(self):
        return [r for r in self.runs() if r.end is None]

    def overlaps(self):
        """Pairs of runs that were in progress at one time, the earlier first."""
        found, open_runs = [], []
        for run in self.runs():
            open_runs = [o for o in open_runs if o.end is None or o.end > run.begin]
            found += [(o, run) for o in open_runs]
            open_runs.append(run)
        return found

    def assert_period(self):
        """The fleet's period is the interval: never more runs than intervals have begun."""
        runs = self.runs()
        assert len(runs) - 1 <= (runs[-1].begin - runs[0].begin) / (self.interval_ms * 1000) + 1

    def close(self):
        for host in list(self.processes):
            self.kill(host)
        self.client.close()


@pytest.fixture
def fleet(build, redis_server, redis, tmp_path):
    made = []

    def make(interval_ms, multiplier=None):
        made.append(Fleet(build, redis_server, str(tmp_path), f'fleet{len(made)}', interval_ms, multiplier))
        return made[-1]
    yield make
    for f in made:
        f.close()


def test_the_count_of_overlaps_can_fail(fleet):
    f = fleet(30)
    # the same task under two names of the service: nothing keeps these two apart
    f.ours('a', run_ms=60)
    f.service = 'elsewhere'
    f.client.set('elsewhere.control.epoch', 1)
    f.ours('b', run_ms=60)
    f.wait_for_runs(3, 'a', 'b')
    assert f.overlaps()


def test_two_hosts_of_ours_share_short_intervals(fleet):
    f = fleet(40)
    f.ours('a')
    f.ours('b')
    f.wait_for_runs(100)
    f.wait_for_runs(1, 'a', 'b')
    assert not f.overlaps()
    f.assert_period()


def test_a_run_longer_than_its_interval_is_not_overlapped(fleet):
    f = fleet(400)
    f.ours('a', run_ms=700, ttl_ms=1000)
    f.ours('b', run_ms=700, ttl_ms=1000)
    f.wait_for_runs(4)  # whoever has it begins again at once, as the original does
    host = f.runs()[-1].host
    f.kill(host)
    f.wait_for_runs(2, 'a' if host == 'b' else 'b')
    assert not f.overlaps()
    assert all(r.event in ('end', 'killed') for r in f.runs()[:-1])


def test_random_kills_never_double_a_run(fleet):
    f = fleet(40)
    generator = random.Random(SEED)
    names = {'a': 'a0', 'b': 'b0'}
    for name in names.values():
        f.ours(name)
    for n in range(1, 9):
        seen = len(f.runs())
        f.wait_for_runs(seen + generator.randint(1, 6))
        host = generator.choice('ab')
        dead = names[host]
        f.kill(dead)
        names[host] = f'{host}{n}'
        f.ours(names[host], dead=[dead])
    f.wait_for_runs(len(f.runs()) + 5)
    assert not f.overlaps()
    f.assert_period()


def test_a_killed_run_costs_no_interval(fleet):
    f = fleet(100)
    f.ours('a', run_ms=60000)
    f.wait_for_runs(1, 'a')
    assert f.client.pttl(f'{f.service}.loops.t.task_extended_timeouts') > 30000
    f.kill('a')
    f.ours('b', dead=['a'])
    f.wait_for_runs(2, 'b')  # well before E would have expired
    assert not f.overlaps()


def test_without_the_dead_instance_the_lock_bounds_it(fleet):
    f = fleet(600)
    f.ours('a', run_ms=60000, ttl_ms=1500)
    f.wait_for_runs(1, 'a')
    f.kill('a')
    killed = f.runs('a')[0].end
    f.ours('b', ttl_ms=1500)
    f.wait_for_runs(1, 'b')
    # E was renewed 500 ms before the kill at the earliest, and nobody took it before it expired
    assert f.runs('b')[0].begin >= killed + (1500 - 500 - 400) * 1000


@pytest.mark.parametrize('multiplier', [None, 3])
def test_an_original_in_the_fleet(fleet, multiplier):
    f = fleet(150, multiplier)
    f.ours('a')
    f.original('o')
    f.ours('b')
    f.wait_for_runs(25)
    f.wait_for_runs(2, 'o')
    f.wait_for_runs(2, 'a')
    assert not f.overlaps()
    f.assert_period()


def test_long_runs_of_ours_keep_an_original_out_that_has_no_extended_lock(fleet):
    f = fleet(500)
    f.original('o', run_ms=10)
    f.wait_for_runs(1, 'o')
    f.ours('a', run_ms=1200)
    f.wait_for_runs(4, 'a')
    assert not f.overlaps()
    assert all(r.event == 'end' for r in f.runs('a')[:-1])


def test_long_runs_of_both_exclude_each_other_by_the_extended_lock(fleet):
    f = fleet(60, multiplier=6)
    f.original('o', run_ms=40)
    f.wait_for_runs(2, 'o')
    f.ours('a', run_ms=500)  # longer than the interval times the multiplier: renewed
    f.wait_for_runs(3, 'a')
    assert not f.overlaps()


def test_the_limit_an_originals_run_beyond_its_only_lock(fleet):
    """Without a multiplier nothing tells that an original still runs: ours may begin then, but no run of ours is ever
    overlapped by a later one."""
    f = fleet(500)
    f.original('o', run_ms=1200)
    f.wait_for_runs(1, 'o')
    f.ours('a', run_ms=900)
    f.ours('b', run_ms=900)
    f.wait_for_runs(6)
    assert all(earlier.host == 'o' for earlier, _ in f.overlaps()), f.overlaps()
    assert all(later.host != 'o' for _, later in f.overlaps()), f.overlaps()


def test_a_flush_in_mid_run_doubles_nothing(fleet):
    f = fleet(1000)
    generator = random.Random(SEED + 1)
    f.ours('a', run_ms=2000, ttl_ms=3000)
    f.ours('b', run_ms=2000, ttl_ms=3000)
    f.wait_for_runs(1)
    wait_until(lambda: (f.running() and time.monotonic_ns() // 1000 - f.running()[0].begin
                        > generator.randint(100000, 800000)), 'a moment in the run')
    seen = len(f.runs())
    f.client.flushall()
    f.wait_for_runs(seen + 2)  # nobody takes for six seconds, then both go on
    assert not f.overlaps()
    assert all(r.event == 'end' for r in f.runs()[:-1])


def test_a_frozen_host_finds_its_lock_lost(fleet):
    f = fleet(600)
    frozen = f.ours('a', run_ms=3000, ttl_ms=900)
    f.wait_for_runs(1, 'a')
    os.kill(frozen.pid, signal.SIGSTOP)
    f.ours('b', run_ms=2000, ttl_ms=5000)
    f.wait_for_runs(1, 'b')
    first = f.runs('a')[0]
    os.kill(frozen.pid, signal.SIGCONT)
    wait_until(lambda: f.runs('a')[0].end, 'the end of the frozen run')
    # it was cancelled by its next renewal and did not touch the lock of b
    assert f.runs('a')[0].event == 'cancelled' and f.runs('a')[0].begin == first.begin
    wait_until(lambda: f.runs('b')[0].end, 'the end of the run of b')
    assert f.runs('b')[0].event == 'end'
    assert not [pair for pair in f.overlaps() if pair[0].host == 'b']


def test_pause_holds_ours_and_originals(fleet, redis):
    f = fleet(50)
    f.original('o')
    f.ours('a')
    f.wait_for_runs(2, 'o', 'a')
    # what pause does (its script is tested by itself): the hash, and an R that originals see
    redis.hset(f'{f.service}.control.t.paused', mapping={'who': 'test', 'host': 'h', 'reason': 'r', 'since': '0'})
    redis.set(f'{f.service}.loops.t.task_timeouts', 'TIMEOUT NOT EXPIRED', px=60000)
    wait_until(lambda: not f.running(), 'the last runs to end')
    seen = len(f.runs())
    asked = redis.info('commandstats')['cmdstat_evalsha']['calls']
    wait_until(lambda: redis.info('commandstats')['cmdstat_evalsha']['calls'] > asked + 5, 'a few tries of ours')
    assert len(f.runs()) == seen
    redis.delete(f'{f.service}.control.t.paused', f'{f.service}.loops.t.task_timeouts')
    f.wait_for_runs(3 + len(f.runs('a')), 'a')
