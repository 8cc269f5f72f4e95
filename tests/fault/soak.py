#!/usr/bin/python3
"""`./dev soak`: the random campaigns of two hosts and of mixed fleets, longer and with other seeds, and the growth of memory
and descriptors over more runs.

soak.py [--seed S] [--minutes N] [--intervals N] [--runs N]
soak.py --backfill [--seed S] [--kills N] [--heights N]

Repeats the campaigns with seeds S, S+1, … until the minutes are over (at least one round is finished), prints what each
round did, and stops with status 1 at the first failure, naming the seed that repeats it. With --backfill instead: see
backfill.py.
"""
import argparse
import os
import random
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CAMPAIGNS = ['tests/fault/test_two_hosts.py', 'tests/integration/test_locks.py', 'tests/fault/test_growth.py']


def main():
    if '--backfill' in sys.argv:
        backfill = [a for a in sys.argv[1:] if a != '--backfill']
        return subprocess.call([sys.executable, os.path.join(ROOT, 'tests', 'fault', 'backfill.py'), *backfill])
    parser = argparse.ArgumentParser(description='long random campaigns')
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument('--minutes', type=float, default=30)
    parser.add_argument('--intervals', type=int, default=1000, help='runs of the two hosts in a round')
    parser.add_argument('--runs', type=int, default=10000, help='runs of each task over which nothing may grow')
    arguments = parser.parse_args()
    end = time.monotonic() + arguments.minutes * 60
    seed, rounds = arguments.seed, 0
    while rounds == 0 or time.monotonic() < end:
        print(f'round {rounds + 1}: seed {seed}, {arguments.intervals} intervals', flush=True)
        environment = dict(os.environ, ROUNDTABLE_SOAK_SEED=str(seed),
                           ROUNDTABLE_SOAK_INTERVALS=str(arguments.intervals), ROUNDTABLE_SOAK_RUNS=str(arguments.runs))
        done = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-x', '-s', '-p', 'no:cacheprovider', *CAMPAIGNS],
                              cwd=ROOT, env=environment)
        if done.returncode != 0:
            print(f'FAILED; again with: ./dev soak --seed {seed} --minutes 0 --intervals {arguments.intervals} '
                  f'--runs {arguments.runs}')
            return 1
        rounds, seed = rounds + 1, seed + 1
    print(f'{rounds} rounds passed')
    return 0


if __name__ == '__main__':
    sys.exit(main())
