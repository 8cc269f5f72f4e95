"""What the tests of the orders family use: the fixture `world`, a migrated database, Redis, a Kafka mock and an agent that
takes metrics."""
import collections
import os
import socket
import uuid

import pytest

import market_world
import servers
from campaign import topic_records
from vulcan_imitation import Vulcan

TOPIC = 'to-vulcan'
NOW_USEC = 1767225660000000
TASKS = ('cancel_stale_orders', 'remove_expired_orders', 'remove_old_order_updates')


def finished(worker):
    """The `task finished` records of a worker."""
    return [r for r in worker.records(at='worker#runTask') if 'roundTrips' in r]


class MetricsAgent:
    """A DogStatsD agent on a port of its own."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]

    def take(self):
        """What tasks sent since the last call: {'name|c': [values]}, names without the service's prefix. Metrics of the
        loops are the runtime's."""
        found = collections.defaultdict(list)
        while True:
            try:
                datagram = self.socket.recv(65536).decode()
            except BlockingIOError:
                return dict(found)
            head, kind = datagram.split('|')[:2]
            name, value = head.split(':')
            name = name.removeprefix('roundtable.')
            if not name.startswith('loops.'):
                found[f'{name}|{kind}'].append(float(value))

    def close(self):
        self.socket.close()


class World(market_world.World):
    def __init__(self, build, postgres, database, redis_server, kafka):
        super().__init__(build, postgres, database, redis_server, kafka)
        self.vulcan = Vulcan(self.redis)
        self.agent = MetricsAgent()
        self.seen = {(r.partition, r.offset) for r in topic_records(kafka.bootstrap, TOPIC)}
        self.deployment.settings(None, statsd={'host': '127.0.0.1', 'port': self.agent.port})

    def close(self):
        self.agent.close()
        super().close()

    def block(self, height):
        self.sql('INSERT INTO blocks VALUES (%s, now()) ON CONFLICT DO NOTHING', (height,))

    def order(self, good_til_block, status='OPEN', flags=0, id=None, good_til_block_time=None, updated='2026-01-01T00:00:00Z'):
        """A row of table orders; returns its id."""
        id = id or str(uuid.uuid4())
        self.insert('orders', id=id, subaccountId=str(uuid.uuid4()), clientId=1, clobPairId=1, side='BUY', size='1',
                    totalFilled='0.5', price='2', type='LIMIT', status=status, timeInForce='GTT', reduceOnly=False,
                    orderFlags=flags, goodTilBlock=good_til_block, goodTilBlockTime=good_til_block_time,
                    createdAtHeight=None, clientMetadata=0, updatedAt=updated, updatedAtHeight=7)
        return id

    def run(self, task, expect=0, environment=None, now_usec=NOW_USEC, arguments=()):
        """One run in the foreground; returns the CompletedProcess."""
        done = self.deployment.run('roundtable-worker', '--run', task, '--no-lock', '--conf', self.deployment.conf,
                                   *arguments, environment=dict({'ROUNDTABLE_TEST_NOW_USEC': str(now_usec)},
                                                                **(environment or {})), timeout=180)
        assert done.returncode == expect, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def worker(self, task, interval='1 d', **settings):
        """A stand-alone worker that runs this task alone."""
        tasks = {name: {'enabled': name == task, 'interval': interval} for name in TASKS}
        self.deployment.settings('orders', tasks=tasks, **settings)
        # without it everybody waits for the owners of locks of a Redis that was emptied
        self.redis.set('roundtable.control.epoch', 1)
        return self.deployment.worker('orders')

    def removals(self):
        """Records of to-vulcan since the world was made."""
        return [r for r in topic_records(self.kafka.bootstrap, TOPIC) if (r.partition, r.offset) not in self.seen]

    def restart_kafka(self):
        """A new cluster, which has no records."""
        self.kafka.start()
        self.seen = set()
        self.deployment.settings(None, kafka={'brokers': self.kafka.bootstrap})


@pytest.fixture(scope='module')
def kafka_mock(build):
    mock = servers.KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock'))
    mock.start()
    yield mock
    mock.close()


@pytest.fixture
def world(build, postgres, migrated, redis, redis_server, kafka_mock):
    """Empty but for the tables."""
    name = postgres.create_database('orders_test', template=migrated)
    if not kafka_mock.running():
        kafka_mock.start()
    w = World(build, postgres, name, redis_server, kafka_mock)
    yield w
    w.close()
    postgres.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s', (name,))
    postgres.execute(f'DROP DATABASE "{name}"')
