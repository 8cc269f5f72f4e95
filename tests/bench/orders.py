"""The orders family's rows of the bench, with data of their own: they do not depend on the sample's size."""
import math
import os
import sys

from rows import ROOT, Commands, Row, Sql, bind

sys.path.insert(0, os.path.join(ROOT, 'tests'))

from vulcan_imitation import EXPIRY, Order, as_text  # noqa: E402

ORDERS = 5000000
BATCH, PAGE = 10000, 1000
OWNER = 'dydx1v0rks90786p093z6m632sdml77facea7e88thm'
INDEXES = ('orders_clobpairid_subaccountid_index', 'orders_open_shortterm_idx', 'orders_subaccountid_index',
           'orders_subaccountid_status_goodtilblock_goodtilblocktime_index')


def height(bench):
    return bench.sql('SELECT max("blockHeight") FROM blocks')[0][0]


def fill_orders(bench):
    """5,000,000 orders that have ended, over a week of blocks."""
    if bench.sql('SELECT count(*) FROM (SELECT FROM orders LIMIT %s) AS o', (ORDERS,))[0][0] >= ORDERS:
        return
    definitions = [row[0] for row in bench.sql('SELECT indexdef FROM pg_indexes WHERE indexname = ANY (%s)', (list(INDEXES),))]
    bench.sql("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'; DELETE FROM orders")
    for name in INDEXES:
        bench.sql(f'DROP INDEX {name}')
    bench.sql('''INSERT INTO orders (id, "subaccountId", "clientId", "clobPairId", side, size, "totalFilled", price, type, status,
                     "timeInForce", "reduceOnly", "orderFlags", "goodTilBlock", "clientMetadata", "updatedAt", "updatedAtHeight")
                 SELECT md5('bench ' || i)::uuid, md5('subaccount ' || i %% 60000)::uuid, i, i %% 250, 'BUY', 1, 1, 1, 'LIMIT',
                        'FILLED', 'GTT', false, 0, %s - 1 - i %% 120000, 0, now(), 0 FROM generate_series(1, %s) AS i''',
              (height(bench), ORDERS))
    for definition in definitions:
        bench.sql(definition)
    bench.sql('VACUUM ANALYZE orders')


def make_stale(n):
    def reset(bench):
        """The first n orders are open again; vacuumed, since every run leaves as many dead rows."""
        bench.sql('''UPDATE orders SET status = 'OPEN' WHERE status <> 'OPEN'
                        AND id IN (SELECT md5('bench ' || i)::uuid FROM generate_series(1, %s) AS i)''', (n,))
        bench.sql('VACUUM ANALYZE orders')
        bench.sql('CHECKPOINT')
    return reset


def stale_floor(n):
    def floor(bench):
        """The same statements, each from the block where the one before has ended."""
        make_stale(n)(bench)
        blocks = [row[0] for row in bench.sql('''SELECT "goodTilBlock" FROM (
            SELECT "goodTilBlock", row_number() OVER (ORDER BY "goodTilBlock") AS n FROM orders
             WHERE status = 'OPEN' AND "orderFlags" = 0 AND "goodTilBlock" IS NOT NULL) AS o WHERE n %% %s = 0''', (BATCH,))]
        starts = [-1 << 63] + blocks
        statement = bench.statement('orders', 'cancel_stale_orders')
        return [Sql('\n'.join([bench.statement('orders', 'read_height') + ';'] +
                              [bind(statement, height(bench), BATCH, start) + ';' for start in starts]))]
    return floor


def all_cancelled(n):
    def check(bench, record):
        assert record['orders'] == n, record
    return check


def place_expired(n):
    def prepare(bench):
        """n orders that expired, a thousand in each block."""
        bench.redis.delete(EXPIRY)
        block, pipeline = height(bench) - 21 - n // 1000, bench.redis.pipeline(transaction=False)
        for i in range(n):
            order = Order(OWNER, 3000000001 + i, block + i // 1000, quantums=5000000000, subticks=3100000000)
            pipeline.set(f'v4/orders/{order.uuid}', as_text(order.redis_order))
            pipeline.set(f'v4/orderData/{order.uuid}', f'{order.good_til_block}_2500000_true')
            pipeline.zadd(EXPIRY, {order.uuid: order.good_til_block})
            if i % 10000 == 9999 or i == n - 1:
                pipeline.execute()
    return prepare


def expired_floor(bench):
    """The pages of members and of their values, and nothing of what is sent to Kafka."""
    members = [m.decode() for m in bench.redis.zrange(EXPIRY, 0, -1)]
    commands = []
    for i in range(math.ceil(len(members) / PAGE)):
        commands.append(['ZRANGE', EXPIRY, i * PAGE, (i + 1) * PAGE - 1, 'WITHSCORES'])
        commands.append(['MGET'] + [key for m in members[i * PAGE:(i + 1) * PAGE] for key in (f'v4/orders/{m}', f'v4/orderData/{m}')])
    return [Sql(bench.statement('orders', 'read_height') + ';'), Commands(commands)]


def all_sent(n):
    def check(bench, record):
        assert record['messages'] == n, record
    return check


ROWS = [Row('cancel_stale_orders', title=f'cancel_stale_orders, {n:,} of {ORDERS:,}', once=True, prepare=fill_orders,
            reset=make_stale(n), floor=stale_floor(n), check=all_cancelled(n)) for n in (50000, 500000)] + \
       [Row('remove_expired_orders', title=f'remove_expired_orders, {n:,} expired', once=True, prepare=place_expired(n),
            floor=expired_floor, check=all_sent(n)) for n in (2000, 200000)]
