"""Neither a worker nor the supervisor grows with the number of runs: no absolute figures, only what is added from one
checkpoint to the next once everything has been used a few times."""
import os
import subprocess

import harness
import servers
from servers import wait_until
from testing_family import TABLES

RUNS = int(os.environ.get('ROUNDTABLE_SOAK_RUNS', '1000'))  # of each task; ./dev soak: 10,000
WARM = 200
# The heap of each thread goes on settling for about 1,500 runs, ever more slowly: 130 KiB after run 200 where nothing is
# lost (and 190 KiB after run 8,000). The smallest allocation that a run could forget takes 32 bytes, which over 1,000 runs
# of four tasks is 128 KiB more.
SETTLING = 192 * 1024
BYTES_PER_RUN = 2


def anonymous_bytes(pid):
    with open(f'/proc/{pid}/status') as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith('RssAnon:'))


def descriptors(pid):
    """What the process has open, by kind: {'socket': 7, '/dev/null': 1, …}."""
    found = {}
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            kind = os.readlink(f'/proc/{pid}/fd/{fd}').split(':[')[0]
        except FileNotFoundError:
            continue
        found[kind] = found.get(kind, 0) + 1
    return found


def sanitized(build):
    """Freed memory is kept for a while there, and leaks are found in another way."""
    linked = subprocess.run(['ldd', os.path.join(build, 'workers', 'roundtable-worker')], capture_output=True, text=True)
    return 'libasan' in linked.stdout or 'libtsan' in linked.stdout


def test_runs_leave_nothing_behind(build, postgres, database, redis, redis_server):
    postgres.execute(TABLES, database=database)
    redis.set('roundtable.control.epoch', 1)
    task = {'enabled': True, 'interval': '10 ms', 'lock_multiplier': 100}
    with servers.KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock')) as mock, \
            harness.Deployment(build, postgres, database, redis_server, mock) as d:
        # good runs, chains, runs that fail, and each of the clients
        d.settings('testing', rows_sleep='0 s', more_slices=2, tasks={
            name: task for name in ('testing_rows', 'testing_kafka', 'testing_more', 'testing_publish_first',
                                    'testing_http')})
        s = d.supervisor(['--family', 'testing'])

        def testing():
            return s.control('status')['workers'][-1]

        s.wait_for(lambda: testing()['worker'], 'its worker')

        def runs():
            return [t['runs'] for t in testing()['worker']['tasks'] if t['enabled']]
        pids = {'worker': testing()['pid'], 'supervisor': s.pid}
        s.wait_for(lambda: min(runs()) >= WARM, f'{WARM} runs')
        # more may be open for a moment
        opened = {name: min((descriptors(pid) for _ in range(50)), key=lambda kinds: sum(kinds.values()))
                  for name, pid in pids.items()}
        points = {name: [] for name in pids}
        for target in range(WARM, RUNS + 1, RUNS // 10):
            s.wait_for(lambda: min(runs()) >= target, f'{target} runs', deadline=600)
            at = sum(runs())
            for name, pid in pids.items():
                points[name].append((at, anonymous_bytes(pid)))
                wait_until(lambda: descriptors(pid) == opened[name], f'the descriptors of the {name} to be {opened[name]}')
        assert testing()['pid'] == pids['worker'] and testing()['restarts'] == 0
        for name, measured in points.items():
            done, grown = (last - first for first, last in zip(measured[0], measured[-1]))
            print(f'{name}: {grown} bytes more after {done} further runs, descriptors {opened[name]}')
            assert sanitized(build) or grown <= SETTLING + BYTES_PER_RUN * done, measured
