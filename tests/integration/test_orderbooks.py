"""The four order book tasks on real Redis: the examples of the market specification and its boundaries."""
import json
import os
import time

import pytest

import servers
from campaign import topic_records
from orderbook_world import keys, world  # noqa: F401 (a fixture)

MISMATCH = 'orderbook-levels-cache#getOrderbookSideData'


def items(world):
    return [r['item'] for r in world.said if 'item' in r]


def early_in_a_second(world):
    """Ages are whole seconds of the server's clock: what follows has some 700 ms before the next one."""
    while world.redis.time()[1] > 300000:
        time.sleep(0.01)
    return world.server_time()


# delete_zero_price_levels


def test_zero_levels_go(world):
    """The example of section 10."""
    world.market(1, 'X-USD')
    world.side('X-USD', 'BUY', {'10.5': ('0', '1'), '10.4': ('300', '1'), '10.3': ('-5', '1'), '10.2': ('0', None)})
    world.side('X-USD', 'SELL', {'10.9': ('0', '1')})
    record = world.do('delete_zero_price_levels')
    assert world.levels('X-USD', 'BUY') == ({'10.4': '300', '10.3': '-5', '10.2': '0'}, {'10.4': '1', '10.3': '1'})
    assert not world.redis.exists(*keys('X-USD', 'SELL'))
    assert world.sent == [('delete_zero_price_levels.num_levels_deleted', '2', 'g', {})]
    (record,) = world.tell(MISMATCH)
    assert record['level'] == 'error' and record['message'] == 'Key mismatch detected amongst orderbook levels caches.'
    assert record['quantumsKeysWithoutMatchingData'] == ['10.2'] and record['lastUpdatedKeysWithoutMatchingData'] == []
    assert (record['ticker'], record['side']) == ('X-USD', 'BUY')
    assert (record['quantumsKeysWithoutMatchingDataCount'], record['lastUpdatedKeysWithoutMatchingDataCount']) == (1, 0)
    # again: nothing
    world.do('delete_zero_price_levels')
    assert world.sent == [('delete_zero_price_levels.num_levels_deleted', '0', 'g', {})]


def test_only_the_text_0_is_zero(world):
    world.market(1, 'X-USD')
    levels = {'1': ('0.0', '1'), '2': ('-0', '1'), '3': ('00', '1'), '4': ('0e5', '1'), '5': ('0', 'never')}
    world.side('X-USD', 'SELL', levels)
    world.do('delete_zero_price_levels')
    assert set(world.levels('X-USD', 'SELL')[0]) == {'1', '2', '3', '4'}


def test_no_markets_and_no_books(world):
    world.do('delete_zero_price_levels')
    assert world.sent == [('delete_zero_price_levels.num_levels_deleted', '0', 'g', {})]
    world.market(1, 'X-USD')
    for task in ('delete_zero_price_levels', 'uncross_orderbook', 'orderbook_instrumentation', 'cache-orderbook-mid-prices'):
        assert world.do(task)['itemsFailed'] == 0


def test_large_hashes_are_scanned(world):
    world.market(1, 'BIG-USD')
    world.market(2, 'X-USD')
    levels = {str(i): ('0' if i % 3 == 0 else '7', '5') for i in range(6000)}
    levels['orphan'] = ('0', None)
    levels['other orphan'] = (None, '5')
    world.side('BIG-USD', 'BUY', levels)
    world.side('X-USD', 'BUY', {'1': ('0', '5')})
    record = world.do('delete_zero_price_levels')
    sizes, times = world.levels('BIG-USD', 'BUY')
    assert set(sizes) == {str(i) for i in range(6000) if i % 3} | {'orphan'}
    assert set(times) == {str(i) for i in range(6000) if i % 3} | {'other orphan'}
    assert world.levels('X-USD', 'BUY') == ({}, {}) and record['deleted_levels'] == 2001
    assert [name for r in world.tell(MISMATCH) for name in r['quantumsKeysWithoutMatchingData']] == ['orphan']
    assert [name for r in world.tell(MISMATCH) for name in r['lastUpdatedKeysWithoutMatchingData']] == ['other orphan']
    # a bad value far inside: the market is named and left alone
    world.side('BIG-USD', 'BUY', dict(levels, **{'4711': ('x', '5')}))
    world.do('delete_zero_price_levels')
    assert items(world) == ['market BIG-USD'] and len(world.levels('BIG-USD', 'BUY')[0]) == 6001


