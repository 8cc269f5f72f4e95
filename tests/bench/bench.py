#!/usr/bin/python3
"""The tables of README's section on speed, as Markdown.

    bench.py [--runs N] [--markets LIST] [--scales LIST] [--preset NAME] [--families LIST] [--tasks LIST] [--kills N]

The size of the main network is --preset mainnet --scales 1 --markets 250; --preset is that of roundtable-admin sample.

Each task is measured beside its floor, the same SQL in psql and the same commands in redis-cli --pipe, on the same servers
and the same data, in turn. How a family adds its tasks is said in rows.py. Figures are medians: of the worker's own
records (wall, round trips, commands), of its CPU time by the kernel's account, of the floor. Peak memory is the worker's
over all runs of the row. Growth is the exponent k of wall ~ scale^k over the scales, by least squares of the logarithms.
"""
import argparse
import glob
import importlib
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, 'tests')]

import harness  # noqa: E402
import servers  # noqa: E402
from rows import Bench, Commands, Sql  # noqa: E402

WARM_RUNS = 2  # plans and caches
LONGEST_RUN = 600  # seconds

COLUMNS = ('task', 'markets', 'scale', 'wall ms', 'floor ms', 'ratio', 'round trips', 'commands', 'client CPU ms',
           'peak MiB', 'growth')


class Results:
    def __init__(self):
        self.figures = {}  # (title, markets): [(scale, what measure() returns)]
        self.failed = []


def say(text):
    print(text, file=sys.stderr, flush=True)


def checked(done):
    if done.returncode != 0:
        raise servers.ServerError(f'{done.args}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}')
    return done


def families(wanted):
    """(family, module) of every module that declares rows."""
    for path in sorted(glob.glob(os.path.join(HERE, '*.py'))):
        name = os.path.splitext(os.path.basename(path))[0]
        if name in ('bench', 'rows', 'costs'):
            continue
        module = importlib.import_module(name)
        family = getattr(module, 'FAMILY', name)
        if not wanted or family in wanted or name in wanted:
            yield family, module


def psql_msec(bench, text):
    """Milliseconds of all statements of the script."""
    argv = ['psql', '-X', '-h', bench.postgres.host, '-p', str(bench.postgres.port), '-U', bench.postgres.user,
            '-d', bench.database, '-v', 'ON_ERROR_STOP=1']
    done = checked(subprocess.run(argv, input='\\timing on\n' + text, capture_output=True, text=True,
                                  preexec_fn=servers.die_with_parent))
    return sum(map(float, re.findall(r'^Time: ([0-9.]+) ms', done.stdout, re.M)))


def pipe_msec(bench, commands):
    """Milliseconds of one redis-cli --pipe, its start included."""
    start = time.monotonic()
    done = subprocess.run(['redis-cli', '-s', bench.redis_server.socket, '--pipe'], input=commands.data,
                          capture_output=True, preexec_fn=servers.die_with_parent)
    took = (time.monotonic() - start) * 1000
    # an EXEC and its queued commands are a reply each
    if done.returncode != 0 or f'errors: 0, replies: {commands.n}'.encode() not in done.stdout:
        raise servers.ServerError(f'redis-cli --pipe: {done.returncode} {done.stdout} {done.stderr}')
    return took


def floor_msec(bench, steps):
    total = 0
    for step in steps:
        if isinstance(step, Sql):
            total += psql_msec(bench, step.text)
        else:
            total += max(pipe_msec(bench, step) - pipe_msec(bench, Commands([['PING']])), 0.01)
    return total


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


def run_task(worker, task):
    """One run: its `task finished` record, and the CPU time the worker spent on it."""
    known, cpu = len(finished(worker)), cpu_nsec(worker.pid)
    reply = worker.control('trigger', task=task, force=True)
    assert reply.get('ok'), reply
    worker.wait_for(lambda: len(finished(worker)) > known, 'the end of the run', LONGEST_RUN)
    record = finished(worker)[-1]
    assert record['result'] == 'ok' and record['itemsFailed'] == 0, record
    return record, cpu_nsec(worker.pid) - cpu


