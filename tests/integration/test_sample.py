"""Sample data: whole or not at all, the same for the same seed, and the schema is afterwards what it was."""
import subprocess

import pytest

import harness


@pytest.fixture
def sample(build, postgres, migrated, redis, redis_server):
    """sample(*arguments) on a database of its own; .sql(text) and .schema() look at it."""
    class Sample:
        def __call__(self, *arguments):
            return self.deployment.run('roundtable-admin', 'sample', '--conf', self.deployment.conf, *arguments)

        def sql(self, text):
            return postgres.execute(text, database=self.database)

        def schema(self):
            dump = subprocess.run(['pg_dump', '-s', '-h', postgres.host, '-p', str(postgres.port), '-U', postgres.user,
                                   self.database], capture_output=True, text=True, check=True).stdout
            # psql's \\restrict has a new key each time
            return [line for line in dump.splitlines() if 'restrict ' not in line]

    s = Sample()
    s.database = postgres.create_database('sample_test', template=migrated)
    s.redis = redis
    with harness.Deployment(build, postgres, s.database, redis_server) as s.deployment:
        yield s
    postgres.execute(f'DROP DATABASE "{s.database}" WITH (FORCE)')


CONTENTS = '''SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM (SELECT "subaccountId", side, price, size, fee FROM fills
              UNION ALL SELECT "subaccountId", status, "entryPrice", size, "perpetualId"::text FROM perpetual_positions) AS t'''