def test_of_many_fields_without_a_partner_a_thousand_are_named_and_all_are_counted(world):
    """In a book read at once, and in one that is scanned; of long names the beginning."""
    long = {'x' * 60: 'x' * 60, 'y' * 61: 'y' * 60 + '…', 'z' * 59 + 'é' * 9: 'z' * 59 + '…'}
    for i, (ticker, n) in enumerate((('A-USD', 1100), ('BIG-USD', 5100)), 1):
        world.market(i, ticker)
        world.side(ticker, 'BUY', {str(k): ('1', None) for k in range(n)})
        world.side(ticker, 'SELL', dict({name: (None, '1') for name in long}, **{str(k): ('1', '1') for k in range(n)}))
    world.do('delete_zero_price_levels')
    buy_a, sell_a, buy_big, sell_big = world.tell(MISMATCH)
    for record, n in ((buy_a, 1100), (buy_big, 5100)):
        assert len(set(record['quantumsKeysWithoutMatchingData'])) == 1000
        assert record['quantumsKeysWithoutMatchingDataCount'] == n and record['lastUpdatedKeysWithoutMatchingDataCount'] == 0
    for record in (sell_a, sell_big):
        assert sorted(record['lastUpdatedKeysWithoutMatchingData']) == sorted(long.values())
        assert (record['quantumsKeysWithoutMatchingDataCount'], record['lastUpdatedKeysWithoutMatchingDataCount']) == (0, 3)


def test_a_zero_level_whose_price_has_a_nul_is_named_and_the_others_are_done(world):
    """It cannot be a price, and must not be taken for the one that its first bytes are: in a book read at once, and in
    one that is scanned."""
    bad = {b'7\x008': ('0', '5'), b'7': ('0', '5'), b'6': ('3', '5')}
    large = {**{str(i).encode(): ('0' if i == 100 else '4', '5') for i in range(100, 5200)}, **bad}
    for i, (ticker, levels) in enumerate({'A-USD': {'1': ('0', '5')}, 'BAD': bad, 'BAD LARGE': large, 'Z-USD': {'2': ('0', '5')}}.items()):
        world.market(i, ticker)
        world.side(ticker, 'SELL', levels)

    def contents():
        return [world.redis.hgetall(key) for ticker in ('BAD', 'BAD LARGE') for key in keys(ticker, 'SELL')]
    before = contents()
    record = world.do('delete_zero_price_levels')
    assert sorted(items(world)) == ['market BAD', 'market BAD LARGE']
    assert all('SELL' in r['message'] and '"7' in r['message'] for r in world.said if 'item' in r), world.said
    assert contents() == before
    assert world.levels('A-USD', 'SELL') == world.levels('Z-USD', 'SELL') == ({}, {}) and record['deleted_levels'] == 2


# uncross_orderbook

EXAMPLE_BIDS = {'100.5': ('40', 50), '100.4': ('10', 5), '99': ('12', 100)}  # price: (size, age)
EXAMPLE_ASKS = {'100.2': ('5', 10), '100.4': ('7', 80), '101': ('9', 100)}


def aged(levels, now):
    return {price: (size, str(now - age)) for price, (size, age) in levels.items()}