def measure(bench, family, row, runs):
    """The figures of one row at one size, in the order of COLUMNS from `wall ms` to `peak MiB`."""
    listed = json.loads(checked(bench.deployment.run('roundtable', 'list', '--json', '--conf', bench.deployment.conf)).stdout)
    tasks = {t['task']: {'enabled': False} for t in listed if t['family'] == family}
    tasks[row.task] = dict(row.settings, enabled=True, interval='1 d')
    bench.deployment.settings(family, tasks=tasks)
    row.prepare(bench)
    row.reset(bench)
    # the task's interval may be held since another of its rows
    for key in bench.redis.keys('*.loops.*'):
        bench.redis.delete(key)
    worker = bench.deployment.worker(family)
    try:
        worker.wait_for(lambda: finished(worker), 'the first run', LONGEST_RUN)
        floor = row.floor(bench)
        samples = []
        for i in range(runs + WARM_RUNS):
            row.reset(bench)
            record, cpu = run_task(worker, row.task)
            row.check(bench, record)
            row.reset(bench)
            took = floor_msec(bench, floor)
            if i >= WARM_RUNS:
                samples.append((record['durationUsec'] / 1000, took, record['roundTrips'], record['commands'], cpu / 1e6))
        wall, took, trips, commands, cpu = (statistics.median(column) for column in zip(*samples))
        return wall, took, wall / took, int(trips), int(commands), cpu, peak_kib(worker.pid) / 1024
    finally:
        worker.stop()


def growth(points):
    """The exponent k of y ~ x^k."""
    if len(points) < 2:
        return None
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    x, y = statistics.mean(xs), statistics.mean(ys)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys)) / sum((a - x) ** 2 for a in xs)


def bench_size(build, s, template, markets, scale, chosen, runs, results, preset):
    """All rows of one size, those that want the same sample one after the other."""
    samples = {}
    for family, rows in chosen:
        for row in rows:
            samples.setdefault(tuple(map(str, row.sample(scale))), []).append((family, row))
    for arguments, wanted in samples.items():
        bench_sample(build, s, template, markets, scale, wanted, runs, results, ['--preset', preset, *arguments])


def bench_sample(build, s, template, markets, scale, wanted, runs, results, arguments):
    database = s['postgres'].create_database(f'bench_{markets}_{scale}', template=template)
    s['redis'].client().flushall()
    with harness.Deployment(build, s['postgres'], database, s['redis'], s['kafka']) as d:
        # nothing but the tasks themselves
        d.settings(None, log={'level': 'info'})
        say(f'sample of {markets} markets: {" ".join(arguments)} ...')
        checked(d.run('roundtable-admin', 'sample', '--conf', d.conf, '--markets', str(markets), *arguments, timeout=1800))
        bench = Bench(s['postgres'], database, s['redis'], s['kafka'], d, markets, scale)
        bench.sql('VACUUM ANALYZE')
        for family, row in wanted:
            if row.once and any(title == row.title for title, _ in results.figures):
                continue
            say(f'{row.title} of {markets} markets at scale {scale} ...')
            try:
                figures = measure(bench, family, row, runs)
            except (AssertionError, servers.ServerError) as e:
                # the other rows' hours are not lost with it
                say(f'  FAILED: {e}')
                results.failed.append(f'{row.title} of {markets} markets at scale {scale}')
                continue
            results.figures.setdefault((row.title, markets), []).append((scale, figures))
            say(f'  {figures[0]:.1f} ms, floor {figures[1]:.1f} ms, ratio {figures[2]:.2f}')
        bench.close()
    s['postgres'].execute(f'DROP DATABASE "{database}" WITH (FORCE)')


def print_table(results):
    print('| ' + ' | '.join(COLUMNS) + ' |')
    print('| :--- |' + ' ---: |' * (len(COLUMNS) - 1))
    for (title, markets), figures in sorted(results.figures.items()):
        k = growth([(scale, f[0]) for scale, f in figures])
        for i, (scale, (wall, floor, ratio, trips, commands, cpu, peak)) in enumerate(figures):
            last = f'{k:.2f}' if k is not None and i == len(figures) - 1 else ''
            print(f'| `{title}` | {markets} | {scale} | {wall:.1f} | {floor:.1f} | {ratio:.2f} | {trips} | {commands} | '
                  f'{cpu:.1f} | {peak:.1f} | {last} |', flush=True)


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p))]


def ready_pid(supervisor):
    for w in supervisor.control('status')['workers']:
        if w['family'] == 'market' and w['state'] == 'running':
            return w['pid']
    return None


