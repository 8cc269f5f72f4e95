"""Campaigns that any task has to stand: killed at every failpoint, and run by two hosts at once.

For the authors of families. Make the world (database, Redis, Kafka mock) with the rows that the task needs, then:

    campaign = Campaign(deployment, 'market', 'market_updater', postgres, database, redis_client, kafka,
                        now_usec=NOW_USEC,                            # the injected clock, if the task looks at it
                        topics={'to-websockets-markets': reducer},    # what the task publishes to
                        volatile={'transfers': ['id']})               # columns that differ from run to run
    campaign.kill_everywhere()
    campaign.two_hosts()

kill_everywhere() records the failpoints of one undisturbed run (`roundtable-worker --run TASK`, with its locks). Then, for
each recorded point (client, call, phase, count): the world is reset, a run is killed at the point, its locks run out, the
task is run again, and the end state must be that of the undisturbed run. two_hosts() resets the world, lets two stand-alone
workers with short intervals run the task at once, and compares in the same way. Both raise AssertionError that lists what
differed, point by point; kill_everywhere() returns the points, so that a test can say that those it means are among them.
ROUNDTABLE_CAMPAIGN_POINT=market_updater:postgres.commit:sent#1 tries that point alone, for debugging.

Equal means:
  - Tables: all rows of all tables and filled materialized views of schema public, but for the migrations' bookkeeping, as
    multisets, without `volatile` columns. `tables` gives a list instead.
  - Redis: all keys outside `{S}.loops.*` and `{S}.control.*` by type, contents and whether they expire. `ignore_keys` is a
    regular expression of others to leave out (a time of writing, say).
  - Names still to be published (`{S}.control.<task>.pending`).
  - Locks: none is left, that is no extended lock, and nothing under `{S}.loops.*` that would never expire.
  - Kafka: for each of `topics`, a reducer takes the records since the reset (Record, ordered inside each partition) and
    returns the state that a consumer would be in. last_value_of_each_key is one for topics with keys. At least once is the
    rule, so a reducer must not count.

The world is reset to what it was when the campaign was made: tables are emptied and filled from copies in the schema
campaign_saved (sequences too), Redis is restored key by key. A `reset` callback does it in another way. `runs` is how many
undisturbed runs make the state that is expected, and how many follow a kill: more than 1 for a task that does its work in
several runs. `environment` and `settings` (of the family's file, as for Deployment.settings) go to all runs.

Sixty points take about 20 s.
"""
import collections
import contextlib
import json
import os
import re
import signal
import subprocess

import harness
from servers import wait_until

SAVED = 'campaign_saved'
BOOKKEEPING = ('knex_migrations', 'knex_migrations_lock', 'roundtable_migrations')

Record = collections.namedtuple('Record', 'topic partition offset key value')


def last_value_of_each_key(records):
    """A reducer: the state of a consumer that keeps the newest value of each key; None is a key too."""
    return {r.key: r.value for r in records}