def test_uncrossing(world):
    """The example of section 11: all that it says and sends."""
    world.market(1, 'A,B:C-USD', clob=77)
    world.worker()
    while True:
        now = early_in_a_second(world)
        world.book('A,B:C-USD', aged(EXAMPLE_BIDS, now), aged(EXAMPLE_ASKS, now))
        record = world.do('uncross_orderbook')
        if world.server_time() == now:
            break
    assert set(world.levels('A,B:C-USD', 'BUY')[0]) == set(world.levels('A,B:C-USD', 'BUY')[1]) == {'100.4', '99'}
    assert set(world.levels('A,B:C-USD', 'SELL')[0]) == set(world.levels('A,B:C-USD', 'SELL')[1]) == {'100.2', '101'}
    ticker = {'ticker': 'A_B_C-USD'}
    buy, sell = (dict(ticker, side=side, clobPairId='77') for side in ('BUY', 'SELL'))
    assert world.sent == [
        ('crossed_orderbook', '1', 'c', ticker),
        ('expected_uncross_orderbook_levels', '1', 'c', buy), ('uncross_orderbook_succeed', '1', 'c', buy),
        ('expected_uncross_orderbook_levels', '2', 'c', sell), ('uncross_orderbook_failed', '1', 'c', sell),
        ('uncross_orderbook_succeed', '1', 'c', sell)]
    (said,) = world.tell('uncrossOrderbook#uncrossOrderbook')
    assert said['message'] == 'Uncrossing orderbook for A,B:C-USD' and said['level'] == 'info'
    assert said['removedBids'] == f'[{{"humanPrice":"100.5","quantums":"40","lastUpdated":"{now - 50}"}}]'
    assert [list(l.values()) for l in json.loads(said['removedAsks'])] == [['100.2', '5', str(now - 10)],
                                                                         ['100.4', '7', str(now - 80)]]
    (failed,) = world.tell('uncrossOrderbook#deleteStalePriceLevel')
    assert failed['message'] == 'Failed to delete stale ask level for A,B:C-USD'
    assert (failed['side'], failed['humanPrice'], failed['ticker']) == ('SELL', '100.2', 'A,B:C-USD')
    assert (record['crossed_markets'], record['deleted_levels'], record['kept_levels']) == (1, 2, 1)
    # still crossed by 100.4 and 100.2, whose turn comes when it is old enough
    world.redis.hincrby(keys('A,B:C-USD', 'SELL')[1], '100.2', -1)
    world.do('uncross_orderbook')
    assert set(world.levels('A,B:C-USD', 'SELL')[0]) == {'101'}
    world.do('uncross_orderbook')
    assert world.sent == [] and world.tell('uncrossOrderbook#uncrossOrderbook') == []


def test_uncross_boundaries(world):
    cases = {  # ticker: bids, asks, what remains of each; levels of {price: (size, age)}
        'EQUAL-PRICE': ({'5': ('1', 90)}, {'5': ('1', 50)}, set(), {'5'}),
        'EQUAL-TIME': ({'5': ('9', 50)}, {'4': ('1', 50)}, set(), {'4'}),  # the bid goes, whatever the sizes
        'ONE-SIDED': ({'5': ('1', 90)}, {}, {'5'}, set()),
        'NOT-CROSSED': ({'4': ('1', 90)}, {'5': ('1', 90)}, {'4'}, {'5'}),
        'ZERO': ({'5': ('0', 90), '3': ('1', 90)}, {'4': ('1', 50)}, {'5', '3'}, {'4'}),
        'NEGATIVE': ({'5': ('-3', 90), '3': ('1', 90)}, {'4': ('1', 50)}, {'5', '3'}, {'4'}),
        # prices of one double: decimals decide
        'CLOSE': ({'0.30000000000000001': ('1', 90)}, {'0.3': ('1', 50)}, set(), {'0.3'}),
        'CLOSER': ({'0.3': ('1', 90)}, {'0.30000000000000001': ('1', 50)}, {'0.3'}, {'0.30000000000000001'}),
        'NO-TIME': ({'5': ('1', None), '3': ('1', 90)}, {'4': ('1', 50)}, {'5', '3'}, {'4'}),
    }
    now = world.server_time()
    for i, (ticker, (bids, asks, _, _)) in enumerate(cases.items()):
        world.market(i, ticker)
        for side, levels in (('BUY', bids), ('SELL', asks)):
            world.side(ticker, side, {p: (s, None if age is None else str(now - age)) for p, (s, age) in levels.items()})
    world.do('uncross_orderbook')
    for ticker, (_, _, bids, asks) in cases.items():
        assert (set(world.levels(ticker, 'BUY')[0]), set(world.levels(ticker, 'SELL')[0])) == (bids, asks), ticker
    assert [m[3]['ticker'] for m in world.sent if m[0] == 'crossed_orderbook'] == ['EQUAL-PRICE', 'EQUAL-TIME', 'CLOSE']