def bench_kills(build, s, template, kills):
    """Milliseconds from SIGKILL of a worker to the READY of its replacement, each of a fresh supervisor."""
    times = []
    for _ in range(kills):
        with harness.Deployment(build, s['postgres'], template, s['redis'], s['kafka']) as d:
            d.settings('market', tasks={'market_updater': {'enabled': False}})
            supervisor = d.supervisor(['--family', 'market'])
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


def bench_costs(build, s, count=20000):
    """[p50, p99] in microseconds of a notification and of the lock operations."""
    program = os.path.join('tests', 'bench', 'bench-costs')
    checked(subprocess.run(['ninja', '-C', build, program], capture_output=True, text=True))
    s['redis'].client().flushall()
    # an emptied Redis makes everybody wait for the owners of locks
    s['redis'].client().set('bench.control.epoch', '1')
    return json.loads(checked(subprocess.run([os.path.join(build, program), s['redis'].url, str(count)],
                                             capture_output=True, text=True)).stdout)


def machine():
    with open('/etc/os-release') as f:
        system = re.search(r'^PRETTY_NAME="?([^"\n]*)', f.read(), re.M)
    return f'{os.cpu_count()} cores, {system.group(1) if system else os.uname().sysname}'


def numbers(text):
    return [int(n) for n in text.split(',')]


def names(text):
    return text.split(',')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--runs', type=int, default=9)
    parser.add_argument('--kills', type=int, default=50)
    parser.add_argument('--markets', type=numbers, default=[50, 250, 1000])
    parser.add_argument('--scales', type=numbers, default=[1, 4, 16])
    parser.add_argument('--preset', default='default')
    parser.add_argument('--families', type=names)
    parser.add_argument('--tasks', type=names)
    options = parser.parse_args()
    # a shell that starts it in the background has it ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.runs < 7:
        say('bench: medians of fewer than 7 runs say little')
    build = os.environ.get('ROUNDTABLE_BUILD', os.path.join(ROOT, 'build', 'run'))
    modules = list(families(options.families))
    chosen = [(family, [r for r in module.ROWS if not options.tasks or r.task in options.tasks])
              for family, module in modules]
    # backends do not outlive a killed bench by more than that, in whatever statement they are
    with servers.Postgres(options=['client_connection_check_interval=2s']) as postgres, servers.Redis() as redis, \
            servers.KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock')) as kafka:
        s = {'postgres': postgres, 'redis': redis, 'kafka': kafka}
        template = postgres.create_database('bench_template')
        with harness.Deployment(build, postgres, template) as d:
            checked(d.run('roundtable-admin', 'migrate', '--conf', d.conf))
        results = Results()
        try:
            for scale in sorted(options.scales):
                for markets in options.markets:
                    bench_size(build, s, template, markets, scale, chosen, options.runs, results, options.preset)
        except KeyboardInterrupt:
            say('interrupted: what has been measured so far')
            options.kills = 0
        version = postgres.execute('SHOW server_version')[0][0].split()[0]
        print(f'Medians of {options.runs} runs in turn with the floor; PostgreSQL {version} and Redis '
              f'{redis.client().info()["redis_version"]} on the same machine ({machine()}).\n')
        print_table(results)
        for _, module in modules:
            for task, function in getattr(module, 'MORE', ()):
                if not options.tasks or task in options.tasks:
                    say(f'{task} ...')
                    print('\n' + function(build, s, template), flush=True)
        if options.kills > 0:
            say(f'{options.kills} kills ...')
            times = bench_kills(build, s, template, options.kills)
            print(f'\nFrom SIGKILL of a worker to READY of its replacement, {options.kills} kills: '
                  f'p50 {percentile(times, 0.5):.0f} ms, p99 {percentile(times, 0.99):.0f} ms.')
            costs = bench_costs(build, s)
            said = {'notify': 'a notification to the supervisor', 'take': 'taking the locks of a run', 'renew': 'renewing them',
                    'end': 'ending them'}
            print('Microseconds, p50 and p99: ' + '; '.join(
                f'{text} {costs[name][0]:.0f} and {costs[name][1]:.0f}' for name, text in said.items()) + '.')
    if results.failed:
        say('bench: failed: ' + '; '.join(results.failed))
    return 1 if results.failed else 0


if __name__ == '__main__':
    sys.exit(main())
