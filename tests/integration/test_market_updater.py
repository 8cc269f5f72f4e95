"""market_updater against real PostgreSQL and Redis and a Kafka mock whose records kcat reads."""
import json
import os
import re

import pytest

import servers
from campaign import Campaign
from market_world import COLUMNS, NOW_USEC, TOPIC, World, contents

EXAMPLE_VALUE = bytes.fromhex(
    '0a8c017b2274726164696e67223a7b22534f4c2d555344223a7b2270726963654368616e6765323448223a222d312e35222c22766f6c756d6532'
    '3448223a223136302e323530222c22747261646573323448223a322c226e65787446756e64696e6752617465223a22302e303030303132383735'
    '222c226f70656e496e746572657374223a2232302e3030227d7d7d1205312e302e30')
OLD = ('1.5', '1000', 3, '0.00001', '20')


@pytest.fixture
def world(build, postgres, migrated, redis, redis_server):
    name = postgres.create_database('market_test', template=migrated)
    mock = servers.KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock'))
    mock.start()
    w = World(build, postgres, name, redis_server, mock)
    yield w
    w.close()
    mock.close()
    postgres.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s', (name,))
    postgres.execute(f'DROP DATABASE "{name}"')


def example(w):
    """Section 9.8 of the market specification."""
    w.market(4, 'SOL-USD', oracle=7, old=OLD, default='0.0000125')
    w.market(11, 'DOGE-USD', clob=12, oracle=9, old=('-0.002', '0', 0, '0.00003', '0'), default=None)
    w.fill(4, '150.250', '2026-03-05T11:00:00Z')
    w.fill(4, '150.250', '2026-03-05T11:00:00Z', liquidity='MAKER')
    w.fill(4, '49.75', '2026-03-04T12:00:00.000Z')
    w.fill(4, '900', '2026-03-05T10:00:00Z', type='LIQUIDATED')
    w.fill(4, '10', '2026-03-04T12:00:00.001Z')
    w.position(4, '12.5')
    w.position(4, '7.50')
    w.position(4, '-3', side='SHORT')
    w.position(4, '100', status='CLOSED')
    w.price(7, '140.25', '2026-03-04T11:59:50Z')
    w.price(7, '141', '2026-03-04T12:00:00.000Z')
    w.price(7, '139.5', '2026-03-05T11:59:58Z')
    w.price(9, '0.11', '2026-03-05T01:00:00Z')
    w.samples('SOL-USD', '1.25e-7', '0', '0.000001')


EXAMPLE_AFTER = ('-1.5', '160.250', 2, '0.000012875', '20.00')


def test_worked_example_byte_for_byte(world):
    example(world)
    world.run()
    assert world.statistics(4) == EXAMPLE_AFTER
    assert world.statistics(11) == ('-0.002', '0', 0, '0.00003', '0')
    assert world.records() == [(-1, EXAMPLE_VALUE)]
    assert world.pending() == set()


def test_second_run_is_silent_and_writes_no_row(world):
    example(world)
    world.run()
    before = world.sql('SELECT id, xmin::text FROM perpetual_markets ORDER BY id')
    world.run()
    assert len(world.records()) == 1
    assert world.sql('SELECT id, xmin::text FROM perpetual_markets ORDER BY id') == before


def test_fills_counted_are_those_of_the_last_24_hours_by_limit_takers(world):
    world.market(1, 'A-USD')
    world.fill(1, '1', '2026-03-04T12:00:00.000Z')
    world.fill(1, '2', '2026-03-04T12:00:00.001Z')
    world.fill(1, '4', '2026-03-05T12:00:00.000Z')
    world.fill(1, '8', '2026-03-05T11:00:00Z', liquidity='MAKER')
    world.fill(1, '16', '2026-03-05T11:00:00Z', type='LIQUIDATED')
    world.fill(1, '32', '2026-03-05T11:00:00Z', type='TWAP_SUBORDER')
    world.fill(1, '64', '2026-03-05T11:00:00Z', type='DELEVERAGED')
    world.fill(77, '128', '2026-03-05T11:00:00Z')  # a clob pair that no market has
    world.run()
    assert world.statistics(1) == ('0', '6', 2, '0', '0')
    assert world.messages() == ['{"trading":{"A-USD":{"volume24H":"6","trades24H":2}}}']