def test_of_many_crossed_levels_a_hundred_are_named_and_all_are_counted(world):
    now = world.server_time()
    world.market(1, 'X-USD')
    # each bid is older than each ask; of 250 that go half are too young to be removed
    world.book('X-USD', {str(1000 + i): ('1', str(now - (2000 if i % 2 else 500))) for i in range(250)},
               {'900': ('1', str(now)), '5000': ('1', str(now))})
    world.deployment.settings('market', stale_orderbook_level_threshold='1000 s',
                              tasks={'uncross_orderbook': {'interval': '1 d'}})
    record = world.do('uncross_orderbook')
    (said,) = world.tell('uncrossOrderbook#uncrossOrderbook')
    assert [l['humanPrice'] for l in json.loads(said['removedBids'])] == [str(1249 - i) for i in range(100)]
    assert said['removedAsks'] == '[]' and (said['removedBidsCount'], said['removedAsksCount']) == (250, 0)
    assert [r['humanPrice'] for r in world.tell('uncrossOrderbook#deleteStalePriceLevel')] == [
        str(1248 - 2 * i) for i in range(100)]
    counted = {m[0]: m[1] for m in world.sent if m[3].get('side') == 'BUY'}
    assert counted == {'expected_uncross_orderbook_levels': '250', 'uncross_orderbook_failed': '125',
                       'uncross_orderbook_succeed': '125'}
    assert (record['deleted_levels'], record['kept_levels']) == (125, 125)


def test_a_deleted_level_is_gone_for_its_writer_too(world):
    """Its orders are removed later by negative increments: the writer then sees a level of less than nothing."""
    now = world.server_time()
    world.market(1, 'X-USD')
    world.book('X-USD', {'5': ('7', str(now - 90))}, {'4': ('1', str(now - 60))})
    world.do('uncross_orderbook')
    assert world.levels('X-USD', 'BUY') == ({}, {})
    assert world.redis.hincrby(keys('X-USD', 'BUY')[0], '5', -7) == -7


def test_subscribers_are_not_told_of_levels_that_are_removed(build, world):
    now = world.server_time()
    world.market(1, 'X-USD')
    world.book('X-USD', {'5': ('7', str(now - 90)), '3': ('0', '1')}, {'4': ('1', str(now - 60))})
    with servers.KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock'),
                           ['--topic', 'to-websockets-orderbooks:1', '--topic', 'to-websockets-markets:1']) as mock:
        world.deployment.settings(None, kafka={'brokers': mock.bootstrap})
        for task in ('uncross_orderbook', 'delete_zero_price_levels'):
            world.run(task=task)
        assert set(world.levels('X-USD', 'BUY')[0]) == set()
        assert topic_records(mock.bootstrap, 'to-websockets-orderbooks') == []
        assert topic_records(mock.bootstrap, 'to-websockets-markets') == []


def test_the_threshold_is_a_setting(world):
    world.market(1, 'X-USD')
    world.deployment.settings('market', stale_orderbook_level_threshold='1000 s',
                              tasks={'uncross_orderbook': {'interval': '1 d'}})
    now = world.server_time()
    world.book('X-USD', {'5': ('1', str(now - 500))}, {'4': ('1', str(now))})
    world.do('uncross_orderbook')
    assert '5' in world.levels('X-USD', 'BUY')[0]
    world.worker(environment={'STALE_ORDERBOOK_LEVEL_THRESHOLD_SECONDS': '499'})
    world.do('uncross_orderbook')
    assert world.levels('X-USD', 'BUY') == ({}, {})


# orderbook_instrumentation


def gauges(world, prefix):
    return {m[0][len(prefix) + 1:]: m[1] for m in world.sent if m[0].startswith(prefix + '.')}


def test_instrumentation(world):
    """The example of section 12."""
    world.market(1, 'X-USD')  # quantum conversion exponent -9, atomic resolution -7
    now = world.server_time()
    world.book('X-USD', aged(EXAMPLE_BIDS, now), aged(EXAMPLE_ASKS, now))
    world.do('orderbook_instrumentation')
    assert gauges(world, 'crossed_orderbook') == {
        'best_bid_human': '100.5', 'best_bid_subticks': '10050000000', 'num_bid_levels': '3',
        'best_ask_human': '100.2', 'best_ask_subticks': '10020000000', 'num_ask_levels': '3'}
    assert gauges(world, 'uncrossed_orderbook') == {
        'best_bid_human': '100.5', 'best_bid_subticks': '10050000000', 'num_bid_levels': '3',
        'best_ask_human': '101', 'best_ask_subticks': '10100000000', 'num_ask_levels': '1'}
    assert all(m[2:] == ('g', {'ticker': 'X-USD'}) for m in world.sent)
    said = world.tell('orderbook-instrumentation#statOrderbook')
    assert [r['message'] for r in said] == ['Track uncrossed_orderbook for X-USD', 'Track crossed_orderbook for X-USD']
    assert json.loads(said[0]['asks']) == [{'humanPrice': '101', 'quantums': '9', 'lastUpdated': str(now - 100)}]
    assert [l['humanPrice'] for l in json.loads(said[1]['bids'])] == ['100.5', '100.4', '99']


