"""The order book tasks against a plain evaluation of random books, against writers at work, against their own death, and
with many markets. Seeds are fixed; ROUNDTABLE_TEST_BOOKS=N tries that many more."""
import itertools
import os
import random

import pytest

import orderbook_reference as reference
from campaign import Campaign
from orderbook_world import TASKS, keys, world  # noqa: F401 (a fixture)

BOOKS = 150
MISMATCH = 'orderbook-levels-cache#getOrderbookSideData'


def random_number(r, centre):
    """A price near the centre as a text, not always the shortest one."""
    value = centre + r.randrange(-12, 13)
    form = r.random()
    if form < 0.8:
        return str(value)
    return r.choice([f'{value}.0', f'{value}.5', f'{value}.25', f'0{value}', f'{value}e0', f'{value}.00000000000000000001',
                     f'{value * 10}e-1'])


def random_side(r, centre, now):
    """(sizes, times), most often with the same fields."""
    sizes, times = {}, {}
    for _ in range(r.choice([0, 1, 2, 5, 12, 40])):
        price = random_number(r, centre)
        sizes[price] = r.choice(['0', '0', '1', '-1', '12.5', '-0', '0.0', '1e3'] + [str(r.randrange(1, 1000)) for _ in range(20)])
        times[price] = str(now - r.choice([0, 1, 5, 2000, 2000, 2000, r.randrange(100), r.randrange(2000, 2200), r.randrange(2000, 2200)])) + \
            r.choice(['', '', '', '.5'])
    if r.random() < 0.15:
        for hash in (sizes, times):
            for price in list(hash):
                if r.random() < 0.1:
                    del hash[price]
    if r.random() < 0.3:  # the order of the reply
        times = dict(r.sample(list(times.items()), len(times)))
    return sizes, times


def store(world, ticker, side, sizes, times):
    pipeline = world.redis.pipeline()
    for key, contents in zip(keys(ticker, side), (sizes, times)):
        pipeline.delete(key)
        if contents:
            pipeline.hset(key, mapping=contents)
    pipeline.execute()


def gauges_of(world, ticker, prefix):
    found = {m[0][len(prefix) + 1:]: float(m[1]) for m in world.sent if m[0].startswith(prefix + '.') and
             m[3]['ticker'] == ticker}
    return {k: v for k, v in found.items()}


def expected_gauges(bids, asks):
    found = {}
    for levels, name in ((bids, 'bid'), (asks, 'ask')):
        if levels:
            found[f'best_{name}_human'] = float(levels[0][0])
            found[f'best_{name}_subticks'] = reference.subticks(levels[0][0], -9, -7)
            found[f'num_{name}_levels'] = len(levels)
    return found


def check_books(world, seed):
    r = random.Random(seed)
    now = world.server_time()
    tickers = [f'R{i}-USD' for i in range(BOOKS)]
    for ticker in tickers:
        for side in ('BUY', 'SELL'):
            store(world, ticker, side, *random_side(r, 1000 + r.randrange(0, 6), now))
    hold_against_the_reference(world, tickers, now, seed)