def topic_records(bootstrap, topic):
    """All records of a topic in the order of (partition, offset). A missing key or value is None."""
    # without the options a consumer sits out half a second here and there
    done = subprocess.run(['kcat', '-C', '-q', '-e', '-o', 'beginning', '-X', 'fetch.wait.max.ms=10', '-X',
                           'socket.nagle.disable=true', '-b', bootstrap, '-t', topic, '-f', '%p %o %K %S\n%k%s'],
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    records, rest = [], done.stdout

    def text(length):
        nonlocal rest
        value, rest = (None, rest) if length < 0 else (rest[:length], rest[length:])
        return value
    while rest:
        head, _, rest = rest.partition(b'\n')
        partition, offset, key_length, length = map(int, head.split())
        key = text(key_length)
        records.append(Record(topic, partition, offset, key, text(length)))
    return sorted(records, key=lambda r: (r.partition, r.offset))


class State:
    """What the outside sees once a task has done its work."""

    def __init__(self, tables, keys, pending, kafka, locks):
        self.tables = tables    # name: Counter of rows
        self.keys = keys        # name: (type, contents, whether it expires)
        self.pending = pending  # names that are still to be published
        self.kafka = kafka      # topic: what its reducer made
        self.locks = locks      # complaints about locks that are left

    def differences(self, actual):
        """Lines that say how `actual` differs from this state; none when it does not."""
        lines = []
        for name in sorted(self.tables.keys() | actual.tables.keys()):
            missing = self.tables.get(name, collections.Counter()) - actual.tables.get(name, collections.Counter())
            extra = actual.tables.get(name, collections.Counter()) - self.tables.get(name, collections.Counter())
            lines += [f'table {name} lacks {row}' for row in sorted(missing.elements())[:3]]
            lines += [f'table {name} has also {row}' for row in sorted(extra.elements())[:3]]
        for name in sorted(self.keys.keys() | actual.keys.keys()):
            if self.keys.get(name) != actual.keys.get(name):
                lines.append(f'Redis key {name} is {actual.keys.get(name)}, not {self.keys.get(name)}')
        if self.pending != actual.pending:
            lines.append(f'names to publish are {sorted(actual.pending)}, not {sorted(self.pending)}')
        for topic in self.kafka:
            if self.kafka[topic] != actual.kafka[topic]:
                lines.append(f'Kafka topic {topic}: a consumer has {actual.kafka[topic]!r}, not {self.kafka[topic]!r}')
        return lines + actual.locks


class Campaign:
    def __init__(self, deployment, family, task, postgres, database, redis, kafka=None, *, service='roundtable',
                 tables=None, volatile=None, ignore_keys=None, topics=None, reset=None, runs=1, now_usec=None,
                 environment=None, settings=None):
        self.deployment, self.family, self.task = deployment, family, task
        self.postgres, self.database, self.redis, self.kafka = postgres, database, redis, kafka
        self.loops, self.control = f'{service}.loops.', f'{service}.control.'
        self.volatile, self.ignore_keys = volatile or {}, re.compile(ignore_keys) if ignore_keys else None
        self.topics, self.runs = topics or {}, runs
        self.environment = dict(environment or {})
        if now_usec is not None:
            self.environment['ROUNDTABLE_TEST_NOW_USEC'] = str(now_usec)
        if settings is not None:
            deployment.settings(family, **settings)
        self._records = {}
        self._begin = {}  # per topic and partition: the first offset after the last reset
        self._tables = tables
        self._expected = None
        self._reset = reset
        if not reset:
            self._save()

    # The world and its reset.

    @contextlib.contextmanager
    def _sql(self):
        with contextlib.closing(self.postgres.connect(self.database)) as c, c.cursor() as cursor:
            # rows are put back in any order
            cursor.execute("SET session_replication_role = replica; SET timezone = 'UTC'")
            yield cursor

    def _relations(self, cursor, kinds):
        cursor.execute('SELECT relname, relispopulated FROM pg_class WHERE relnamespace = %s::regnamespace '
                       'AND relkind = ANY (%s) AND relname <> ALL (%s) ORDER BY relname',
                       ('public', list(kinds), list(BOOKKEEPING)))
        return cursor.fetchall()

    @staticmethod
    def _filled(cursor, schema, names):
        """Those of the tables that have a row."""
        if not names:
            return []
        cursor.execute(' UNION ALL '.join(f"SELECT '{n}' WHERE EXISTS (SELECT FROM {schema}.\"{n}\")" for n in names))
        return [row[0] for row in cursor.fetchall()]

    def _save(self):
        with self._sql() as cursor:
            names = [name for name, _ in self._relations(cursor, 'r')]
            cursor.execute(f'DROP SCHEMA IF EXISTS {SAVED} CASCADE; CREATE SCHEMA {SAVED}')
            self._saved = self._filled(cursor, 'public', names)
            for name in self._saved:
                cursor.execute(f'CREATE TABLE {SAVED}."{name}" AS TABLE public."{name}"')
            cursor.execute("SELECT attrelid::regclass::text FROM pg_attribute WHERE attgenerated <> '' "
                           "AND attrelid = ANY (%s::regclass[])", ([f'{SAVED}."{n}"' for n in self._saved],))
            assert cursor.fetchall() == [], 'INSERT … SELECT * cannot restore generated columns'
            cursor.execute('SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = %s', ('public',))
            self._sequences = [(f'public."{name}"', value) for name, value in cursor.fetchall()]
        keys = self.redis.keys()
        pipeline = self.redis.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
            pipeline.pttl(key)
        answers = pipeline.execute()
        self._saved_keys = list(zip(keys, answers[::2], answers[1::2]))

    def _restore(self):
        with self._sql() as cursor:
            filled = self._filled(cursor, 'public', [name for name, _ in self._relations(cursor, 'r')])
            statements = []
            if filled:
                names = ', '.join(f'public."{n}"' for n in filled)
                statements.append(f'TRUNCATE {names} CASCADE')
            statements += [f'INSERT INTO public."{n}" OVERRIDING SYSTEM VALUE SELECT * FROM {SAVED}."{n}"'
                           for n in self._saved]
            statements += [f"SELECT setval('{name}', {value or 1}, {'true' if value else 'false'})"
                           for name, value in self._sequences]
            statements += [f'REFRESH MATERIALIZED VIEW public."{name}"' for name, populated
                           in self._relations(cursor, 'm') if populated]
            if statements:
                cursor.execute('; '.join(statements))
        self.redis.flushall()
        pipeline = self.redis.pipeline(transaction=False)
        for key, dump, ttl in self._saved_keys:
            pipeline.restore(key, max(ttl, 0), dump)
        pipeline.execute()

    def reset(self):
        """Makes the world what it was when the campaign began."""
        self._backends_gone()
        (self._reset or self._restore)()
        # without it everybody waits for the owners of locks of a Redis that was emptied
        self.redis.set(f'{self.control}epoch', 1, nx=True)
        for topic in self.topics:
            for record in self._read(topic):
                self._begin[topic, record.partition] = record.offset + 1

    def _read(self, topic):
        """All records of the topic, kept from one run to the next."""
        if topic not in self._records:
            self._records[topic] = topic_records(self.kafka.bootstrap, topic)
        return self._records[topic]

    def _backends_gone(self):
        """A killed client's statement may still be under way in its backend."""
        with self._sql() as cursor:
            def gone():
                cursor.execute('SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE %s',
                               (self.database, 'roundtable/%'))
                return cursor.fetchone()[0] == 0
            wait_until(gone, 'the backends of ended runs')

    # What the outside sees.

    def state(self):
        self._backends_gone()
        return State(self._table_rows(), self._redis_keys(), set(self.redis.hkeys(f'{self.control}{self.task}.pending')),
                     {topic: reducer([r for r in self._read(topic) if r.offset >= self._begin.get((topic, r.partition), 0)])
                      for topic, reducer in self.topics.items()}, self._locks())

    def _table_rows(self):
        with self._sql() as cursor:
            names = self._tables
            if names is None:
                names = [name for name, populated in self._relations(cursor, 'rm') if populated]
            unknown = self.volatile.keys() - set(names)
            assert not unknown, f'volatile columns of unknown tables {unknown}'
            found = {name: collections.Counter() for name in names}
            if names:
                cursor.execute(' UNION ALL '.join(
                    f"SELECT '{n}', (to_jsonb(x) - %s::text[])::text FROM public.\"{n}\" x" for n in names),
                    [list(self.volatile.get(n, ())) for n in names])
                for name, row in cursor.fetchall():
                    found[name][row] += 1
            return found

    def _redis_keys(self):
        names = sorted(k for k in self.redis.keys() if not k.decode().startswith((self.loops, self.control)) and
                       not (self.ignore_keys and self.ignore_keys.search(k.decode())))
        readers = {b'string': 'get', b'hash': 'hgetall', b'list': 'lrange', b'set': 'smembers', b'zset': 'zrange'}
        pipeline = self.redis.pipeline()
        for name in names:
            pipeline.type(name)
            pipeline.pttl(name)
        answers = pipeline.execute()
        types, ttls = answers[::2], answers[1::2]
        for name, kind in zip(names, types):
            arguments = {b'list': (0, -1), b'zset': (0, -1, False, True)}.get(kind, ())
            getattr(pipeline, readers[kind])(name, *arguments)
        return {name.decode(): (kind.decode(), contents, ttl >= 0)
                for name, kind, ttl, contents in zip(names, types, ttls, pipeline.execute())}

    def _locks(self):
        complaints = []
        for key in self.redis.keys(f'{self.loops}*'):
            ttl = self.redis.pttl(key)  # -2: it expired meanwhile
            if ttl == -1:
                complaints.append(f'lock {key.decode()} would never expire')
            if ttl > 0 and key.endswith(b'.task_extended_timeouts'):
                complaints.append(f'lock {key.decode()} is left')
        return complaints

    # Runs.

    def run(self, expect=0, environment=None):
        """One run in the foreground, with its locks; returns the CompletedProcess."""
        self._records.clear()
        done = self.deployment.run('roundtable-worker', '--run', self.task, '--conf', self.deployment.conf,
                                   environment=dict(self.environment, **(environment or {})), timeout=180)
        assert done.returncode == expect, \
            f'exit status {done.returncode}, not {expect}\n{done.stdout[-2000:]}{done.stderr[-2000:]}'
        return done

    def _time_passes(self):
        """What the death of a worker leaves behind runs out by itself: that need not be waited for here."""
        keys = self.redis.keys(f'{self.loops}*')
        for key in keys:
            assert self.redis.pttl(key) != -1, f'{key} would never expire'
        if keys:
            self.redis.delete(*keys)

    def expected(self):
        """The state after `runs` undisturbed runs; the failpoints of the first are in self.points."""
        if self._expected is None:
            path = os.path.join(self.deployment.directory, f'points-{self.task}')
            self.reset()
            self.run(environment={'ROUNDTABLE_FAILPOINT_RECORD': path})
            with open(path) as f:
                self.points = f.read().splitlines()
            os.unlink(path)
            assert len(self.points) == len(set(self.points)) > 0, self.points
            self._run_again(self.runs - 1)
            self._expected = self.state()
            assert self._expected.locks == []
        return self._expected

    def _run_again(self, times):
        for _ in range(times):
            self._time_passes()
            self.run()

    def kill_at(self, point):
        """Lines that say how the state after a kill at `point` and recovery differs from the expected one."""
        expected = self.expected()
        try:
            self.reset()
            self.run(-signal.SIGKILL, {'ROUNDTABLE_FAILPOINT_KILL': point})
            self._backends_gone()
            self._run_again(self.runs)
            return expected.differences(self.state())
        except AssertionError as e:
            return [str(e)]

    def failures(self, matching=''):
        """{point: differences} of the recorded points, those that match the regular expression, that do not end as
        expected."""
        self.expected()
        only = os.environ.get('ROUNDTABLE_CAMPAIGN_POINT')
        self.points = [p for p in self.points if re.search(matching, p)]
        assert self.points, f'no point matches {matching}'
        found = {}
        for point in self.points:
            if only in (None, point):
                lines = self.kill_at(point)
                if lines:
                    found[point] = lines
        return found

    def kill_everywhere(self, matching=''):
        """Raises AssertionError unless a kill at any point is made good by the next run. Returns the points. `matching`
        is a regular expression of the points that are worth the time, where another campaign has all of them."""
        found = self.failures(matching)
        if found:
            raise AssertionError(f'{len(found)} of {len(self.points)} points:\n' + '\n'.join(
                '\n  '.join([point] + lines) for point, lines in list(found.items())[:8]))
        return self.points

    def two_hosts(self, intervals=8, interval='150 ms', lock_multiplier=20):
        """Two workers run the task at once until there were `intervals` runs, some of each worker."""
        expected = self.expected()
        self.reset()
        self._records.clear()
        with contextlib.ExitStack() as stack:
            workers = []
            for _ in range(2):
                d = stack.enter_context(harness.Deployment(self.deployment.build))
                own = d.common
                d.environment = dict(self.deployment.environment)
                d.common = dict(self.deployment.common, environment_file=own['environment_file'],
                                supervisor=own['supervisor'])
                d.families = dict(self.deployment.families)
                d.families[self.family] = dict(d.families.get(self.family, {}), tasks=self._only_task(
                    d.families.get(self.family, {}).get('tasks', {}), interval, lock_multiplier))
                d.write()
                workers.append(d.worker(self.family, environment=self.environment))

            def runs(w):
                (task,) = [t for t in w.control('status')['worker']['tasks'] if t['name'] == self.task]
                return task['runs']

            def done():
                counts = [runs(w) for w in workers]
                return min(counts) > 0 and sum(counts) >= intervals
            workers[0].wait_for(done, f'{intervals} runs of {self.task} on two hosts')
            for w in workers:
                assert w.stop() == 0, w.log()[-3000:]
                failed = [r for r in w.records(taskName=self.task) if r.get('result') not in (None, 'ok')]
                assert failed == [], failed[:3]
        lines = expected.differences(self.state())
        assert lines == [], '\n'.join(lines)

    def _only_task(self, tasks, interval, lock_multiplier):
        """Settings of the family's tasks: this one often, the others not at all."""
        listed = self.deployment.run('roundtable', 'list', '--json', '--conf', self.deployment.conf)
        assert listed.returncode == 0, listed.stderr
        names = [t['task'] for t in json.loads(listed.stdout) if t['family'] == self.family]
        assert self.task in names, f'{self.family} has no task {self.task}'
        made = {name: {'enabled': False} for name in names}
        made[self.task] = dict(tasks.get(self.task, {}), enabled=True, interval=interval)
        if lock_multiplier is not None:
            made[self.task]['lock_multiplier'] = lock_multiplier
        return made