def test_instrumentation_of_empty_sides_and_long_books(world):
    world.market(1, 'EMPTY-USD')
    world.do('orderbook_instrumentation')
    assert world.sent == []
    assert [(r['bids'], r['asks']) for r in world.tell('orderbook-instrumentation#statOrderbook')] == [('[]', '[]')] * 2
    world.side('EMPTY-USD', 'SELL', {str(i): ('1', '1') for i in range(100, 125)})
    world.do('orderbook_instrumentation')
    assert gauges(world, 'uncrossed_orderbook') == gauges(world, 'crossed_orderbook') == {
        'best_ask_human': '100', 'best_ask_subticks': '10000000000', 'num_ask_levels': '25'}
    asks = json.loads(world.tell('orderbook-instrumentation#statOrderbook')[0]['asks'])
    assert [l['humanPrice'] for l in asks] == [str(i) for i in range(100, 110)]


# cache-orderbook-mid-prices

NOW = 1700000060


def test_mid_prices(world):
    """The example of section 13."""
    world.market(1, 'X-USD')
    world.market(2, 'Y-USD')
    world.worker(environment={'ROUNDTABLE_TEST_NOW_USEC': str(NOW * 1000000 + 999999)})
    world.book('X-USD', aged(EXAMPLE_BIDS, NOW), aged(EXAMPLE_ASKS, NOW))
    world.book('Y-USD', {'0.31': ('1', '1')}, {'0.33': ('1', '1')})
    world.redis.zadd('v4/orderbook_mid_prices/X-USD', {'100.25': 1700000000, '100.5': 1700000001})
    record = world.do('cache-orderbook-mid-prices')
    assert world.prices('X-USD') == {'100.5': 1700000001, '100.75': NOW}
    assert record['durationUsec'] > 0  # though the wall clock stands still
    assert world.prices('Y-USD') == {'0.32000000000000001': NOW}
    assert record['mid_prices'] == 2
    assert world.tell('cache-orderbook-mid-prices#runTask')[0]['markets'] == 'X-USD, Y-USD'
    assert [(r['cacheKey'], r['midPrice']) for r in world.tell('orderbook-mid-prices-cache#fetchAndCacheOrderbookMidPrices')
            ] == [('v4/orderbook_mid_prices/X-USD', '100.75'), ('v4/orderbook_mid_prices/Y-USD', '0.32')]
    assert [m[0] for m in world.sent] == ['loops.update_perpetual_markets']
    # the same price once more moves its score
    world.redis.delete('v4/orderbook_mid_prices/X-USD')
    world.redis.zadd('v4/orderbook_mid_prices/X-USD', {'100.25': 1700000000, '100.75': 1700000001})
    world.do('cache-orderbook-mid-prices')
    assert world.prices('X-USD') == {'100.75': NOW}


def test_of_prices_six_seconds_apart_ten_are_kept(world):
    """A reader takes ten of them, the oldest."""
    world.market(1, 'X-USD')
    world.worker(environment={'ROUNDTABLE_TEST_NOW_USEC': str(NOW * 1000000)})
    world.book('X-USD', {'4': ('1', '1')}, {'6': ('1', '1')})
    world.redis.zadd('v4/orderbook_mid_prices/X-USD', {str(10 + i): NOW - 6 * i for i in range(1, 15)})
    world.do('cache-orderbook-mid-prices')
    assert world.prices('X-USD') == {'5': NOW, **{str(10 + i): NOW - 6 * i for i in range(1, 10)}}