def hold_against_the_reference(world, tickers, now, seed):
    """All four tasks, where the threshold is 1000 s. now: the server's, when the times were made."""
    books = {t: world.whole(t) for t in tickers}

    world.do('orderbook_instrumentation')
    for ticker, book in books.items():
        bids, asks = reference.ordered(book)
        assert gauges_of(world, ticker, 'crossed_orderbook') == expected_gauges(bids, asks), (seed, ticker, book)
        assert gauges_of(world, ticker, 'uncrossed_orderbook') == expected_gauges(*reference.read_rule(bids, asks)), \
            (seed, ticker, book)

    world.redis.delete(*[f'v4/orderbook_mid_prices/{t}' for t in tickers])
    world.do('cache-orderbook-mid-prices')
    for ticker, book in books.items():
        price = reference.mid_price(book)
        assert list(world.prices(ticker)) == ([reference.member(price)] if price else []), (seed, ticker, book)

    # no level is so near to the threshold of 1000 s that the time which a run takes matters
    world.do('uncross_orderbook')
    sent = {(m[0], m[3]['ticker'], m[3].get('side')): 0 for m in world.sent}
    for name, value, _, tags in world.sent:
        sent[name, tags['ticker'], tags.get('side')] += int(value)
    for ticker, book in books.items():
        removed = dict(zip(('BUY', 'SELL'), reference.uncross_rule(*reference.ordered(book))))
        crossed = bool(removed['BUY'] or removed['SELL'])
        assert (('crossed_orderbook', ticker, None) in sent) == crossed, (seed, ticker, book)
        for side, levels in removed.items():
            stale = {p for p, _, t in levels if now - float(t) > 1000}
            sizes, times = (set(hash) - stale for hash in book[side])
            after = world.levels(ticker, side)
            assert (set(after[0]), set(after[1])) == (sizes, times), (seed, ticker, side, book)
            if crossed:
                assert sent['expected_uncross_orderbook_levels', ticker, side] == len(levels)
                assert sent.get(('uncross_orderbook_succeed', ticker, side), 0) == len(stale)
                assert sent.get(('uncross_orderbook_failed', ticker, side), 0) == len(levels) - len(stale)

    books = {t: world.whole(t) for t in tickers}
    record = world.do('delete_zero_price_levels')
    n = 0
    for ticker, book in books.items():
        for side in ('BUY', 'SELL'):
            zeros = {p for p, size, _ in reference.side(book, side, remove_zeros=False) if size == '0'}
            n += len(zeros)
            after = world.levels(ticker, side)
            assert [set(h) for h in after] == [set(h) - zeros for h in book[side]], (seed, ticker, side, book)
    assert record['deleted_levels'] == n


def test_random_books(world):
    world.deployment.settings('market', stale_orderbook_level_threshold='1000 s',
                              tasks={t: {'interval': '1 d'} for t in TASKS})
    for i in range(BOOKS):
        world.market(i, f'R{i}-USD')
    for seed in range(4 + int(os.environ.get('ROUNDTABLE_TEST_BOOKS', '0'))):
        check_books(world, seed)


# Fields of a book of which only the best levels are held. A part of it crosses that is larger than what is held.
LARGE = {'BUY': (10200, 100000), 'SELL': (10200, 98750)}  # levels, best price
COUNT = 1000  # fields that a page of a scan asks for


def calls(world, command):
    return world.redis.info('commandstats').get(f'cmdstat_{command}', {}).get('calls', 0)


def test_books_too_large_to_be_held(world):
    """More of both sides crosses than a window holds: the same results as of the whole book."""
    r = random.Random(3)
    now = world.server_time()
    world.deployment.settings('market', stale_orderbook_level_threshold='1000 s',
                              tasks={t: {'interval': '1 d'} for t in TASKS})
    tickers = ['LARGE-USD', 'SMALL-USD', 'ONE-SIDED', 'APART-USD']
    for i, ticker in enumerate(tickers):
        world.market(i, ticker)
    for side, (n, best) in LARGE.items():
        levels = [(str(best + (-k if side == 'BUY' else k) * 0.25).removesuffix('.0'), k) for k in range(n)]
        r.shuffle(levels)
        # the better the older, so that both sides lose; none is near the threshold
        ages = {p: max(4500 - k, 0) + r.randrange(500) for p, k in levels}
        prices = list(ages)
        sizes = {p: r.choice(['0', '-3', *(str(r.randrange(1, 1000)) for _ in range(8))]) for p in prices}
        times = {p: str(now - (age if not 900 < age < 1100 else 500)) for p, age in ages.items()}
        del sizes[prices[0]], times[prices[1]]
        store(world, 'LARGE-USD', side, sizes, times)
        store(world, 'SMALL-USD', side, {'5': '1'}, {'5': str(now - 2000)})
        # not crossed, and of one side alone
        apart = {p: t for p, t in times.items() if (float(p) < 98750 if side == 'BUY' else float(p) > 100000)}
        apart = dict(itertools.islice(apart.items(), 5100))
        store(world, 'APART-USD', side, {p: '1' for p in apart}, apart)
    store(world, 'ONE-SIDED', 'SELL', {p: '1' for p in apart}, {p: t for p, t in apart.items() if p != max(apart)})
    bids, asks = reference.uncross_rule(*reference.ordered(world.whole('LARGE-USD')))
    assert min(len(bids), len(asks)) > 2000, (len(bids), len(asks))  # more than one window
    whole = calls(world, 'hgetall')
    world.do('orderbook_instrumentation')
    assert calls(world, 'hgetall') == whole + 4  # the small book
    hold_against_the_reference(world, tickers, now, 'large')
    said = [rec for rec in world.said if rec.get('at') == MISMATCH]
    assert sorted((rec['ticker'], rec['side'], len(rec['quantumsKeysWithoutMatchingData']),
                   len(rec['lastUpdatedKeysWithoutMatchingData'])) for rec in said) == [
        ('LARGE-USD', 'BUY', 1, 1), ('LARGE-USD', 'SELL', 1, 1), ('ONE-SIDED', 'SELL', 1, 0)]


