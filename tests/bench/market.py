"""The market family's rows of the bench."""
from rows import Commands, Row, Sql, array, bind

STATISTICS = ('priceChange24H', 'volume24H', 'trades24H', 'nextFundingRate', 'openInterest')


def tickers(bench):
    return [row[0] for row in bench.sql('SELECT ticker FROM perpetual_markets ORDER BY id')]


def change_statistics(bench):
    bench.sql('UPDATE perpetual_markets SET ' + ', '.join(f'"{c}" = -1' for c in STATISTICS))


def updater_floor(bench):
    """What a run asks of PostgreSQL, with the values of the run before, and of Redis."""
    columns = ['id', 'clobPairId', 'marketId', *STATISTICS]
    ids, pairs, markets, *values = [array(c) for c in zip(*bench.sql(
        'SELECT ' + ', '.join(f'"{c}"' for c in columns) + ' FROM perpetual_markets ORDER BY id'))]
    now = bench.sql('SELECT now()::text')[0][0]
    return [Sql('\n'.join([
        bench.statement('market', 'read_markets') + ';',
        bind(bench.statement('market', 'read_statistics'), ids, pairs, markets, now) + ';', 'BEGIN;',
        bind(bench.statement('market', 'update_markets'), ids, *values) + ';', 'COMMIT;'])),
        Commands([['LRANGE', f'v4/nextFunding/{t}', 0, -1] for t in tickers(bench)])]


def all_changed(bench, record):
    assert record['changed_markets'] == bench.markets, record


def key(ticker, side, times=False):
    return f'v4/orderbookLevels/{ticker}/{side}' + ('/lastUpdated' if times else '')


def books(scale):
    """Levels of a side; hardly any fills."""
    return ['--scale', '0.02', '--levels', 50 * scale]


def book_keys(ticker):
    return [key(ticker, side, times) for side in ('BUY', 'SELL') for times in (False, True)]


def listing(bench):
    return Sql(bench.statement('market', 'read_orderbook_markets') + ';')


def reading(bench):
    """The commands that read all books."""
    return [words for t in tickers(bench)
            for words in [['MULTI'], *(['HGETALL', k] for k in book_keys(t)), ['EXEC']]]


def save_books(bench):
    """Remembers the books that a run will change, as they are."""
    pipeline = bench.redis.pipeline(transaction=False)
    keys = [k for t in tickers(bench) for k in book_keys(t)]
    for k in keys:
        pipeline.dump(k)
    bench.books = {k: dump for k, dump in zip(keys, pipeline.execute()) if dump}
    bench.changed = None


def restore_books(bench):
    if bench.changed is None:
        return
    pipeline = bench.redis.pipeline(transaction=False)
    for k in bench.changed:
        pipeline.restore(k, 0, bench.books[k], replace=True)
    pipeline.execute()


def removal_floor(bench):
    """Reading all books, and the removal of exactly the fields that the first run removed."""
    now = dict(zip(bench.books, pipelined(bench, [('dump', k) for k in bench.books])))
    bench.changed = [k for k, dump in bench.books.items() if now[k] != dump]
    after = dict(zip(bench.changed, pipelined(bench, [('hkeys', k) for k in bench.changed])))
    restore_books(bench)
    before = dict(zip(bench.changed, pipelined(bench, [('hkeys', k) for k in bench.changed])))
    removals = [['HDEL', k, field] for k in bench.changed for field in sorted(set(before[k]) - set(after[k]))]
    bench.removed = len(removals) // 2
    return [listing(bench), Commands(reading(bench) + removals)]


def pipelined(bench, commands):
    pipeline = bench.redis.pipeline(transaction=False)
    for name, k in commands:
        getattr(pipeline, name)(k)
    return pipeline.execute()


def all_removed(bench, record):
    assert bench.removed > 0 and record['deleted_levels'] == bench.removed, (bench.removed, record)


def instrumentation_floor(bench):
    return [listing(bench), Commands(reading(bench))]


def mid_price_floor(bench):
    members = {t: bench.redis.zrange(f'v4/orderbook_mid_prices/{t}', 0, -1, withscores=True) for t in tickers(bench)}
    writes = [words for t, found in members.items() if found
              for words in [['ZADD', f'v4/orderbook_mid_prices/{t}', int(found[-1][1]), found[-1][0]],
                            ['ZREMRANGEBYSCORE', f'v4/orderbook_mid_prices/{t}', '-inf', int(found[-1][1]) - 60]]]
    return [listing(bench), Commands(reading(bench) + writes)]


def all_priced(bench, record):
    assert record['mid_prices'] >= 0.9 * bench.markets, record


ROWS = [
    Row('market_updater', floor=updater_floor, reset=change_statistics, check=all_changed),
    Row('orderbook_instrumentation', floor=instrumentation_floor, sample=books),
    Row('cache-orderbook-mid-prices', floor=mid_price_floor, check=all_priced, sample=books),
    Row('delete_zero_price_levels', floor=removal_floor, prepare=save_books, reset=restore_books, check=all_removed,
        sample=books),
    Row('uncross_orderbook', floor=removal_floor, prepare=save_books, reset=restore_books, check=all_removed,
        sample=books),
]