def test_keys_of_a_ticker_that_is_gone_stay(world):
    now = world.server_time()
    world.market(1, 'NEW-USD')
    for ticker in ('NEW-USD', 'OLD-USD'):
        world.book(ticker, {'5': ('1', str(now - 90)), '3': ('1', '1'), '2': ('0', '1')}, {'4': ('1', str(now - 60)), '9': ('1', '1')})
    world.redis.zadd('v4/orderbook_mid_prices/OLD-USD', {'7': 5})
    before = world.whole('OLD-USD')
    for task in ('delete_zero_price_levels', 'uncross_orderbook', 'orderbook_instrumentation', 'cache-orderbook-mid-prices'):
        world.do(task)
        assert world.said == [] or 'OLD-USD' not in json.dumps(world.said)
        assert 'OLD-USD' not in {m[3].get('ticker') for m in world.sent}
    assert set(world.levels('NEW-USD', 'BUY')[0]) == {'3'} and list(world.prices('NEW-USD')) == ['3.5']
    assert world.whole('OLD-USD') == before and world.prices('OLD-USD') == {'7': 5}


def test_no_mid_price_no_write(world):
    world.market(1, 'ONE-SIDED')
    world.market(2, 'SHOWN-EMPTY')
    world.book('ONE-SIDED', {'5': ('1', '1')}, {})
    world.book('SHOWN-EMPTY', {'5': ('1', '1')}, {'4': ('1', '1')})  # the reader's rule hides the bid
    world.redis.zadd('v4/orderbook_mid_prices/ONE-SIDED', {'7': 5})
    assert world.do('cache-orderbook-mid-prices')['mid_prices'] == 0
    assert world.prices('ONE-SIDED') == {'7': 5} and not world.redis.exists('v4/orderbook_mid_prices/SHOWN-EMPTY')


def test_no_markets_no_mid_prices(world):
    world.do('cache-orderbook-mid-prices')
    assert [r['message'] for r in world.tell('cache-orderbook-mid-prices#runTask') if r['level'] == 'error'] == [
        'perpetualMarketRefresher is empty']
    # a market that comes later is known to the next run
    world.market(1, 'NEW-USD')
    world.book('NEW-USD', {'4': ('1', '1')}, {'6': ('1', '1')})
    world.do('cache-orderbook-mid-prices')
    assert set(world.prices('NEW-USD')) == {'5'}


def test_prices_far_from_one(world):
    prices = {'TINY': ('0.00000000712', '0.00000000714', '7.13e-09'), 'WHOLE': ('61200', '61300', '61250'),
              'HUGE': ('1e21', '3e21', '2e+21'), 'LONG': ('0.1', '0.2', '0.15000000000000002')}
    for i, (ticker, (bid, ask, _)) in enumerate(prices.items()):
        world.market(i, ticker)
        world.book(ticker, {bid: ('1', '1')}, {ask: ('1', '1')})
    world.do('cache-orderbook-mid-prices')
    for ticker, (_, _, member) in prices.items():
        if ticker == 'LONG':
            member = f'{float("0.15"):.17g}'
        assert list(world.prices(ticker)) == [member], ticker


def test_a_mid_price_beyond_doubles_is_named_and_the_others_are_done(world):
    """One would be stored as "inf", which no reader parses; the other has more digits than a number may have."""
    for i, (ticker, ask) in enumerate({'A-USD': '6', 'INFINITE': '1e400', 'LONG': '1e5000', 'Z-USD': '8'}.items()):
        world.market(i, ticker)
        world.book(ticker, {'4': ('1', '1')}, {ask: ('1', '1')})
    assert world.do('cache-orderbook-mid-prices')['itemsFailed'] == 2
    assert items(world) == ['market INFINITE', 'market LONG']
    assert [list(world.prices(t)) for t in ('A-USD', 'INFINITE', 'LONG', 'Z-USD')] == [['5'], [], [], ['6']]


# what all of them must bear

def commands_until(monitor, end):
    """What clients asked of Redis, as lists of words."""
    said = []
    while not said or end not in said[-1][-1]:
        command = monitor.next_command()['command']
        said.append(command.split(' ', 1) if command != f'ECHO {end}' else ['ECHO', end])
    return said