def test_of_sixty_thousand_levels_no_command_gets_more_than_a_page(world):
    world.market(1, 'HUGE-USD')
    for side, n in (('BUY', 40000), ('SELL', 20000)):
        prices = [str(100000 + (-k if side == 'BUY' else k + 1)) for k in range(n)]
        store(world, 'HUGE-USD', side, dict.fromkeys(prices, '1'), dict.fromkeys(prices, '5'))
    scans, whole = calls(world, 'hscan'), calls(world, 'hgetall')
    world.do('orderbook_instrumentation')
    for view in ('crossed_orderbook', 'uncrossed_orderbook'):
        found = gauges_of(world, 'HUGE-USD', view)
        assert (found['best_bid_human'], found['num_bid_levels']) == (100000, 40000)
        assert (found['best_ask_human'], found['num_ask_levels']) == (100001, 20000)
    assert calls(world, 'hgetall') == whole
    # HSCAN may give somewhat more than it is asked for
    assert calls(world, 'hscan') - scans > 60000 / (2 * COUNT)


def make_books(world, n=3):
    now = world.server_time()
    for i in range(n):
        world.market(i, f'X{i}-USD')
        # of these the next run would choose others if the first bid alone had gone: 10.5 beats 10.2, loses to 10.3
        world.book(f'X{i}-USD', {'10.5': ('4', str(now - 60)), '10.2': ('4', str(now - 90)), '9': ('0', str(now - 100))},
                   {'10.2': ('1', str(now - 80)), '10.3': ('1', str(now - 50)), '12': ('0', str(now - 5)),
                    '11': ('1', str(now - 1))})


@pytest.mark.parametrize('task', ['delete_zero_price_levels', 'uncross_orderbook', 'orderbook_instrumentation',
                                  'cache-orderbook-mid-prices'])
def test_killed_anywhere_and_on_two_hosts(world, postgres, task):
    make_books(world)
    campaign = Campaign(world.deployment, 'market', task, postgres, world.database, world.redis,
                        now_usec=1772712000000000)
    points = campaign.kill_everywhere()
    written = {'delete_zero_price_levels': 'delete_zero_levels', 'uncross_orderbook': 'delete_stale_levels',
               'cache-orderbook-mid-prices': 'add_mid_prices'}.get(task)
    if written:
        assert {p.split(':')[-1].split('#')[0] for p in points if f'redis.{written}' in p} == {'before', 'sent', 'after'}
        expected = campaign.expected().keys
        campaign.reset()
        assert campaign.state().keys != expected
    campaign.two_hosts()