def test_price_changes(world):
    world.market(1, 'NO-PRICE', old=('7', '0', 0, '0', '0'))
    world.market(2, 'NO-OLD', old=('7', '0', 0, '0', '0'))
    world.price(2, '5', '2026-03-04T12:00:00.001Z')
    world.market(3, 'EQUAL', old=('7', '0', 0, '0', '0'))
    world.price(3, '5', '2026-03-04T12:00:00Z')
    world.price(3, '5.00', '2026-03-05T12:00:00Z')
    world.market(4, 'TINY', old=('7', '0', 0, '0', '0'))
    world.price(4, '0.0000000015', '2026-02-01T00:00:00Z')  # a week old 24 hours ago counts
    world.price(4, '0.0000000020', '2026-03-05T11:00:00Z')
    world.price(4, '9', '2026-03-05T12:00:00.001Z')  # the future does not
    world.market(5, 'SAME-INSTANT', old=('7', '0', 0, '0', '0'))
    world.price(5, '1', '2026-03-04T11:00:00Z')
    world.price(5, '3', '2026-03-05T11:00:00Z', height=900)
    world.price(5, '2', '2026-03-05T11:00:00Z', height=899)
    world.run()
    assert [world.statistics(i)[0] for i in range(1, 6)] == ['7', '7', '0', '0.0000000005', '2']
    assert world.messages() == ['{"trading":{"EQUAL":{"priceChange24H":"0"},"TINY":{"priceChange24H":"0.0000000005"},'
                                '"SAME-INSTANT":{"priceChange24H":"2"}}}']


def test_funding_rates(world):
    cases = [  # ticker, samples, default, expected
        ('EMPTY', (), '0.5', '0.125'),
        ('ZERO', ('0',), '0.5', '0.5'),
        ('NULL-DEFAULT', ('1.25e-7', '-8.75e-7'), None, '-0.000000375'),
        ('UP', ('0.00001', '0.00001', '0'), '0', '0.00000666666666666667'),
        ('DOWN', ('0.00001', '0', '0'), '0', '0.00000333333333333333'),
        ('NEGATIVE', ('-0.00001', '-0.00001', '0'), '0', '-0.00000666666666666667'),
        ('LARGE', ('1e+21',), '0', '1' + '0' * 21),
    ]
    for i, (ticker, samples, default, _) in enumerate(cases):
        world.market(i, ticker, old=('0', '0', 0, '0.125', '0'), default=default)
        world.samples(ticker, *samples)
    world.run()
    assert [world.statistics(i)[3] for i in range(len(cases))] == [expected for *_, expected in cases]
    assert 'EMPTY' not in world.messages()[0]


def test_open_interest_is_of_open_longs_with_its_scale(world):
    world.market(1, 'A-USD', old=('0', '0', 0, '0', '20'))
    world.position(1, '12.5')
    world.position(1, '7.50')
    world.position(1, '-20.00', side='SHORT')
    world.position(1, '5', status='CLOSED')
    world.position(1, '5', status='LIQUIDATED')
    world.market(2, 'NONE', old=('0', '0', 0, '0', '4'))
    world.position(99, '3')
    world.run()
    assert [world.statistics(i)[4] for i in (1, 2)] == ['20.00', '0']
    assert world.messages() == ['{"trading":{"A-USD":{"openInterest":"20.00"},"NONE":{"openInterest":"0"}}}']


def test_exactly_the_one_field_that_changed_is_sent(world):
    example(world)
    world.run()
    world.position(11, '0.10')
    world.run()
    assert world.messages()[1:] == ['{"trading":{"DOGE-USD":{"openInterest":"0.10"}}}']


def test_without_a_replica_the_primary_answers(world):
    example(world)
    world.deployment.common['database']['replica_host'] = '/nowhere'
    world.deployment.write()
    assert '/nowhere' in world.run(expect=1).stdout
    world.run(environment={'IS_USING_DB_READONLY': 'false'})
    assert world.statistics(4) == EXAMPLE_AFTER