GARBAGE = {  # what is wrong: how to make it so
    'size': lambda w, t: w.side(t, 'BUY', {'10': ('garbage', '1'), '9': ('0', '1')}),
    'empty size': lambda w, t: w.side(t, 'BUY', {'10': ('', '1')}),
    'plus': lambda w, t: w.side(t, 'BUY', {'10': ('+1', '1')}),
    'price': lambda w, t: w.side(t, 'SELL', {'abc': ('1', '1')}),
    'empty price': lambda w, t: w.side(t, 'SELL', {'': ('1', '1')}),
    'time': lambda w, t: w.side(t, 'SELL', {'10': ('1', 'yesterday')}),
    'binary': lambda w, t: w.side(t, 'SELL', {b'1\0\xff': (b'1', b'1')}),
    'string': lambda w, t: w.redis.set(keys(t, 'BUY')[0], 'not a hash'),
    'list': lambda w, t: (w.redis.delete(keys(t, 'SELL')[1]), w.redis.rpush(keys(t, 'SELL')[1], 'not a hash')),
    'million digits': lambda w, t: w.side(t, 'BUY', {'10': ('1' * 1000000, '1')}),
    'exponent': lambda w, t: w.side(t, 'BUY', {'10': ('1e999999999', '1')}),
}
# delete_zero_price_levels looks neither at prices nor at times
SIZES_ALONE = {'size', 'empty size', 'plus', 'string', 'list', 'million digits', 'exponent'}


def test_garbage_is_named_and_the_other_markets_are_done(world):
    now = world.server_time()
    good = {}
    for i, (name, spoil) in enumerate(GARBAGE.items()):
        ticker = f'BAD {name}'
        world.market(2 * i, ticker)
        world.book(ticker, {'10': ('1', '1')}, {'11': ('1', '1')})
        spoil(world, ticker)
        ticker = f'GOOD{i}-USD'
        world.market(2 * i + 1, ticker)
        world.book(ticker, {'12': ('1', str(now - 90)), '9': ('1', '1'), '8': ('0', '1')}, {'10': ('1', str(now - 80))})
        good[ticker] = i

    def dumps():
        return {name: [world.redis.dump(key) for side in ('BUY', 'SELL') for key in keys(f'BAD {name}', side)]
                for name in GARBAGE}
    before = dumps()
    record = world.do('delete_zero_price_levels')
    assert set(items(world)) == {f'market BAD {name}' for name in SIZES_ALONE}
    assert record['deleted_levels'] == len(good) and record['itemsFailed'] == len(SIZES_ALONE)
    for task in ('orderbook_instrumentation', 'cache-orderbook-mid-prices', 'uncross_orderbook'):
        record = world.do(task)
        assert items(world) == [f'market BAD {name}' for name in GARBAGE], task
        if task == 'orderbook_instrumentation':
            assert {m[3]['ticker'] for m in world.sent} == set(good)
        if task == 'cache-orderbook-mid-prices':
            assert all(list(world.prices(t)) == ['9.5'] for t in good)
    assert all(set(world.levels(t, 'BUY')[0]) == {'9'} for t in good)
    assert dumps() == before
    # the reason names side, price and value
    assert any('BUY' in r['message'] and '"10"' in r['message'] and '"garbage"' in r['message'] for r in world.said)


def test_of_thirty_bad_books_twenty_are_named_and_all_are_counted(world):
    for i in range(31):
        world.market(i, f'M{i}-USD')
        world.book(f'M{i}-USD', {'4': ('garbage' if i < 30 else '0', '1')}, {'6': ('1', '1')})
    record = world.do('delete_zero_price_levels')
    assert items(world) == [f'market M{i}-USD' for i in range(20)]
    assert (record['itemsFailed'], record['deleted_levels']) == (30, 1)


def test_a_mid_price_key_of_another_type_is_named(world):
    for i, ticker in enumerate(('A-USD', 'B-USD', 'C-USD')):
        world.market(i, ticker)
        world.book(ticker, {'4': ('1', '1')}, {'6': ('1', '1')})
    world.redis.set('v4/orderbook_mid_prices/B-USD', 'not a sorted set')
    assert world.do('cache-orderbook-mid-prices')['itemsFailed'] == 1
    assert items(world) == ['market B-USD'] and list(world.prices('A-USD')) == list(world.prices('C-USD')) == ['5']