@pytest.mark.parametrize('task', ['uncross_orderbook', 'delete_zero_price_levels'])
def test_killed_between_the_parts_of_a_large_book(world, postgres, task):
    """What goes of a scanned book goes in parts: the next run must make the choice that the killed one would have."""
    r = random.Random(4)
    now = world.server_time()
    world.market(1, 'LARGE-USD')
    for side in ('BUY', 'SELL'):
        prices = [str(10000 + (-k if side == 'BUY' else k - 4500)) for k in range(5100)]
        # the better the older, with many that are too young in between; none is near the threshold
        ages = {p: (6000 - k + r.randrange(900)) if r.random() < 0.7 else r.randrange(900) for k, p in enumerate(prices)}
        store(world, 'LARGE-USD', side, {p: '0' if r.random() < 0.02 else '4' for p in prices},
              {p: str(now - (age if not 900 < age < 1200 else 500)) for p, age in ages.items()})
    world.deployment.settings('market', stale_orderbook_level_threshold='1000 s', tasks={task: {'interval': '1 d'}})
    campaign = Campaign(world.deployment, 'market', task, postgres, world.database, world.redis, now_usec=1772712000000000)
    campaign.expected()
    points = [p for p in campaign.points if 'redis.delete_' in p]
    assert len(points) > 3, points  # more than one part
    for point in points if task == 'uncross_orderbook' else points[::9]:
        assert campaign.kill_at(point) == [], point


# The writer of the books, as section 5 describes its script.
INCREMENT = '''
local size = redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], redis.call('TIME')[1])
return size
'''


class Writer:
    """Increments in pipelines, each answered with the new size."""

    def __init__(self, world):
        self.world = world
        self.increment = world.redis.register_script(INCREMENT)
        world.redis.script_load(INCREMENT)

    def write(self, changes):
        """changes: (ticker, side, price, delta); returns the sizes."""
        pipeline = self.world.redis.pipeline(transaction=False)
        for ticker, side, price, delta in changes:
            pipeline.evalsha(self.increment.sha, 2, *keys(ticker, side), price, delta)
        return pipeline.execute()


def batches(items, n):
    items = iter(items)
    while batch := list(itertools.islice(items, n)):
        yield batch


def often(world, *tasks):
    """Runs of these tasks as often as can be, without being told."""
    world.deployment.settings('market', stale_orderbook_level_threshold='1000 s', tasks={
        t: {'enabled': t in tasks, 'interval': '10 ms', 'lock_multiplier': 3000} for t in TASKS})
    world.deployment.settings(None, log={'level': 'info'})
    return world.deployment.worker('market')


def runs_of(worker, task):
    return sum(1 for r in worker.records(taskName=task) if 'roundTrips' in r)


def test_levels_that_are_filled_while_zeros_are_deleted_are_never_lost(world):
    """100,000 changes, of which a third makes a level zero; most of those are filled again at once."""
    r = random.Random(1)
    tickers = [f'W{i}-USD' for i in range(4)]
    for i, ticker in enumerate(tickers):
        world.market(i, ticker)
    # one book is large, so that it is scanned
    now = world.server_time()
    for side in ('BUY', 'SELL'):
        store(world, tickers[0], side, *({str(1000 + i): value for i in range(5100)} for value in ('7', str(now))))
    world.redis.set('roundtable.control.epoch', '1')
    worker = often(world, 'delete_zero_price_levels')
    writer, sums, written = Writer(world), {}, 0

    def changes():
        for _ in range(75000):
            level = (r.choice(tickers), r.choice(('BUY', 'SELL')), str(r.randrange(200)))
            size = sums.get(level, 0)
            delta = -size if size and r.random() < 0.7 else r.randrange(1, 9)
            sums[level] = size + delta
            yield (*level, delta)
            if delta < 0 and r.random() < 0.9:
                sums[level] = again = r.randrange(1, 9)
                yield (*level, again)
    for batch in batches(changes(), 200):
        expected = {}
        got = writer.write(batch)
        written += len(got)
        for (ticker, side, price, delta), size in zip(batch, got):
            assert size >= 0, (ticker, side, price, delta, size)
            expected[ticker, side, price] = size
    assert written >= 100000 and runs_of(worker, 'delete_zero_price_levels') > 5
    deleted = sum(rec.get('deleted_levels', 0) for rec in worker.records(taskName='delete_zero_price_levels'))
    assert deleted > 100, deleted
    worker.stop()
    found = {(t, side): world.levels(t, side)[0] for t in tickers for side in ('BUY', 'SELL')}
    assert all(len([p for p in found[tickers[0], side] if int(p) >= 1000]) == 5100 for side in ('BUY', 'SELL'))
    for (ticker, side, price), size in sums.items():
        assert int(found[ticker, side].get(price, '0')) == size, (ticker, side, price)


