"""A migrated database and Redis with just the rows that a test of the compliance family needs, and what was sent to
statsd. Test files import the fixture `world`."""
import datetime
import os
import signal
import socket
import subprocess
import uuid

import pytest

import harness
from campaign import Campaign

NOW = '2026-02-01T00:00:00.000Z'
TASKS = ('delete-old-firebase-notification-tokens', 'subaccount_username_generator', 'update_affiliate_info',
         'update_compliance_data', 'update_compliance_status', 'update_wallet_total_volume')


def usec(iso):
    """Microseconds since the epoch of an ISO instant."""
    at = datetime.datetime.fromisoformat(iso.replace('Z', '+00:00'))
    return (at - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def round_trips(done):
    """Statements that a run in the foreground took."""
    return int(done.stdout.split(' round trips')[0].split()[-1])


def only(task, **settings):
    """Settings of a worker that runs this task alone, once, in slices of one transaction."""
    return dict(settings, slice='1 ms', tasks={name: {'enabled': name == task, 'interval': '1 h'} for name in TASKS})


class Statsd:
    """Receives metrics; what is waiting is read when asked for."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(('127.0.0.1', 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def read(self):
        """All metrics since the last call: name without "roundtable." -> list of (value, type, tags)."""
        found = {}
        while True:
            try:
                datagram = self.socket.recv(65536).decode()
            except BlockingIOError:
                return found
            head, _, tags = datagram.partition('|#')
            name, _, rest = head.partition(':')
            value, kind = rest.split('|')[:2]
            assert name.startswith('roundtable.'), datagram
            own = dict(t.split(':', 1) for t in tags.split(',') if not t.startswith(('NODE_ENV', 'SERVICE_NAME')))
            found.setdefault(name[len('roundtable.'):], []).append((float(value), kind, own))

    def close(self):
        self.socket.close()


class World:
    def __init__(self, build, postgres, database, redis_server):
        self.postgres = postgres
        self.database = database
        self.redis = redis_server.client()
        self.redis.set('roundtable.control.epoch', 1)  # nobody flushed recently: workers start at once
        self.statsd = Statsd()
        self.deployment = harness.Deployment(build, postgres, database, redis_server)
        self.deployment.settings(None, statsd={'host': '127.0.0.1', 'port': self.statsd.port})
        self.connection = postgres.connect(database)
        # the rows of a test stand alone: without blocks and events behind them
        self.sql("SET session_replication_role = replica; SET timezone = 'UTC'")

    def close(self):
        self.connection.close()
        self.deployment.close()
        self.statsd.close()
        self.redis.close()

    def sql(self, text, parameters=None):
        with self.connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall() if cursor.description else None

    def insert(self, table, **values):
        names = ', '.join(f'"{n}"' for n in values)
        marks = ', '.join(['%s'] * len(values))
        self.sql(f'INSERT INTO {table} ({names}) VALUES ({marks})', tuple(values.values()))

    def subaccount(self, address, number=0, updated='2020-01-01T00:00:00Z'):
        """Makes it if it is new; returns its id."""
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f'{address}-{number}'))
        self.sql('INSERT INTO subaccounts VALUES (%s, %s, %s, %s, 1) ON CONFLICT (id) DO UPDATE '
                 'SET "updatedAt" = excluded."updatedAt"', (id, address, number, updated))
        return id

    def wallet(self, address, volume='0'):
        self.insert('wallets', address=address, totalTradingRewards='0', totalVolume=volume)

    def block(self, at, height=None):
        if height is None:
            height = self.sql('SELECT coalesce(max("blockHeight"), 0) + 1 FROM blocks')[0][0]
        self.insert('blocks', blockHeight=height, time=at)

    def fill(self, owner, at, price, size, liquidity='TAKER', type='LIMIT', fee='0', share='0', height=1):
        """owner: "address/number"."""
        address, _, number = owner.partition('/')
        self.insert('fills', id=str(uuid.uuid4()), subaccountId=self.subaccount(address, int(number or 0)), side='BUY',
                    liquidity=liquidity, type=type, clobPairId=1, size=size, price=price, quoteAmount='0',
                    eventId=b'\0' * 12, transactionHash='', createdAt=at, createdAtHeight=height, fee=fee,
                    affiliateRevShare=share)

    def cache(self, key):
        rows = self.sql('SELECT value FROM persistent_cache WHERE key = %s', (key,))
        return rows[0][0] if rows else None

    def run(self, task, expect=0, environment=None, now=NOW, arguments=()):
        """One run in the foreground, at `now`; returns the CompletedProcess."""
        done = self.deployment.run('roundtable-worker', '--run', task, '--no-lock', '--conf', self.deployment.conf,
                                   *arguments,
                                   environment=dict({'ROUNDTABLE_TEST_NOW_USEC': str(usec(now))}, **(environment or {})),
                                   timeout=180)
        assert done.returncode == expect, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def start(self, task, now=NOW, environment=None):
        """The same without waiting for its end: a Popen with text pipes."""
        d = self.deployment
        return subprocess.Popen([d.program_path('roundtable-worker'), '--run', task, '--no-lock', '--conf', d.conf],
                                env=dict(d.environment, ROUNDTABLE_TEST_NOW_USEC=str(usec(now)), **(environment or {})),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                cwd=d.directory)

    def campaign(self, task, now=NOW, **options):
        return Campaign(self.deployment, 'compliance', task, self.postgres, self.database, self.redis,
                        now_usec=usec(now), **options)

    def dawdle(self, table):
        """From now on each statement that writes to the table takes longer than the shortest slice."""
        self.sql(f'''CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
                     $$ BEGIN PERFORM pg_sleep(0.003); RETURN NULL; END $$;
                     CREATE TRIGGER t AFTER INSERT OR UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION dawdle()''')

    def long_run(self, task, environment=None, killed=False):
        """A worker's first run of the task: its record; or None, of a worker that is killed in it."""
        w = self.deployment.worker('compliance', environment=environment, wait=not killed)
        if killed:
            assert w.wait() == -signal.SIGKILL, w.log()[-3000:]
            return None
        (record,) = w.wait_for(lambda: [r for r in w.records(taskName=task) if 'roundTrips' in r][:1], 'the end of the run')
        assert w.stop() == 0
        return record

    def forget_locks(self):
        """As if those of a dead worker had run out."""
        self.redis.delete(*self.redis.keys('roundtable.loops.*'))

    def waiting(self):
        """How many sessions wait for a lock."""
        return self.sql('SELECT count(*) FROM pg_locks WHERE NOT granted')[0][0]


@pytest.fixture
def world(build, postgres, migrated, redis, redis_server):
    name = postgres.create_database('compliance_test', template=migrated)
    w = World(build, postgres, name, redis_server)
    yield w
    w.close()
    postgres.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s', (name,))
    postgres.execute(f'DROP DATABASE "{name}"')