def test_the_same_seed_makes_the_same_rows_and_leaves_the_schema_alone(sample):
    schema = sample.schema()
    done = sample('--scale', '0.02', '--seed', '7')
    assert done.returncode == 0, done.stderr
    # what it says is what it makes
    assert done.stdout.startswith('sample: 50 markets, 20 subaccounts, 4000 fills over 25 hours'), done.stdout
    assert sample.sql('SELECT count(*) FROM perpetual_markets') == [(50,)]
    assert sample.sql('SELECT count(*) FROM subaccounts') == [(20,)]
    assert sample.sql('SELECT count(*) FROM fills') == [(4000,)]
    assert sample.sql("SELECT count(*) FROM perpetual_positions WHERE status = 'OPEN'") == [(80,)]
    first = sample.sql(CONTENTS)
    assert sample('--scale', '0.02', '--seed', '7', '--replace').returncode == 0
    assert sample.sql(CONTENTS) == first
    assert sample('--scale', '0.02', '--seed', '8', '--replace').returncode == 0
    assert sample.sql(CONTENTS) != first
    assert sample.schema() == schema
    for table in ('fills', 'perpetual_positions', 'transfers', 'trading_rewards', 'funding_index_updates', 'funding_payments',
                  'pnl'):  # the checks that were left out would have passed
        for name, reference in sample.sql("SELECT conname, conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' "
                                          f"AND conrelid = '{table}'::regclass"):
            definition = sample.sql(f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{name}'")[0][0]
            sample.sql(f'ALTER TABLE {reference} ADD CONSTRAINT again {definition}')
            sample.sql(f'ALTER TABLE {reference} DROP CONSTRAINT again')


def test_presets_set_the_sizes(sample):
    done = sample('--preset', 'mainnet', '--scale', '0.01')
    assert done.returncode == 0, done.stderr
    assert sample.sql('SELECT count(*) FROM perpetual_markets') == [(250,)]
    assert sample.sql('SELECT count(*) FROM subaccounts') == [(650,)]
    assert sample.sql('SELECT count(*) FROM fills') == [(20000,)]
    assert sample.sql("SELECT count(*) FROM perpetual_positions WHERE status = 'OPEN'") == [(1000,)]
    assert sample('--preset', 'nonsense').returncode == 2


def test_order_books_with_something_wrong_in_some(sample):
    assert sample('--scale', '0.01', '--levels', '40', '--markets', '30').returncode == 0
    tickers = [row[0] for row in sample.sql('SELECT ticker FROM perpetual_markets ORDER BY id')]

    def book(i, side):
        key = f'v4/orderbookLevels/{tickers[i]}/{side}'
        return [{k.decode(): v.decode() for k, v in sample.redis.hgetall(k).items()} for k in (key, key + '/lastUpdated')]
    sizes, times = book(0, 'BUY')
    assert len(sizes) == 40 and sizes.keys() == times.keys() and all(int(s) > 0 for s in sizes.values())
    assert max(map(float, sizes)) < min(map(float, book(0, 'SELL')[0]))
    assert max(map(float, book(3, 'BUY')[0])) > min(map(float, book(3, 'SELL')[0]))
    assert '0' in book(5, 'BUY')[0].values() and any(s.startswith('-') for s in book(6, 'SELL')[0].values())
    assert book(7, 'SELL')[0].keys() != book(7, 'SELL')[1].keys()
    assert book(8, 'SELL') == [{}, {}] and len(book(8, 'BUY')[0]) == 40
    # a price is written in one way only
    assert not any(p.endswith(('.', '.0')) or 'e' in p for i in range(30) for p in book(i, 'BUY')[0])


def test_the_feed_moves_prices_trades_and_books(sample):
    assert sample('--scale', '0.02', '--markets', '20').returncode == 0

    def hashes(kind):
        """{ticker: (buy, sell)} of the sizes ('') or the times ('/lastUpdated') of all books."""
        tickers = [t for (t,) in sample.sql('SELECT ticker FROM perpetual_markets')]
        pipeline = sample.redis.pipeline()
        for ticker in tickers:
            for side in ('BUY', 'SELL'):
                pipeline.hgetall(f'v4/orderbookLevels/{ticker}/{side}{kind}')
        read = pipeline.execute()
        return dict(zip(tickers, zip(read[::2], read[1::2])))

    def crossed():
        best = {ticker: [[float(price) for price, size in side.items() if int(size) > 0] for side in sides]
                for ticker, sides in hashes('').items()}
        return {ticker for ticker, (bids, asks) in best.items() if bids and asks and max(bids) >= min(asks)}

    def counts():
        return sample.sql('SELECT (SELECT count(*) FROM fills), (SELECT count(*) FROM oracle_prices), '
                          '(SELECT count(*) FROM blocks)')[0]

    before, times, (fills, prices, blocks) = crossed(), hashes('/lastUpdated'), counts()
    admin = sample.deployment.program_path('roundtable-admin')
    feed = sample.deployment._start('feed', [admin, 'feed', '--conf', sample.deployment.conf, '--interval', '10'], None)
    feed.wait_for(lambda: crossed() - before, 'a book that becomes crossed')
    feed.wait_for(lambda: counts()[2] >= blocks + 5, 'five steps: each market once')
    assert feed.stop() == 0 and feed.log() == ''
    now = counts()
    steps = now[2] - blocks
    # 20 trades of two fills a step, and the prices of a fifth of the markets
    assert now[0] == fills + 40 * steps and now[1] == prices + 4 * steps
    touched = {ticker for ticker, sides in hashes('/lastUpdated').items() for old, new in zip(times[ticker], sides)
               if any(price in old and int(new[price]) > int(old[price]) for price in new)}
    assert len(touched) > 10, touched


def test_other_data_is_not_mixed_with(sample):
    assert sample('--scale', '0.01').returncode == 0
    before = sample.sql(CONTENTS)
    # at the scale that it has without being told
    done = sample('--seed', '9')
    assert done.stdout.startswith('sample: 50 markets, 1000 subaccounts, 200000 fills over 25 hours'), done.stdout
    assert done.returncode == 1 and 'not empty' in done.stderr and '--replace' in done.stderr
    assert sample.sql(CONTENTS) == before


def test_a_failure_leaves_nothing(sample):
    # an index that cannot be built again: the last step of the transaction
    sample.sql('CREATE UNIQUE INDEX one_fill_a_market ON fills ("clobPairId")')
    schema = sample.schema()
    done = sample('--scale', '0.01')
    assert done.returncode == 1 and 'one_fill_a_market' in done.stderr
    assert sample.sql('SELECT count(*) FROM fills') == [(0,)] and sample.sql('SELECT count(*) FROM markets') == [(0,)]
    assert sample.schema() == schema


def test_funding_pnl_and_rewards_have_work(sample):
    """Two hours are due, and everything behind them was there before."""
    done = sample('--scale', '0.02')
    assert done.returncode == 0, done.stderr
    before = dict(sample.sql("SELECT key, value FROM persistent_cache WHERE key LIKE '%Height'"))
    assert before == {'fundingPaymentsLastProcessedHeight': '10016560', 'pnlLastProcessedHeight': '10016560'}
    assert sample.sql('SELECT count(*) FROM funding_payments') == [(80,)]
    for task in ('update-funding-payments', 'update-pnl', *(f'aggregate_trading_rewards_{p}' for p in ('daily', 'weekly',
                                                                                                    'monthly'))):
        done = sample.deployment.run('roundtable-worker', '--run', task, '--no-lock', '--conf', sample.deployment.conf)
        assert done.returncode == 0 and 'left out' not in done.stdout, (done.stdout, done.stderr)
    for table in ('funding_payments', 'pnl'):
        counts = dict(sample.sql(f'SELECT "createdAtHeight", count(*) FROM {table} GROUP BY 1'))
        assert sorted(counts) == [10016560, 10017280, 10018000] and counts[10018000] >= counts[10016560] > 0, counts
    sums = dict(sample.sql('SELECT period, sum(amount) FROM trading_reward_aggregations GROUP BY 1'))
    assert set(sums) == {'DAILY', 'WEEKLY', 'MONTHLY'} and len(set(sums.values())) == 1