def test_a_book_is_read_in_one_transaction_and_a_page_in_one_pass(world):
    trips = {}
    for n in (2, 60):
        for i in range(world.sql('SELECT count(*) FROM perpetual_markets')[0][0], n):
            world.market(i, f'M{i}-USD')
            world.book(f'M{i}-USD', {'4': ('1', '1'), '1': ('0', '1')}, {'6': ('1', '1')})
        world.worker()
        for task in ('delete_zero_price_levels', 'uncross_orderbook', 'orderbook_instrumentation', 'cache-orderbook-mid-prices'):
            world.side('M0-USD', 'BUY', {'4': ('1', '1'), '1': ('0', '1')})
            world.do(task)  # the first run of a worker loads its scripts
            world.side('M0-USD', 'BUY', {'4': ('1', '1'), '1': ('0', '1')})
            if n == 2:
                with world.redis.monitor() as monitor:
                    trips.setdefault(task, []).append(world.do(task)['roundTrips'])
                    world.redis.echo('the end')
                    said = commands_until(monitor, 'the end')
                first = said.index(['MULTI'])
                assert said[first:first + 12] == [words for i in range(2) for words in (
                    ['MULTI'], *(['HGETALL', key] for side in ('BUY', 'SELL') for key in keys(f'M{i}-USD', side)), ['EXEC'])]
            else:
                trips[task].append(world.do(task)['roundTrips'])
    assert all(few == many for few, many in trips.values()), trips


def test_forgotten_scripts_are_sent_again(world):
    now = world.server_time()
    world.market(1, 'X-USD')
    world.worker()
    for _ in range(2):
        world.book('X-USD', {'5': ('1', str(now - 90)), '3': ('0', '1'), '2': ('1', '1')}, {'4': ('1', str(now - 60)), '9': ('1', '1')})
        for task in ('delete_zero_price_levels', 'uncross_orderbook', 'cache-orderbook-mid-prices'):
            world.do(task)
        assert set(world.levels('X-USD', 'BUY')[0]) == {'2'}
        assert list(world.prices('X-USD')) == ['3']
        world.redis.delete('v4/orderbook_mid_prices/X-USD')
        world.redis.script_flush()


def test_a_dry_run_changes_nothing_and_says_what_it_would(world):
    now = world.server_time()
    world.market(1, 'X-USD')
    world.book('X-USD', {'5': ('1', str(now - 90)), '3': ('0', '1'), '2': ('1', '1')}, {'4': ('1', str(now - 60)), '9': ('1', '1')})
    before = world.whole('X-USD')
    for task in ('delete_zero_price_levels', 'uncross_orderbook', 'cache-orderbook-mid-prices'):
        done = world.run(task=task, arguments=['--dry-run'])
        assert 'would send to Redis: EVALSHA' in done.stdout and 'X-USD' in done.stdout, done.stdout
    assert world.whole('X-USD') == before and world.prices('X-USD') == {}


REFUSALS = {  # what the server answers to a write: how it comes to that, and how it ends; what the run's hint says
    'OOM': (lambda r: r.config_set('maxmemory', 1), lambda r: r.config_set('maxmemory', 0), 'maxmemory'),
    'READONLY': (lambda r: r.replicaof('127.0.0.1', 1), lambda r: r.replicaof('NO', 'ONE'), 'name the primary'),
    "user executing the script can't": (
        lambda r: r.execute_command('ACL', 'SETUSER', 'default', '-zadd'),
        lambda r: r.execute_command('ACL', 'SETUSER', 'default', '+@all'), 'give the user the permission'),
}


@pytest.mark.parametrize('answer', REFUSALS)
def test_a_redis_that_refuses_mid_prices_fails_the_run(world, answer):
    """That is no market's fault: none of them is named, and the run says what to do about it."""
    refuse, accept, hint = REFUSALS[answer]
    for i, ticker in enumerate(('A-USD', 'B-USD')):
        world.market(i, ticker)
        world.book(ticker, {'4': ('1', '1')}, {'6': ('1', '1')})
    refuse(world.redis)
    try:
        done = world.run(task='cache-orderbook-mid-prices', expect=1)
    finally:
        accept(world.redis)
    said = done.stdout + done.stderr
    assert answer in said and hint in said and 'market A-USD' not in said, said
    world.run(task='cache-orderbook-mid-prices')
    assert list(world.prices('A-USD')) == list(world.prices('B-USD')) == ['5']


def test_redis_that_is_away_fails_the_run(build, world):
    world.market(1, 'X-USD')
    world.deployment.settings(None, redis={'url': 'unix:///nowhere/redis.sock'})
    for task in ('delete_zero_price_levels', 'uncross_orderbook', 'orderbook_instrumentation', 'cache-orderbook-mid-prices'):
        done = world.run(task=task, expect=1)
        assert '/nowhere/redis.sock' in done.stdout + done.stderr and 'HINT' in done.stdout + done.stderr
