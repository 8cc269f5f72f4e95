"""Rows for tests of funding payments, hourly PnL and trading rewards, on top of pnl_world, and what the tasks made of them.

All amounts are texts, so that trailing zeros count.
"""
import uuid

from psycopg2.extras import execute_values

import pnl_world
from pnl_world import iso, subaccount_id

TABLES = ('blocks, fills, funding_index_updates, funding_payments, markets, perpetual_markets, persistent_cache, pnl, '
          'subaccounts, trading_reward_aggregations, trading_rewards, transfers, wallets')
FUNDING_CHECKPOINT = 'fundingPaymentsLastProcessedHeight'
PNL_CHECKPOINT = 'pnlLastProcessedHeight'
HOUR = 3600


def time_of(height):
    """The worked examples' block times: 36 s a block, so that height 100 is at one o'clock."""
    seconds = 36 * height
    return f'2024-03-{1 + seconds // 86400:02d}T{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.000Z'


class FundingWorld(pnl_world.World):
    def clear(self):
        self.sql(f'TRUNCATE {TABLES} CASCADE')
        self.redis.flushall()

    def insert_many(self, table, columns, rows):
        if rows:
            names = ', '.join(f'"{c}"' for c in columns)
            with self.connection.cursor() as cursor:
                execute_values(cursor, f'INSERT INTO {table} ({names}) VALUES %s', rows, page_size=1000)

    def listing(self, id, clob, ticker):
        self.sql('INSERT INTO markets VALUES (%s, %s, -9, 1000, NULL) ON CONFLICT DO NOTHING', (id, f'pair {id}'))
        self.insert('perpetual_markets', id=id, clobPairId=clob, ticker=ticker, marketId=id, status='ACTIVE',
                    quantumConversionExponent=-9, atomicResolution=-7, subticksPerTick=100000, stepBaseQuantums=1000000,
                    liquidityTierId=0, priceChange24H='0', volume24H='0', trades24H=0, nextFundingRate='0',
                    openInterest='0')

    def updates(self, *rows):
        """(height, perpetual, rate, oracle price, index[, time])"""
        self.insert_many('funding_index_updates',
                         ('id', 'perpetualId', 'eventId', 'rate', 'oraclePrice', 'fundingIndex', 'effectiveAt',
                          'effectiveAtHeight'),
                         [(str(uuid.uuid4()), p, self.event(), rate, oracle, index, at[0] if at else time_of(height), height)
                          for height, p, rate, oracle, index, *at in rows])

    def fills(self, *rows):
        """(account, side, size, clob pair, height[, quote amount, fee])"""
        self.insert_many('fills',
                         ('id', 'subaccountId', 'side', 'liquidity', 'type', 'clobPairId', 'size', 'price', 'quoteAmount',
                          'eventId', 'transactionHash', 'createdAt', 'createdAtHeight', 'fee'),
                         [(str(uuid.uuid4()), account, side, 'TAKER', 'LIMIT', pair, size, '1', quote, self.event(), '',
                           time_of(height), height, fee)
                          for account, side, size, pair, height, quote, fee in
                          [row if len(row) == 7 else (*row, '0', '0') for row in rows]])

    def transfers(self, *rows):
        """(height, size, sender or None, recipient or None[, asset])"""
        self.insert_many('transfers',
                         ('id', 'senderSubaccountId', 'recipientSubaccountId', 'senderWalletAddress',
                          'recipientWalletAddress', 'assetId', 'size', 'eventId', 'transactionHash', 'createdAt',
                          'createdAtHeight'),
                         [(str(uuid.uuid4()), sender, to, None if sender else 'wallet', None if to else 'wallet',
                           asset[0] if asset else '0', size, self.event(), '', time_of(height), height)
                          for height, size, sender, to, *asset in rows])

    def accounts(self, *names):
        return [self.subaccount(name) for name in names]

    def blocks(self, *rows):
        self.insert_many('blocks', ('blockHeight', 'time'), rows)

    def rewards(self, *rows):
        """(address, amount, height, time)"""
        self.insert_many('trading_rewards', ('id', 'address', 'amount', 'blockHeight', 'blockTime'),
                         [(str(uuid.uuid4()), *row) for row in rows])

    def wallets(self, *addresses):
        self.insert_many('wallets', ('address', 'totalTradingRewards'), [(a, '0') for a in addresses])

    def cache(self, key):
        found = self.sql('SELECT value FROM persistent_cache WHERE key = %s', (key,))
        return found[0][0] if found else None

    def set_cache(self, key, value):
        self.sql('INSERT INTO persistent_cache VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
                 (key, value))

    def payments(self):
        """(height, account, perpetual, ticker, oracle price, size, side, rate, payment, index, time)"""
        return [(*row[:-1], iso(row[-1])) for row in self.sql(
            'SELECT "createdAtHeight", "subaccountId"::text, "perpetualId", ticker, "oraclePrice"::text, size::text, side, '
            'rate::text, payment::text, "fundingIndex"::text, "createdAt" FROM funding_payments ORDER BY 1, 2, 3')]

    def pnl(self):
        """(height, account, total, net transfers, equity, time)"""
        return [(*row[:-1], iso(row[-1])) for row in self.sql(
            'SELECT "createdAtHeight", "subaccountId"::text, "totalPnl"::text, "netTransfers"::text, equity::text, '
            '"createdAt" FROM pnl ORDER BY 1, 2')]

    def aggregations(self, period):
        """(address, start, start height, end or None, end height or None, amount, id)"""
        return [(a, iso(s), sh, e and iso(e), eh, amount, id) for a, s, sh, e, eh, amount, id in self.sql(
            'SELECT address, "startedAt", "startedAtHeight", "endedAt", "endedAtHeight", amount::text, id::text '
            'FROM trading_reward_aggregations WHERE period = %s ORDER BY "startedAtHeight", address', (period,))]


ALICE, BOB, CAROL = (subaccount_id(f'dydx1{name}') for name in ('alice', 'bob', 'carol'))


def funding_example(w):
    """Sections 2.4 and 3.4 of the PnL specification, up to height 400."""
    w.accounts('dydx1alice', 'dydx1bob')
    w.listing(0, 0, 'BTC-USD')
    w.listing(1, 7, 'ETH-USD')
    w.updates((100, 0, '0.0001', '101', '10'), (100, 1, '0.0002', '10.5', '2'),
              (200, 0, '0.0003', '105', '12.5'), (200, 1, '-0.0001', '10', '1.5'),
              (300, 0, '0', '109', '13'),
              (400, 0, '0.00005', '111', '13.5'), (400, 1, '0.0001', '9', '1.75'))
    w.fills((ALICE, 'BUY', '2', 0, 50, '200', '0.2'), (ALICE, 'SELL', '5', 7, 100, '50', '0.05'),
            (ALICE, 'BUY', '0.5', 0, 150, '52', '0.052'), (BOB, 'BUY', '1', 7, 201, '10', '0.01'),
            (ALICE, 'BUY', '4', 99, 220, '4', '0'), (ALICE, 'SELL', '2.5', 0, 250, '275', '-0.02'))
    w.transfers((40, '1000', None, ALICE))


def funding_example_goes_on(w):
    w.updates((500, 0, '0.0001', '115', '14'))
    w.fills((ALICE, 'BUY', '1', 0, 450, '112', '0.1'))
