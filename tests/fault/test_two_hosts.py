"""Two workers as two hosts on one Redis and one PostgreSQL: never two runs of one task at a time, whoever dies.

Runs are counted by the rows that testing_rows writes, all stamped by the one database's clock."""
import os
import random

import pytest

import harness
from servers import wait_until

# ./dev soak gives another seed and more intervals
SEED = int(os.environ.get('ROUNDTABLE_SOAK_SEED', '20240501'))
INTERVALS = int(os.environ.get('ROUNDTABLE_SOAK_INTERVALS', '100'))

TABLES = '''
CREATE TABLE testing_runs (id bigserial PRIMARY KEY, run_id text, task text, host text, event text, xid text,
                           at timestamptz NOT NULL DEFAULT clock_timestamp());
'''


class Fleet:
    def __init__(self, build, postgres, database, redis_server, interval, sleep):
        self.postgres, self.database = postgres, database
        postgres.execute(TABLES, database=database)
        self.hosts, self.workers, self.kills = [], [], 0
        for name in ('one', 'two'):
            d = harness.Deployment(build, postgres, database, redis_server)
            self.hosts.append(d)
            d.settings('testing', host=name, rows_sleep=sleep,
                       tasks={'testing_rows': {'enabled': True, 'interval': interval, 'lock_multiplier': 5}})
            self.workers.append(d.worker('testing'))

    def close(self):
        for d in self.hosts:
            d.close()

    def rows(self):
        return self.postgres.execute('SELECT run_id, host, event, at FROM testing_runs ORDER BY at, id', database=self.database)

    def count(self):
        return self.postgres.execute("SELECT count(*) FROM testing_runs WHERE event = 'begin'", database=self.database)[0][0]

    def kill(self, i):
        self.workers[i].kill()
        self.kills += 1
        self.workers[i] = self.hosts[i].worker('testing')

    def overlaps(self):
        """Pairs of runs that were under way at once. A killed run has no end; it is over when its worker is gone."""
        rows = self.rows()
        ended = {r[0]: r[3] for r in rows if r[2] == 'end'}
        begun = [r for r in rows if r[2] == 'begin']
        return [(a, b) for a, b in zip(begun, begun[1:]) if a[0] in ended and b[3] < ended[a[0]]]

    def unfinished(self):
        rows = self.rows()
        return {r[0] for r in rows if r[2] == 'begin'} - {r[0] for r in rows if r[2] == 'end'}


@pytest.fixture
def fleet(build, postgres, database, redis, redis_server):
    fleets = []

    def make(interval='200 ms', sleep='60 ms'):
        fleets.append(Fleet(build, postgres, database, redis_server, interval, sleep))
        return fleets[-1]
    yield make
    for f in fleets:
        f.close()


def finish(f):
    for w in f.workers:
        assert w.stop() == 0
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


def test_a_run_longer_than_its_interval_is_not_overlapped(fleet):
    f = fleet(interval='200 ms', sleep='500 ms')
    wait_until(lambda: f.count() >= 8, 'eight runs')
    finish(f)
    assert f.unfinished() == set()


def test_wiped_locks_do_not_make_two(fleet, redis):
    f = fleet(interval='300 ms', sleep='400 ms')
    for _ in range(3):
        n = f.count()
        wait_until(lambda: f.count() > n, 'a run that is under way')
        redis.flushall()
    n = f.count()
    wait_until(lambda: f.count() >= n + 3, 'runs after the last FLUSHALL')
    finish(f)
