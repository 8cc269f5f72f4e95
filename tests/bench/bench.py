#!/usr/bin/python3
"""The tables of README's section on speed, as Markdown: bench.py [--runs N] [--kills N] [--markets LIST] [--scales LIST]

For each size a database of sample data is made and market_updater is run by a stand-alone worker, in turn with the same
SQL in psql on the same server. Before each of both all statistics are set to another value, so that every market is
written. Figures are medians, of the worker's own record of the run and of psql's \\timing.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'tests'))

import harness  # noqa: E402
import servers  # noqa: E402

RESET = ('UPDATE perpetual_markets SET "priceChange24H" = -1, "volume24H" = -1, "trades24H" = -1, "nextFundingRate" = -1, '
         '"openInterest" = -1')


def say(text):
    print(text, file=sys.stderr, flush=True)


def statement(name):
    """A statement of sql/market without its comments."""
    with open(os.path.join(ROOT, 'sql', 'market', name)) as f:
        return ''.join(line for line in f if not line.startswith('--')).strip()


def bind(text, *values):
    """The statement with its parameters as literals: psql of PostgreSQL 15 cannot bind."""
    return re.sub(r'\$(\d)', lambda m: "'" + values[int(m.group(1)) - 1] + "'", text)


def array(values):
    return '{' + ','.join(str(v) for v in values) + '}'


def psql_script(connection):
    """What a run asks of PostgreSQL, with the values of the run before."""
    with connection.cursor() as cursor:
        cursor.execute('SELECT id, "clobPairId", "marketId", "priceChange24H", "volume24H", "trades24H", "nextFundingRate", '
                       '"openInterest" FROM perpetual_markets ORDER BY id')
        ids, pairs, markets, *columns = [array(c) for c in zip(*cursor.fetchall())]
        cursor.execute('SELECT now()::text')
        now = cursor.fetchone()[0]
    return '\n'.join(['\\timing on', statement('read_markets.sql') + ';',
                      bind(statement('read_statistics.sql'), ids, pairs, markets, now) + ';', 'BEGIN;',
                      bind(statement('update_markets.sql'), ids, *columns) + ';', 'COMMIT;'])


def run_psql(postgres, database, script):
    """Milliseconds of all statements of the script."""
    done = subprocess.run(['psql', '-X', '-h', postgres.host, '-p', str(postgres.port), '-U', postgres.user, '-d', database,
                           '-v', 'ON_ERROR_STOP=1'], input=script, capture_output=True, text=True, check=True)
    times = re.findall(r'^Time: ([0-9.]+) ms', done.stdout, re.M)
    assert len(times) == 5, done.stdout[-500:]
    return sum(map(float, times))


def cpu_nsec(pid):
    total = 0
    for thread in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{thread}/schedstat') as f:
                total += int(f.read().split()[0])
        except FileNotFoundError:
            pass
    return total


def peak_kib(pid):
    with open(f'/proc/{pid}/status') as f:
        return int(re.search(r'^VmHWM:\s+(\d+)', f.read(), re.M).group(1))


def finished(worker):
    return [r for r in worker.records() if 'roundTrips' in r]


def run_worker(worker):
    """One run: its `task finished` record, and the CPU time the worker spent on it."""
    known, cpu = len(finished(worker)), cpu_nsec(worker.pid)
    reply = worker.control('trigger', task='market_updater', force=True)
    assert reply.get('ok'), reply
    worker.wait_for(lambda: len(finished(worker)) > known, 'the end of the run')
    record = finished(worker)[-1]
    assert record['result'] == 'ok', record
    return record, cpu_nsec(worker.pid) - cpu


def bench_size(build, postgres, redis, kafka, template, markets, scale, runs):
    database = postgres.create_database(f'bench_{markets}_{scale}', template=template)
    redis.client().flushall()
    with harness.Deployment(build, postgres, database, redis, kafka) as d:
        connection = postgres.connect(database)
        d.settings('market', tasks={'market_updater': {'interval': '1 d'}})
        say(f'sample of {markets} markets at scale {scale} ...')
        done = d.run('roundtable-admin', 'sample', '--conf', d.conf, '--markets', str(markets), '--scale', str(scale),
                     timeout=900)
        assert done.returncode == 0, done.stderr
        cursor = connection.cursor()
        cursor.execute('VACUUM ANALYZE')
        worker = d.worker('market')
        worker.wait_for(lambda: finished(worker), 'the first run')
        script = psql_script(connection)
        samples = []
        for i in range(runs + 2):
            cursor.execute(RESET)
            record, cpu = run_worker(worker)
            assert record['changed_markets'] == markets, record
            cursor.execute(RESET)
            floor = run_psql(postgres, database, script)
            if i >= 2:  # plans and caches are warm
                samples.append((record['durationUsec'] / 1000, floor, record['roundTrips'], cpu / 1e6))
        wall, floor, trips, cpu = (statistics.median(column) for column in zip(*samples))
        row = (markets, scale, wall, floor, wall / floor, int(trips), cpu, peak_kib(worker.pid) / 1024)
        worker.stop()
        connection.close()
    postgres.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
    return row


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))]


def ready_pid(supervisor):
    for w in supervisor.control('status')['workers']:
        if w['family'] == 'market' and w['state'] == 'running':
            return w['pid']
    return None


def bench_kills(build, postgres, redis, kafka, template, kills):
    """Milliseconds from SIGKILL of a worker to the READY of its replacement, each of a fresh supervisor."""
    times = []
    for _ in range(kills):
        with harness.Deployment(build, postgres, template, redis, kafka) as d:
            d.settings('market', tasks={'market_updater': {'enabled': False}})
            supervisor = d.supervisor()
            old = supervisor.wait_for(lambda: ready_pid(supervisor), 'a ready worker')
            start = time.monotonic()
            os.kill(old, 9)
            while ready_pid(supervisor) in (None, old):
                time.sleep(0.001)
                if time.monotonic() - start > 30:
                    raise servers.ServerError(f'no replacement\n{supervisor.log()[-3000:]}')
            times.append((time.monotonic() - start) * 1000)
            supervisor.stop()
    return times


def machine():
    with open('/proc/cpuinfo') as f:
        model = re.search(r'^model name\s*:\s*(.*)$', f.read(), re.M)
    return f'{os.cpu_count()} x {model.group(1) if model else os.uname().machine}'


def numbers(text):
    return [int(n) for n in text.split(',')]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=9)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--markets', type=numbers, default=[50, 250, 1000])
    parser.add_argument('--scales', type=numbers, default=[1, 4])
    options = parser.parse_args()
    build = os.environ.get('ROUNDTABLE_BUILD', os.path.join(ROOT, 'build', 'run'))
    with servers.Postgres() as postgres, servers.Redis() as redis, \
            servers.KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock')) as kafka:
        template = postgres.create_database('bench_template')
        with harness.Deployment(build, postgres, template) as d:
            done = d.run('roundtable-admin', 'migrate', '--conf', d.conf)
            assert done.returncode == 0, done.stderr
        version = postgres.execute('SHOW server_version')[0][0].split()[0]
        print(f'`market_updater`, every market changed; medians of {options.runs} runs, in turn with psql; PostgreSQL '
              f'{version} and Redis on the same machine ({machine()}).\n')
        print('| markets | scale | wall ms | its SQL in psql ms | ratio | round trips | client CPU ms | peak MiB |')
        print('| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |', flush=True)
        for scale in options.scales:
            for markets in options.markets:
                row = bench_size(build, postgres, redis, kafka, template, markets, scale, options.runs)
                print('| {} | {} | {:.1f} | {:.1f} | {:.2f} | {} | {:.1f} | {:.1f} |'.format(*row), flush=True)
        if options.kills > 0:
            say(f'{options.kills} kills ...')
            times = bench_kills(build, postgres, redis, kafka, template, options.kills)
            print(f'\nFrom SIGKILL of a worker to READY of its replacement, {options.kills} kills: '
                  f'p50 {percentile(times, 0.5):.0f} ms, p99 {percentile(times, 0.99):.0f} ms.')


if __name__ == '__main__':
    main()