def test_what_is_sent_is_said_at_debug(world):
    example(world)
    assert 'Sending markets websocket message' not in world.run().stderr
    world.position(11, '0.10')
    said = world.run(environment={'LOG_LEVEL': 'debug'}).stderr
    assert 'Sending markets websocket message' in said and 'No 24-hour old oracle price found for market' in said


def test_no_markets(world):
    world.fill(1, '2', '2026-03-05T11:00:00Z')
    world.run()
    assert world.records() == []


def test_bad_samples_of_one_market_are_named_and_the_rest_is_done(world):
    example(world)
    world.market(12, 'BAD-USD', old=('0', '5', 1, '0.125', '0'))
    world.samples('BAD-USD', '0.1', 'garbage')
    world.redis.set('v4/nextFunding/WRONG-USD', 'not a list')
    world.market(13, 'WRONG-USD', old=('0', '5', 1, '0.25', '0'))
    done = world.run()
    # other columns of these markets are done, too
    assert world.statistics(12) == ('0', '0', 0, '0.125', '0')
    assert world.statistics(13) == ('0', '0', 0, '0.25', '0')
    assert world.statistics(4) == EXAMPLE_AFTER
    said = done.stdout + done.stderr
    assert 'BAD-USD' in said and 'WRONG-USD' in said and 'SOL-USD' not in said


def test_two_markets_of_one_clob_pair_get_the_same(world):
    world.market(1, 'A-USD', clob=5)
    world.market(2, 'B-USD', clob=5)
    world.fill(5, '2.50', '2026-03-05T11:00:00Z')
    world.run()
    assert world.statistics(1) == world.statistics(2) == ('0', '2.50', 1, '0', '0')


def test_a_market_without_liquidity_tier_is_done(world):
    world.market(1, 'A-USD', tier=12345)
    world.fill(1, '2', '2026-03-05T11:00:00Z')
    world.run()
    assert world.messages() == ['{"trading":{"A-USD":{"volume24H":"2","trades24H":1}}}']


def test_tickers_that_need_escaping(world):
    tickers = ['PEPE,UNISWAP_V3,0X69-USD', 'quo"te\\back', 'tab\tline\n\x01', 'Größe/日本', "Robert'); DROP TABLE fills;--"]
    for i, ticker in enumerate(tickers):
        world.market(i, ticker)
        world.samples(ticker, '0.5')
        world.fill(i, '2', '2026-03-05T11:00:00Z')
    world.run()
    (message,) = world.messages()
    assert list(json.loads(message)['trading']) == tickers
    assert r'"quo\"te\\back"' in message and r'"tab\tline\n\u0001"' in message and '"Größe/日本"' in message
    assert [world.statistics(i)[3] for i in range(len(tickers))] == ['0.5'] * len(tickers)


def test_a_thousand_markets_in_order_of_id(world):
    n = 1000
    world.sql("INSERT INTO markets SELECT i, 'pair ' || i, -9, 1000, NULL FROM generate_series(1, %s) i", (n,))
    world.sql('''INSERT INTO perpetual_markets (id, "clobPairId", ticker, "marketId", status, "priceChange24H", "volume24H",
                     "trades24H", "nextFundingRate", "openInterest", "quantumConversionExponent", "atomicResolution",
                     "subticksPerTick", "stepBaseQuantums")
                 SELECT i, i, 'M' || i || '-USD', i, 'ACTIVE', 0, 0, 0, 0, 0, -9, -7, 100000, 1000000
                   FROM generate_series(1, %s) i ORDER BY random()''', (n,))
    pipeline = world.redis.pipeline()
    for i in range(1, n + 1):
        pipeline.rpush(f'v4/nextFunding/M{i}-USD', f'{i}e-6')
    pipeline.execute()
    world.run()
    (message,) = world.messages()
    trading = json.loads(message)['trading']
    assert list(trading) == [f'M{i}-USD' for i in range(1, n + 1)]
    assert trading['M1000-USD'] == {'nextFundingRate': '0.001'} and trading['M7-USD'] == {'nextFundingRate': '0.000007'}
    assert world.sql('SELECT count(*) FROM perpetual_markets WHERE "nextFundingRate" = id * 0.000001')[0][0] == n


