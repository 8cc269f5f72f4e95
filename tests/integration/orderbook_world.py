"""Order books in Redis, a worker of the market family that runs tasks when told, and what it says and sends meanwhile."""
import socket

import pytest

from market_world import World
from servers import wait_until

TASKS = ('cache-orderbook-mid-prices', 'delete_zero_price_levels', 'market_updater', 'orderbook_instrumentation',
         'uncross_orderbook')


def keys(ticker, side):
    return f'v4/orderbookLevels/{ticker}/{side}', f'v4/orderbookLevels/{ticker}/{side}/lastUpdated'


class OrderbookWorld(World):
    def __init__(self, build, postgres, database, redis_server):
        super().__init__(build, postgres, database, redis_server, kafka=None)
        self.statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.statsd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.statsd.bind(('127.0.0.1', 0))
        self.statsd.setblocking(False)
        self.deployment.settings(None, statsd={'host': '127.0.0.1', 'port': self.statsd.getsockname()[1]},
                                 log={'level': 'debug'})
        # only when told
        self.deployment.settings('market', tasks={t: {'enabled': True, 'interval': '1 d'} for t in TASKS})
        self._worker = None

    def close(self):
        self.statsd.close()
        super().close()

    def worker(self, environment=None):
        """A fresh worker that has none of its tasks due."""
        if self._worker:
            self._worker.stop()
        for task in TASKS:
            self.redis.set(f'roundtable.loops.{task}.task_timeouts', 'TIMEOUT NOT EXPIRED', ex=86400)
        self.redis.set('roundtable.control.epoch', '1', nx=True)
        self._worker = self.deployment.worker('market', environment=environment)
        return self._worker

    def metrics(self):
        """(name, value, kind, tags) of what was sent since the last call, without loop metrics and global tags."""
        found = []
        while True:
            try:
                text = self.statsd.recv(65536).decode()
            except BlockingIOError:
                return found
            head, kind, tags = text.split('|')
            name, value = head.split(':')
            if name.startswith('roundtable.loops.') and name != 'roundtable.loops.update_perpetual_markets':
                continue
            own = dict(t.split(':', 1) for t in tags[1:].split(','))
            own.pop('NODE_ENV')
            own.pop('SERVICE_NAME')
            found.append((name[len('roundtable.'):], value, kind, own))

    def do(self, task, expect='ok'):
        """One run by trigger: its `task finished` record; .said has the records it wrote before, .sent its metrics."""
        worker = self._worker or self.worker()
        self.metrics()
        known = len(worker.records())

        def triggered():
            reply = worker.control('trigger', task=task, force=True)
            # 75: a worker that has just started is asking for the lock, or the run before is giving it back
            assert reply.get('ok') or reply.get('code') == 75, reply
            return reply.get('ok')
        wait_until(triggered, f'{task} to be triggered')

        def finished():
            return [r for r in worker.records()[known:] if 'roundTrips' in r]
        record = wait_until(finished, f'the end of {task}', interval=0.005)[0]
        self.said = [r for r in worker.records()[known:] if 'roundTrips' not in r]
        self.sent = self.metrics()
        assert record['result'] == expect, (record, self.said)
        return record

    def server_time(self):
        return self.redis.time()[0]

    def side(self, ticker, side, levels):
        """Replaces a side. levels: {price: (size, time)}; None leaves the field out of that hash."""
        sizes, times = keys(ticker, side)
        pipeline = self.redis.pipeline()
        pipeline.delete(sizes, times)
        for price, (size, time) in levels.items():
            if size is not None:
                pipeline.hset(sizes, price, size)
            if time is not None:
                pipeline.hset(times, price, time)
        pipeline.execute()

    def book(self, ticker, bids, asks):
        self.side(ticker, 'BUY', bids)
        self.side(ticker, 'SELL', asks)

    def levels(self, ticker, side):
        """The two hashes as dictionaries of texts."""
        return tuple({k.decode(): v.decode() for k, v in self.redis.hgetall(key).items()} for key in keys(ticker, side))

    def whole(self, ticker):
        return {side: self.levels(ticker, side) for side in ('BUY', 'SELL')}

    def prices(self, ticker):
        """The mid-price cache: {member: score}."""
        return {m.decode(): s for m, s in
                self.redis.zrange(f'v4/orderbook_mid_prices/{ticker}', 0, -1, withscores=True)}

    def tell(self, at):
        """The records of a run with this `at`."""
        return [r for r in self.said if r.get('at') == at]


# Fixtures, for tests to import.

@pytest.fixture
def world(build, postgres, migrated, redis, redis_server):
    name = postgres.create_database('orderbook_test', template=migrated)
    w = OrderbookWorld(build, postgres, name, redis_server)
    yield w
    w.close()
    postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
