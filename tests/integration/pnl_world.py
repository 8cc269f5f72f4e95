"""A migrated database and Redis with just the rows that a test of the pnl family needs.

    world.block(20000, '2024-03-01T12:00:05.250Z')
    alice = world.subaccount('dydx1alice', 0, updated=16500)
    world.transfer(800, '50000', to=alice)
    world.run('create_pnl_ticks')

Amounts are texts, times ISO texts in UTC, `asset` '0' is USDC.
"""
import contextlib
import datetime
import json
import socket
import uuid

import harness
import servers

NAMESPACE = uuid.UUID('0f9da948-a6fb-4c45-9edc-4685c3f3317d')
LATEST = 'v4/latest-accounts-pnl-tick'
TABLES = ('asset_positions, assets, blocks, fills, funding_index_updates, leaderboard_pnl, markets, oracle_prices, '
          'perpetual_markets, perpetual_positions, persistent_cache, pnl_ticks, subaccounts, transfers, vaults, wallets')


def usec(iso):
    """Microseconds since the epoch of an ISO time in UTC."""
    t = datetime.datetime.fromisoformat(iso.replace('Z', '+00:00'))
    return (t - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) // datetime.timedelta(microseconds=1)


def iso(t):
    """A datetime as the service prints it."""
    return t.astimezone(datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%S.') + f'{t.microsecond // 1000:03d}Z'


def subaccount_id(address, number=0):
    return str(uuid.uuid5(NAMESPACE, f'{address}-{number}'))


def tick_id(subaccount, created):
    return str(uuid.uuid5(NAMESPACE, f'{subaccount}-{created}'))


def template(build, postgres, name='pnl_template'):
    """A migrated database to be copied; made once per server."""
    if not postgres.execute('SELECT 1 FROM pg_database WHERE datname = %s', (name,)):
        postgres.create_database(name)
        with harness.Deployment(build, postgres, name) as d:
            done = d.run('roundtable-admin', 'migrate', '--conf', d.conf)
            assert done.returncode == 0, (done.stdout, done.stderr)
    return name


class World:
    def __init__(self, build, postgres, redis_server, database='pnl_test'):
        self.postgres = postgres
        self.database = postgres.create_database(database, template=template(build, postgres))
        self.redis = redis_server.client()
        self.redis.flushall()
        self.deployment = harness.Deployment(build, postgres, self.database, redis_server)
        self.statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.statsd.bind(('127.0.0.1', 0))
        self.statsd.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.statsd.setblocking(False)
        self.deployment.settings(None, statsd={'host': '127.0.0.1', 'port': self.statsd.getsockname()[1]})
        self.connection = postgres.connect(self.database)
        # the rows of a test stand alone: without events behind them
        self.sql("SET session_replication_role = replica; SET timezone = 'UTC'")
        self.serial = 0

    def close(self):
        self.connection.close()
        self.deployment.close()
        self.redis.close()
        self.statsd.close()
        self.postgres.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s', (self.database,))
        self.postgres.execute(f'DROP DATABASE "{self.database}"')

    def clear(self):
        self.sql(f'TRUNCATE {TABLES} CASCADE')
        self.redis.flushall()

    def sql(self, text, parameters=None):
        with self.connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall() if cursor.description else None

    def insert(self, table, **values):
        names = ', '.join(f'"{n}"' for n in values)
        marks = ', '.join(['%s'] * len(values))
        self.sql(f'INSERT INTO {table} ({names}) VALUES ({marks})', tuple(values.values()))

    def event(self):
        """A new event id, greater than those before."""
        self.serial += 1
        return self.serial.to_bytes(12, 'big')

    # rows

    def block(self, height, time):
        self.insert('blocks', blockHeight=height, time=time)

    def subaccount(self, address, number=0, updated=1, wallet=True):
        id = subaccount_id(address, number)
        self.insert('subaccounts', id=id, address=address, subaccountNumber=number, updatedAt='2024-01-01T00:00:00Z',
                    updatedAtHeight=updated)
        if wallet:
            self.sql('INSERT INTO wallets (address, "totalTradingRewards") VALUES (%s, 0) ON CONFLICT DO NOTHING', (address,))
        return id

    def market(self, perpetual, market=None):
        market = perpetual if market is None else market
        self.sql('INSERT INTO markets VALUES (%s, %s, -9, 1000, NULL) ON CONFLICT DO NOTHING', (market, f'pair {market}'))
        self.insert('perpetual_markets', id=perpetual, clobPairId=perpetual + 100, ticker=f'M{perpetual}-USD', marketId=market,
                    status='ACTIVE', quantumConversionExponent=-9, atomicResolution=-7, subticksPerTick=100000,
                    stepBaseQuantums=1000000, liquidityTierId=0, priceChange24H='0', volume24H='0', trades24H=0,
                    nextFundingRate='0', openInterest='0')

    def price(self, market, height, price):
        self.insert('oracle_prices', id=str(uuid.uuid4()), marketId=market, price=price, effectiveAt='2024-01-01T00:00:00Z',
                    effectiveAtHeight=height)

    def funding(self, perpetual, height, index, at='2024-01-01T00:00:00Z'):
        self.insert('funding_index_updates', id=str(uuid.uuid4()), perpetualId=perpetual, eventId=self.event(), rate='0',
                    oraclePrice='1', fundingIndex=index, effectiveAt=at, effectiveAtHeight=height)

    def position(self, subaccount, perpetual, size, status='OPEN', event=None):
        event = event or self.event()
        self.insert('perpetual_positions', id=str(uuid.uuid4()), subaccountId=subaccount, perpetualId=perpetual,
                    side='SHORT' if size.startswith('-') else 'LONG', status=status, size=size, maxSize=size, entryPrice='1',
                    sumOpen='1', sumClose='0', createdAt='2024-01-01T00:00:00Z', createdAtHeight=1, openEventId=event,
                    lastEventId=event, settledFunding='0')

    def usdc(self, subaccount, size, long=True, asset='0'):
        self.insert('asset_positions', id=str(uuid.uuid4()), assetId=asset, subaccountId=subaccount, size=size, isLong=long)

    def transfer(self, height, size, sender=None, to=None, asset='0', at='2024-01-01T00:00:00Z'):
        self.insert('transfers', id=str(uuid.uuid4()), senderSubaccountId=sender, recipientSubaccountId=to, assetId=asset,
                    size=size, eventId=self.event(), transactionHash='', createdAt=at, createdAtHeight=height,
                    senderWalletAddress=None if sender else 'wallet', recipientWalletAddress=None if to else 'wallet')

    def tick(self, subaccount, height, time, created=None, equity='0', total='0', net='0'):
        created = created or time
        self.insert('pnl_ticks', id=tick_id(subaccount, created), subaccountId=subaccount, equity=equity, totalPnl=total,
                    netTransfers=net, createdAt=created, blockHeight=height, blockTime=time)

    def cached(self, subaccount, height, time, created=None, equity='0', total='0', net='0'):
        """An entry of the hash of latest ticks, as the original writes it."""
        self.redis.hset(LATEST, subaccount, json.dumps(
            {'totalPnl': total, 'netTransfers': net, 'subaccountId': subaccount, 'createdAt': created or time,
             'equity': equity, 'blockHeight': str(height), 'blockTime': time}, separators=(',', ':')))

    # runs and what they leave behind

    def settings(self, **values):
        self.deployment.settings('pnl', **values)

    def run(self, task, now=None, expect=0, environment=None, arguments=('--no-lock',)):
        """One run in the foreground; returns the CompletedProcess. `now`: ISO text or microseconds."""
        variables = dict(environment or {})
        if now is not None:
            variables['ROUNDTABLE_TEST_NOW_USEC'] = str(usec(now) if isinstance(now, str) else now)
        done = self.deployment.run('roundtable-worker', '--run', task, *arguments, '--conf', self.deployment.conf,
                                   environment=variables, timeout=180)
        assert done.returncode == expect, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def metrics(self):
        """Metrics received since the last call: name -> value."""
        found = {}
        while True:
            try:
                name, value = self.statsd.recv(65536).decode().split('|')[0].rsplit(':', 1)
            except BlockingIOError:
                return found
            found[name] = float(value)

    def ticks(self, where='true'):
        """(subaccount, equity, totalPnl, netTransfers, blockHeight, blockTime) of all ticks, values as text."""
        return [(s, e, t, n, h, iso(at)) for s, e, t, n, h, at in self.sql(
            'SELECT "subaccountId", equity::text, "totalPnl"::text, "netTransfers"::text, "blockHeight", "blockTime" '
            f'FROM pnl_ticks WHERE {where} ORDER BY "blockHeight", "subaccountId"')]

    def hash(self):
        """The hash of latest ticks, values parsed."""
        return {k.decode(): json.loads(v) for k, v in self.redis.hgetall(LATEST).items()}

    def pending(self, task):
        return {k.decode() for k in self.redis.hkeys(f'roundtable.control.{task}.pending')}


@contextlib.contextmanager
def lagging_replica(world, build):
    """Meanwhile the replica is a server of its own with empty tables, as one that lags behind; yields a function that
    executes SQL there."""
    kept = world.deployment.common['database']
    with servers.Postgres() as other:
        template(build, other, world.database)
        world.deployment.settings(None, database=dict(kept, replica_host=other.host, use_replica=True))
        with contextlib.closing(other.connect(world.database)) as connection, connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica; SET timezone = 'UTC'")
            try:
                yield cursor.execute
            finally:
                world.deployment.settings(None, database=kept)