def test_levels_that_are_touched_while_stale_ones_are_deleted_are_never_lost(world):
    """100,000 stale levels that cross their books are touched once each, in any order, while they are being deleted."""
    r = random.Random(2)
    levels_of = [6000] * 2 + [1000] * 38  # a side; the first are scanned
    stale = world.server_time() - 5000
    everything = []
    pipeline = world.redis.pipeline(transaction=False)
    for i, n_levels in enumerate(levels_of):
        ticker = f'W{i}-USD'
        world.market(i, ticker)
        for side in ('BUY', 'SELL'):
            prices = [str(1000 + k) for k in range(n_levels)]
            sizes, times = keys(ticker, side)
            pipeline.hset(sizes, mapping={p: '5' for p in prices})
            pipeline.hset(times, mapping={p: str(stale - r.randrange(1000)) for p in prices})
            everything += [(ticker, side, p, 3) for p in prices]
    pipeline.execute()
    r.shuffle(everything)
    world.redis.set('roundtable.control.epoch', '1')
    writer, last = Writer(world), {}
    worker = often(world, 'uncross_orderbook')
    for batch in batches(everything, 200):
        for (ticker, side, price, _), size in zip(batch, writer.write(batch)):
            last[ticker, side, price] = size
    worker.wait_for(lambda: runs_of(worker, 'uncross_orderbook') > 2, 'runs')
    worker.stop()
    # both kinds: touched in time, and touched after it had gone
    assert set(last.values()) == {8, 3}, set(last.values())
    assert len(everything) == 100000
    for i, n_levels in enumerate(levels_of):
        for side in ('BUY', 'SELL'):
            sizes, times = world.levels(f'W{i}-USD', side)
            assert sizes.keys() == times.keys()
            for price, size in sizes.items():
                assert int(size) == last[f'W{i}-USD', side, price], (i, side, price)
            assert len(sizes) == n_levels


def test_memory_does_not_grow_with_the_number_of_markets(world):
    """1,000 markets with 500 levels a side, of which a tenth is zero and some books are crossed, against 64 of them."""
    now = world.server_time()
    bids = {str(1000 - i): ('0' if i % 10 == 0 else str(i), str(now - i)) for i in range(500)}
    asks = {str(1001 + i): ('0' if i % 10 == 0 else str(i), str(now - i)) for i in range(500)}
    crossed = dict(asks, **{'999': ('7', str(now - 900)), '998': ('7', str(now - 901))})
    world.book('PLAIN', bids, asks)
    world.book('CROSSED', bids, crossed)
    tasks = ('orderbook_instrumentation', 'cache-orderbook-mid-prices', 'uncross_orderbook', 'delete_zero_price_levels')
    peaks = {}
    for n in (64, 1000):
        for i in range(world.sql('SELECT count(*) FROM perpetual_markets')[0][0], n):
            world.market(i, f'M{i}-USD')
        pipeline = world.redis.pipeline(transaction=False)
        for i in range(n):
            for side in ('BUY', 'SELL'):
                for source, target in zip(keys('CROSSED' if i % 7 == 0 else 'PLAIN', side), keys(f'M{i}-USD', side)):
                    pipeline.execute_command('COPY', source, target, 'REPLACE')
        pipeline.execute()
        for task in tasks:
            peaks.setdefault(task, []).append(world.deployment.peak_of(task))
    for task, (few, many) in peaks.items():
        # sixteen times the data; what grows is the listing
        assert many < 1.25 * few, peaks
    assert world.sql('SELECT 1') and len(world.levels('M999-USD', 'BUY')[0]) == 450