def test_round_trips_do_not_grow_with_markets(world):
    """One for the listing, one for all inputs of the replica, one for a page of samples; the rest is writing."""
    trips = []
    for n in (2, 60):
        for i in range(world.sql('SELECT count(*) FROM perpetual_markets')[0][0], n):
            world.market(i, f'M{i}-USD')
            world.price(i, '5', '2026-03-04T11:00:00Z')
            world.price(i, '7', '2026-03-05T11:00:00Z')
            world.samples(f'M{i}-USD', '0.5')
            world.fill(i, '2', '2026-03-05T11:00:00Z')
            world.position(i, '3')
        world.sql('UPDATE perpetual_markets SET "volume24H" = -1')
        trips.append(int(re.search(r'(\d+) round trips', world.run().stdout).group(1)))
    assert trips[0] == trips[1], trips


def test_kafka_down_leaves_the_database_right_and_the_next_run_sends(world):
    example(world)
    bootstrap = world.kafka.bootstrap
    world.kafka.kill()
    world.deployment.settings(None, kafka={'brokers': bootstrap, 'connection_timeout': '1 s', 'request_timeout': '1 s'})
    done = world.run()
    assert world.statistics(4) == EXAMPLE_AFTER
    assert 'Publish to markets websocket failed' in done.stdout + done.stderr
    assert world.pending() == {f'4:{c}' for c in COLUMNS}
    # the next run computes a newer volume: that one is sent, with the fields of the run before
    world.kafka.start()
    world.deployment.settings(None, kafka={'brokers': world.kafka.bootstrap})
    world.fill(4, '0.750', '2026-03-05T11:30:00Z')
    world.run()
    assert world.messages() == ['{"trading":{"SOL-USD":{"priceChange24H":"-1.5","volume24H":"161.000","trades24H":3,'
                                '"nextFundingRate":"0.000012875","openInterest":"20.00"}}}']
    assert world.pending() == set()


def test_names_of_markets_that_are_gone_are_forgotten(world):
    example(world)
    world.redis.hset('roundtable.control.market_updater.pending', mapping={
        '999:volume24H': 'an-older-run', '4:noSuchColumn': 'an-older-run', 'nonsense': 'an-older-run',
        '11:openInterest': 'an-older-run'})
    world.run()
    assert json.loads(world.messages()[0])['trading']['DOGE-USD'] == {'openInterest': '0'}
    assert world.pending() == set()


def trading(records):
    """What a consumer knows of each market after these messages."""
    known = {}
    for record in records:
        for ticker, changed in json.loads(contents(record.value))['trading'].items():
            known.setdefault(ticker, {}).update(changed)
    return known


@pytest.fixture
def campaign(world):
    example(world)
    return Campaign(world.deployment, 'market', 'market_updater', world.postgres, world.database, world.redis, world.kafka,
                    now_usec=NOW_USEC, topics={TOPIC: trading})


def test_killed_at_every_failpoint_the_next_run_makes_it_right(world, campaign):
    """Between commit and broker is one of these points: whatever was committed has been sent when the next run ends."""
    points = campaign.kill_everywhere()
    assert any('kafka' in p for p in points) and any('commit' in p for p in points), points
    # not more than each change, in the form of an undisturbed run
    assert {value for _, value in world.records()} == {EXAMPLE_VALUE}


def test_two_hosts_at_once_end_as_one(world, campaign):
    campaign.two_hosts()
    assert world.statistics(4) == EXAMPLE_AFTER


def test_redis_that_cannot_store_the_names_rolls_back(world):
    example(world)
    # a key of the wrong type refuses the write, as a server without memory would
    world.redis.set('roundtable.control.market_updater.pending', 'not a hash')
    world.run(expect=1)
    assert world.statistics(4) == OLD
    assert world.records() == []
