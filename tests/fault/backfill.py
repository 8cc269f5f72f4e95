#!/usr/bin/python3
"""`./dev soak --backfill`: 10,000 funding heights of 200 accounts and 3 markets, from the first one on, by
update-funding-payments and update-pnl: once undisturbed, and once more with kill -9 of the worker at random heights.

backfill.py [--seed S] [--kills N] [--heights N]

The tables must be equal in the end, which is told by a checksum of all their columns; prints time, rate and peak memory.
Takes some minutes and 5 GB in /tmp.
"""
import argparse
import contextlib
import json
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'tests'))

import harness  # noqa: E402
import servers  # noqa: E402

HEIGHTS, ACCOUNTS, MARKETS = 10000, 200, 3
STEP = 700  # blocks between two heights
LONGEST = 3600  # seconds
TASKS = {'update-funding-payments': ('funding_payments', 'fundingPaymentsLastProcessedHeight'),
         'update-pnl': ('pnl', 'pnlLastProcessedHeight')}


def fill_backlog(connection, heights=HEIGHTS):
    """Updates of each market at each height; each account opens each market in the first hour, and trades 70 times an hour
    in all; 20,000 transfers."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; SET timezone = 'UTC'")
        cursor.execute("INSERT INTO markets SELECT i, 'pair ' || i, -9, 1000, NULL FROM generate_series(0, %s) AS i",
                       (MARKETS - 1,))
        cursor.execute('''INSERT INTO perpetual_markets (id, "clobPairId", ticker, "marketId", status, "priceChange24H",
                              "volume24H", "trades24H", "nextFundingRate", "openInterest", "quantumConversionExponent",
                              "atomicResolution", "subticksPerTick", "stepBaseQuantums")
                          SELECT i, i, 'M' || i || '-USD', i, 'ACTIVE', 0, 0, 0, 0, 0, -9, -7, 100000, 1000000
                            FROM generate_series(0, %s) AS i''', (MARKETS - 1,))
        cursor.execute("INSERT INTO subaccounts SELECT md5('s' || i)::uuid, 'a' || i, 0, now(), 1 FROM generate_series(0, %s) AS i",
                       (ACCOUNTS - 1,))
        cursor.execute('''INSERT INTO funding_index_updates
                          SELECT md5(h || ' ' || m)::uuid, m, '\\x00', 0.0000125, 60000.5, h * 0.125 + m,
                                 '2023-11-01'::timestamptz + h * interval '1 hour', %s * h
                            FROM generate_series(1, %s) AS h, generate_series(0, %s) AS m''', (STEP, heights, MARKETS - 1))
        cursor.execute('''INSERT INTO fills (id, "subaccountId", side, liquidity, type, "clobPairId", size, price, "quoteAmount",
                              "eventId", "transactionHash", "createdAt", "createdAtHeight", fee)
                          SELECT md5('f' || k)::uuid, md5('s' || k %% %(a)s)::uuid, CASE WHEN k %% 7 < 3 THEN 'SELL' ELSE 'BUY' END,
                                 'TAKER', 'LIMIT', k / %(a)s %% %(m)s, 0.5 + k %% 1000 / 1000.0, 1, 100 + k %% 977 / 7.0, '\\x00', '',
                                 now(), greatest((k - %(a)s * %(m)s) * 10, 1), round((k %% 97) / 7.0, 6)::text
                            FROM generate_series(0, %(n)s) AS k''', {'a': ACCOUNTS, 'm': MARKETS, 'n': heights * 70})
        cursor.execute('''INSERT INTO transfers (id, "recipientSubaccountId", "senderWalletAddress", "assetId", size, "eventId",
                              "transactionHash", "createdAt", "createdAtHeight")
                          SELECT md5('t' || k)::uuid, md5('s' || k %% %s)::uuid, 'w', '0', 1000 + k, '\\x00', '', now(), 1 + k * 350
                            FROM generate_series(0, 19999) AS k''', (ACCOUNTS,))
        cursor.execute('VACUUM ANALYZE')


def checksum(connection, table):
    """(rows, heights, sum of hashes of whole rows), whatever their order."""
    with connection.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'")
        cursor.execute(f'SELECT count(*), count(DISTINCT "createdAtHeight"), sum(hashtextextended(t::text, 0)::numeric), '
                       f'sum(hashtextextended(t::text, 1)::numeric) FROM {table} AS t')
        return cursor.fetchone()


def peak_mib(pid):
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmHWM')) / 1024


class Backfill:
    """Both tasks on one database, the worker killed where that is wanted."""

    def __init__(self, build, postgres, redis, database):
        self.deployment = harness.Deployment(build, postgres, database, redis)
        self.connection = postgres.connect(database)
        self.redis = redis
        listed = self.deployment.run('roundtable', 'list', '--json', '--conf', self.deployment.conf)
        self.names = [t['task'] for t in json.loads(listed.stdout) if t['family'] == 'pnl']

    def close(self):
        self.connection.close()
        self.deployment.close()

    def height(self, task):
        """The last height that is done."""
        with self.connection.cursor() as cursor:
            cursor.execute('SELECT value FROM persistent_cache WHERE key = %s', (TASKS[task][1],))
            row = cursor.fetchone()
            return int(row[0]) if row else 0

    def run(self, task, kills=()):
        """(seconds, greatest peak MiB, last record); kills: heights behind which the worker is killed."""
        with contextlib.closing(self.redis.client()) as client:
            client.flushall()
            client.set('roundtable.control.epoch', '1')
        # an interval whose locks are soon over when their owner is killed
        self.deployment.settings('pnl', tasks={name: {'enabled': name == task, 'interval': '2 s'} for name in self.names})
        peaks, start = [], time.monotonic()
        worker = self.deployment.worker('pnl')
        for at in sorted(kills):
            worker.wait_for(lambda: self.height(task) > at, f'height {at}', LONGEST)
            peaks.append(peak_mib(worker.pid))
            worker.kill()
            worker = self.deployment.worker('pnl')

        def finished():
            return [r for r in worker.records(taskName=task) if 'roundTrips' in r]
        worker.wait_for(finished, 'the end of the backfill', LONGEST)
        took, record = time.monotonic() - start, finished()[0]
        peaks.append(peak_mib(worker.pid))
        worker.stop()
        assert record['result'] == 'ok', record
        return took, max(peaks), record


def compare(build, postgres, redis, template, kills=3, seed=0, heights=HEIGHTS, say=print):
    """Lines that tell what both runs of both tasks took. Raises AssertionError where their tables differ. kills 0: the
    undisturbed runs alone."""
    filled = postgres.create_database('backfill_whole', template=template)
    with contextlib.closing(postgres.connect(filled)) as connection:
        fill_backlog(connection, heights)
    postgres.create_database('backfill_killed', template=filled)
    r, lines = random.Random(seed), []
    with contextlib.closing(Backfill(build, postgres, redis, filled)) as whole, \
            contextlib.closing(Backfill(build, postgres, redis, 'backfill_killed')) as killed:
        for task, (table, _) in TASKS.items():
            at = sorted(STEP * r.randrange(heights // 20, heights * 9 // 10) for _ in range(kills))
            say(f'{task}: undisturbed')
            took, peak, record = whole.run(task)
            expected = checksum(whole.connection, table)
            assert expected[1] == heights, expected
            lines.append(f'Backfill of {heights:,} heights by `{task}` ({ACCOUNTS} accounts, {MARKETS} markets): {expected[0]:,} '
                         f'rows in {took:.0f} s, {heights / took:,.0f} heights and {expected[0] / took:,.0f} rows a second; '
                         f'{record["slices"]} slices, {record["roundTrips"]} round trips, peak {peak:.0f} MiB.')
            say(lines[-1])
            if kills == 0:
                continue
            say(f'{task}: killed behind the heights {", ".join(f"{h // STEP:,}" for h in at)}')
            took, peak, _ = killed.run(task, at)
            got = checksum(killed.connection, table)
            assert got == expected, (task, got, expected)
            lines.append(f'With kill -9 behind the heights {", ".join(f"{h // STEP:,}" for h in at)}: {took:.0f} s, peak '
                         f'{peak:.0f} MiB; {got[0]:,} rows with the same checksum ({got[2]}).')
            say(lines[-1])
    for database in ('backfill_killed', filled):
        postgres.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
    return lines


def main():
    parser = argparse.ArgumentParser(description='a backfill that is killed, compared with one that is not')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument('--kills', type=int, default=3)
    parser.add_argument('--heights', type=int, default=HEIGHTS)
    options = parser.parse_args()
    build = os.environ.get('ROUNDTABLE_BUILD', os.path.join(ROOT, 'build', 'test'))
    print(f'seed {options.seed}', flush=True)
    with servers.Postgres() as postgres, servers.Redis() as redis:
        template = postgres.create_database('backfill_template')
        with harness.Deployment(build, postgres, template) as d:
            done = d.run('roundtable-admin', 'migrate', '--conf', d.conf)
            assert done.returncode == 0, (done.stdout, done.stderr)
        compare(build, postgres, redis, template, options.kills, options.seed, options.heights,
                lambda text: print(text, flush=True))
    return 0


if __name__ == '__main__':
    sys.exit(main())
