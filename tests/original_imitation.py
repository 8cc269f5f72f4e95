#!/usr/bin/python3
"""Imitates the lock behaviour of the original service, for tests of mixed fleets.

It is written from the specification of the loop: a regular lock R (constant value, SET NX PX), an extended lock E where
the loop has a multiplier (value with a uuid), wait(key) = PTTL + jitter and no sleep for a key that is absent or has no
TTL, unlock = GET and DEL as two commands (not atomic), E not renewed, R never deleted after a run. It knows nothing of
keys under `.control.`.

A run's body writes that it began, sleeps, and writes that it ended: as lines "<host> <run> <event> <monotonic usec>"
appended to --log, or as rows of the table testing_runs (--pg DSN).
"""
import argparse
import math
import os
import random
import sys
import time
import uuid

VALUE = 'TIMEOUT NOT EXPIRED'


def monotonic_usec():
    return time.monotonic_ns() // 1000


class FileLog:
    """Appends a line per event; one write each, so that several processes can share the file."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, host, task, run, event):
        os.write(self.fd, f'{host} {run} {event} {monotonic_usec()}\n'.encode())


class TableLog:
    """Rows as the testing family writes them."""

    def __init__(self, dsn):
        import psycopg2
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True

    def write(self, host, task, run, event):
        with self.connection.cursor() as cursor:
            cursor.execute('INSERT INTO testing_runs (run_id, task, host, event, xid) '
                           'VALUES (%s, %s, %s, %s, txid_current()::text)', (run, task, host, event))


class Loop:
    """One loop of one instance. `body(run)` is the task."""

    def __init__(self, client, service, task, interval_ms, body, multiplier=None, jitter=0.01):
        self.client = client
        self.r = f'{service}.loops.{task}.task_timeouts'
        self.e = f'{service}.loops.{task}.task_extended_timeouts'
        self.interval_ms = interval_ms
        self.multiplier = multiplier
        self.jitter = jitter
        self.body = body
        self.runs = 0
        self.failures = 0
        self.refused_extended = 0

    def wait(self, key):
        p = self.client.pttl(key)
        j = math.ceil(random.random() * (p * self.jitter) + 1)
        if p > 0:
            time.sleep((p + j) / 1000)

    def unlock(self, key, value):
        held = self.client.get(key)
        if held is not None and held.decode() == value:
            self.client.delete(key)

    def iterate(self):
        """One pass of the loop; true if the task ran."""
        if not self.client.set(self.r, VALUE, px=self.interval_ms, nx=True):
            self.wait(self.r)
            return False
        extended = f'{VALUE} {uuid.uuid4()}'
        if self.multiplier and not self.client.set(self.e, extended, px=int(self.interval_ms * self.multiplier), nx=True):
            self.refused_extended += 1
            self.unlock(self.r, VALUE)
            self.wait(self.e)
            return False
        try:
            self.body(str(uuid.uuid4()))
        except Exception as error:  # the loop swallows what a task throws
            self.failures += 1
            print(f'uncaught error in an individual loop: {error}', file=sys.stderr)
        self.runs += 1
        if self.multiplier:
            self.unlock(self.e, extended)
        self.wait(self.r)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--url', required=True, help='redis://… or unix://…')
    parser.add_argument('--service', default='roundtable')
    parser.add_argument('--task', required=True)
    parser.add_argument('--interval-ms', type=int, required=True)
    parser.add_argument('--multiplier', type=float, help='of the extended lock; none without')
    parser.add_argument('--run-ms', type=int, default=50, help='how long a run lasts')
    parser.add_argument('--jitter', type=float, default=0.01)
    parser.add_argument('--host', default='original')
    parser.add_argument('--runs', type=int, help='end after so many')
    to = parser.add_mutually_exclusive_group(required=True)
    to.add_argument('--log', help='file of events')
    to.add_argument('--pg', help='libpq connection string')
    arguments = parser.parse_args()

    import redis
    client = redis.Redis.from_url(arguments.url)
    log = FileLog(arguments.log) if arguments.log else TableLog(arguments.pg)

    def body(run):
        log.write(arguments.host, arguments.task, run, 'begin')
        time.sleep(arguments.run_ms / 1000)
        log.write(arguments.host, arguments.task, run, 'end')

    loop = Loop(client, arguments.service, arguments.task, arguments.interval_ms, body, arguments.multiplier,
                arguments.jitter)
    while arguments.runs is None or loop.runs < arguments.runs:
        loop.iterate()


if __name__ == '__main__':
    main()
