"""A migrated database, Redis and a Kafka mock with just the rows that a test of the market family needs."""
import uuid

import harness
from campaign import topic_records

NOW = '2026-03-05T12:00:00.000Z'
NOW_USEC = 1772712000000000
TOPIC = 'to-websockets-markets'
COLUMNS = ('priceChange24H', 'volume24H', 'trades24H', 'nextFundingRate', 'openInterest')


def kafka_records(bootstrap, topic=TOPIC):
    """All records of the topic as (key length, value); a null key has length -1."""
    return [(-1 if r.key is None else len(r.key), r.value) for r in topic_records(bootstrap, topic)]


def contents(value):
    """The JSON text inside a MarketMessage, whose framing is checked."""
    assert value[0] == 0x0a
    length = shift = 0
    at = 1
    while True:
        byte = value[at]
        length |= (byte & 0x7f) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            break
    assert value[at + length:] == b'\x12\x051.0.0'
    return value[at:at + length].decode()


class World:
    def __init__(self, build, postgres, database, redis_server, kafka):
        self.postgres = postgres
        self.database = database
        self.redis = redis_server.client()
        self.kafka = kafka
        self.deployment = harness.Deployment(build, postgres, database, redis_server, kafka)
        self.connection = postgres.connect(database)
        # the rows of a test stand alone: without blocks, events and subaccounts behind them
        self.sql("SET session_replication_role = replica; SET timezone = 'UTC'")
        self.height = 0

    def close(self):
        self.connection.close()
        self.deployment.close()
        self.redis.close()

    def sql(self, text, parameters=None):
        with self.connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall() if cursor.description else None

    def insert(self, table, **values):
        names = ', '.join(f'"{n}"' for n in values)
        marks = ', '.join(['%s'] * len(values))
        self.sql(f'INSERT INTO {table} ({names}) VALUES ({marks})', tuple(values.values()))

    def market(self, id, ticker, clob=None, oracle=None, old=('0', '0', 0, '0', '0'), default='0', tier=0):
        """old: the five statistics in the order of COLUMNS."""
        oracle = id if oracle is None else oracle
        self.sql('INSERT INTO markets VALUES (%s, %s, -9, 1000, NULL) ON CONFLICT DO NOTHING', (oracle, f'pair {oracle}'))
        self.insert('perpetual_markets', id=id, clobPairId=id if clob is None else clob, ticker=ticker, marketId=oracle,
                    status='ACTIVE', quantumConversionExponent=-9, atomicResolution=-7, subticksPerTick=100000,
                    stepBaseQuantums=1000000, liquidityTierId=tier, defaultFundingRate1H=default,
                    **dict(zip(COLUMNS, old)))

    def price(self, oracle, price, at, height=None):
        self.height += 1
        self.insert('oracle_prices', id=str(uuid.uuid4()), marketId=oracle, price=price, effectiveAt=at,
                    effectiveAtHeight=self.height if height is None else height)

    def fill(self, clob, amount, at, liquidity='TAKER', type='LIMIT'):
        self.insert('fills', id=str(uuid.uuid4()), subaccountId=str(uuid.uuid4()), side='BUY', liquidity=liquidity,
                    type=type, clobPairId=clob, size='1', price=amount, quoteAmount=amount, eventId=b'\0' * 12,
                    transactionHash='', createdAt=at, createdAtHeight=1)

    def position(self, perpetual, size, side='LONG', status='OPEN'):
        self.insert('perpetual_positions', id=str(uuid.uuid4()), subaccountId=str(uuid.uuid4()), perpetualId=perpetual,
                    side=side, status=status, size=size, maxSize=size, entryPrice='1', sumOpen='1', sumClose='0',
                    createdAt=NOW, createdAtHeight=1, openEventId=b'\0' * 12, lastEventId=b'\0' * 12,
                    settledFunding='0')

    def samples(self, ticker, *values):
        self.redis.delete(f'v4/nextFunding/{ticker}')
        if values:
            self.redis.rpush(f'v4/nextFunding/{ticker}', *values)

    def statistics(self, id):
        return self.sql('SELECT "priceChange24H"::text, "volume24H"::text, "trades24H", "nextFundingRate"::text, '
                        '"openInterest"::text FROM perpetual_markets WHERE id = %s', (id,))[0]

    def run(self, expect=0, environment=None, now_usec=NOW_USEC, task='market_updater', arguments=()):
        """One run of a task in the foreground; returns the CompletedProcess."""
        done = self.deployment.run('roundtable-worker', '--run', task, '--no-lock', '--conf', self.deployment.conf,
                                   *arguments,
                                   environment=dict({'ROUNDTABLE_TEST_NOW_USEC': str(now_usec)}, **(environment or {})),
                                   timeout=180)
        assert done.returncode == expect, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def records(self):
        return kafka_records(self.kafka.bootstrap)

    def messages(self):
        return [contents(value) for _, value in self.records()]

    def pending(self):
        return {k.decode() for k in self.redis.hkeys('roundtable.control.market_updater.pending')}
