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


ROWS = [
    Row('market_updater', floor=updater_floor, reset=change_statistics, check=all_changed),
]
