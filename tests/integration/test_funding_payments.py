"""update-funding-payments against real PostgreSQL and Redis (PnL specification, section 2)."""
import contextlib
import os
import random
import re
import subprocess

import pytest

import pnl_reference as reference
from campaign import Campaign
from funding_world import (ALICE, BOB, CAROL, FUNDING_CHECKPOINT, FundingWorld, funding_example, funding_example_goes_on,
                           time_of)
from pnl_world import usec
from servers import wait_until

TASK = 'update-funding-payments'


@pytest.fixture(scope='module')
def kept_world(build, postgres, redis_server):
    w = FundingWorld(build, postgres, redis_server, 'funding_test')
    yield w
    w.close()


@pytest.fixture
def world(kept_world):
    kept_world.clear()
    kept_world.settings()
    kept_world.metrics()
    return kept_world


def said(done):
    return done.stdout + done.stderr


def round_trips(done):
    return int(re.search(r'(\d+) round trips', done.stdout).group(1))


def example_payments():
    row = reference.Payment
    return sorted([
        row(100, ALICE, 0, 'BTC-USD', '101', '2', 'LONG', '0.0001', '-20', '10', '2024-03-01T01:00:00.000Z'),
        row(100, ALICE, 1, 'ETH-USD', '10.5', '-5', 'SHORT', '0.0002', '10', '2', '2024-03-01T01:00:00.000Z'),
        row(200, ALICE, 0, 'BTC-USD', '105', '2.5', 'LONG', '0.0003', '-6.25', '12.5', '2024-03-01T02:00:00.000Z'),
        row(200, ALICE, 1, 'ETH-USD', '10', '-5', 'SHORT', '-0.0001', '-2.5', '1.5', '2024-03-01T02:00:00.000Z'),
    ])


def test_worked_example_byte_for_byte(world):
    funding_example(world)
    done = world.run(TASK)
    assert world.payments() == example_payments()
    assert world.cache(FUNDING_CHECKPOINT) == '400'
    found = world.metrics()
    assert found['roundtable.update_funding_payments.num_funding_index_updates_to_process'] == 4
    assert found['roundtable.update_funding_payments.last_processed_height'] == 400
    # what fell into the hole at height 300, and fills without a market, are named
    assert 'market ETH-USD' in said(done) and 'height 300 its 1 positions' in said(done)
    assert 'clob pair 99' in said(done) and 'its 1 fills' in said(done)
    world.run(TASK)
    assert world.payments() == example_payments()
    assert world.metrics()['roundtable.update_funding_payments.num_funding_index_updates_to_process'] == 0
    funding_example_goes_on(world)
    world.run(TASK)
    assert world.payments()[-1] == (500, ALICE, 0, 'BTC-USD', '115', '1', 'LONG', '0.0001', '-0.5', '14',
                                    '2024-03-01T05:00:00.000Z')
    assert len(world.payments()) == 5 and world.cache(FUNDING_CHECKPOINT) == '500'


def test_carrying_forward_keeps_positions_and_index_over_a_hole(world):
    world.settings(carry_funding_forward=True)
    funding_example(world)
    funding_example_goes_on(world)
    done = world.run(TASK)
    later = [row[:10] for row in world.payments() if row[0] > 200]
    assert later == sorted([
        (400, ALICE, 1, 'ETH-USD', '9', '-5', 'SHORT', '0.0001', '1.25', '1.75'),    # 1.75 - 1.5 of height 200
        (400, BOB, 1, 'ETH-USD', '9', '1', 'LONG', '0.0001', '-0.25', '1.75'),       # bought before the hole
        (500, ALICE, 0, 'BTC-USD', '115', '1', 'LONG', '0.0001', '-0.5', '14'),
    ])
    assert 'ETH-USD' not in said(done)


def test_boundaries(world):
    alice, bob = world.accounts('dydx1alice', 'dydx1bob')
    world.listing(5, 50, 'A-USD')
    world.updates((100, 5, '0', '1', '1.5'), (200, 5, '0', '1', '1.5'), (300, 5, '0', '1', '1.50'))
    world.fills((alice, 'BUY', '1', 50, 100),    # at the end of a window: in
                (bob, 'BUY', '0.10', 50, 101),   # behind its start: in the next one
                (bob, 'SELL', '0.1', 50, 200),   # to nothing: no row
                (bob, 'BUY', '7', 50, 201))      # a closed position does not hand its scale on
    world.run(TASK)
    assert [(h, a, size, payment) for h, a, _, _, _, size, _, _, payment, _, _ in world.payments()] == sorted([
        (100, alice, '1', '-1.5'),
        (200, alice, '1', '0.0'),                # an index that did not move: a payment of 0, with its scale
        (300, alice, '1', '0.00'),
        (300, bob, '7', '0.00'),
    ])


def test_empty_tables(world):
    world.run(TASK)
    assert world.payments() == [] and world.cache(FUNDING_CHECKPOINT) is None
    # heights without positions move the checkpoint
    world.listing(0, 0, 'A-USD')
    world.updates((100, 0, '0', '1', '1'))
    world.run(TASK)
    assert world.payments() == [] and world.cache(FUNDING_CHECKPOINT) == '100'


def random_amount(r, signed=False, digits=9):
    whole = r.randrange(10 ** r.randint(0, digits))
    fraction = r.choice(['', '', f'.{r.randrange(1000)}', f'.{r.randrange(10 ** 6):06d}', '.50', '.0'])
    value = f'{whole}{fraction}'
    return '-' + value if signed and r.random() < 0.5 and reference.number(value) != 0 else value


class RandomData:
    """Fills, funding updates and transfers with holes, closed positions, unknown markets, zeros and long numbers."""

    def __init__(self, seed, heights=11, accounts=9):
        r = random.Random(seed)
        self.accounts = [f'dydx1acc{i}' for i in range(accounts)]
        pairs = [0, 7, 3, 12]
        r.shuffle(pairs)
        self.listings = [(m, pairs[m], f'M{m}-USD') for m in range(4)]
        self.heights = sorted(r.sample(range(50, 50 + 20 * heights), heights))
        digits = r.choice([3, 9, 40])
        self.updates, self.fills, self.transfers = [], [], []
        for market, *_ in self.listings:
            gaps = r.choice([0, 0.1, 0.4])
            for height in self.heights:
                if r.random() >= gaps:
                    self.updates.append(reference.Update(height, market, random_amount(r, True, 2), random_amount(r, digits=digits),
                                                         random_amount(r, True, digits), time_of(height)))
        held = {}
        for _ in range(150):
            account, height = r.choice(self.accounts), r.randint(1, self.heights[-1] + 30)
            pair = r.choice(pairs + [99])
            size, side = random_amount(r, digits=digits), r.choice(['BUY', 'SELL'])
            if (account, pair) in held and r.random() < 0.4:  # close it again
                before, height, size = held.pop((account, pair))
                side = 'SELL' if before == 'BUY' else 'BUY'
                height = min(height + r.randint(0, 40), self.heights[-1])
            else:
                held[account, pair] = (side, height, size)
            self.fills.append([account, side, size, pair, height, random_amount(r, digits=digits), random_amount(r, True, 4)])
        for _ in range(12):
            sender, to = r.choice(self.accounts), r.choice(self.accounts)
            sender, to = r.choice([(None, to), (sender, None), (sender, to), (to, to)])
            self.transfers.append([r.randint(1, self.heights[-1] + 30), random_amount(r, digits=digits), sender, to,
                                   r.choice(['0', '0', '1'])])

    def store(self, world, until=None, after=0):
        """Rows of heights in (after, until]."""
        def within(height):
            return after < height and (until is None or height <= until)
        if after == 0:
            ids = dict(zip(self.accounts, world.accounts(*self.accounts)))
            for f in self.fills:
                f[0] = ids[f[0]]
            for t in self.transfers:
                t[2], t[3] = ids.get(t[2]), ids.get(t[3])
            for listing in self.listings:
                world.listing(*listing)
        world.updates(*[(u.height, u.market, u.rate, u.oracle, u.index) for u in self.updates if within(u.height)])
        world.fills(*[f for f in self.fills if within(f[4])])
        world.transfers(*[t for t in self.transfers if within(t[0])])

    def payments(self, carry=False):
        return reference.funding_payments(self.listings, self.updates, [reference.Fill(*f) for f in self.fills], carry)

    def pnl(self):
        return reference.hourly_pnl(self.payments(), [reference.Fill(*f) for f in self.fills],
                                    [reference.Transfer(*t[:4]) for t in self.transfers])


@pytest.mark.parametrize('carry', [False, True])
@pytest.mark.parametrize('seed', range(12))
def test_random_data_as_the_row_by_row_evaluation(world, seed, carry):
    """In one transaction or many, in one run or two, the rows are those of one height after the other."""
    data = RandomData(seed)
    world.settings(carry_funding_forward=carry, transaction_rows=[1, 40, 50000][seed % 3])
    middle = data.heights[len(data.heights) // 2] - seed % 2
    if seed % 4 == 3:
        data.store(world)
    else:
        data.store(world, until=middle)
        world.run(TASK)
        data.store(world, after=middle)
    world.run(TASK)
    assert world.payments() == data.payments(carry)
    assert world.cache(FUNDING_CHECKPOINT) == str(data.heights[-1])


def test_numbers_of_forty_digits(world):
    (alice,) = world.accounts('dydx1alice')
    world.listing(0, 0, 'A-USD')
    huge, tiny = '1' * 40, '0.' + '0' * 39 + '7'
    world.updates((100, 0, tiny, huge, tiny), (200, 0, tiny, huge, huge + '.' + '3' * 40))
    world.fills((alice, 'BUY', huge, 0, 1), (alice, 'SELL', tiny, 0, 150))
    world.run(TASK)
    rows = reference.funding_payments([(0, 0, 'A-USD')], [
        reference.Update(100, 0, tiny, huge, tiny, time_of(100)),
        reference.Update(200, 0, tiny, huge, huge + '.' + '3' * 40, time_of(200))],
        [reference.Fill(alice, 'BUY', huge, 0, 1, '0', '0'), reference.Fill(alice, 'SELL', tiny, 0, 150, '0', '0')])
    assert world.payments() == rows
    assert rows[0].payment == '-0.' + '7' * 39 + '7'
    assert len(rows[1].payment) > 100


def test_of_several_updates_at_a_height_the_last_event_counts(world):
    (alice,) = world.accounts('dydx1alice')
    world.listing(0, 0, 'A-USD')
    world.updates((100, 0, '1', '1', '1'), (100, 0, '2', '2', '2'), (200, 0, '3', '3', '5'))
    world.fills((alice, 'BUY', '1', 0, 1))
    world.run(TASK)
    assert [(h, payment, index) for h, *_, payment, index, _ in world.payments()] == [(100, '-2', '2'), (200, '-3', '5')]


def test_a_lost_checkpoint_is_found_again(world):
    """The original fails with a key that is there already, for ever."""
    funding_example(world)
    world.run(TASK)
    world.sql('DELETE FROM persistent_cache')
    funding_example_goes_on(world)
    done = world.run(TASK)
    assert [row for row in world.payments() if row[0] < 500] == example_payments()
    assert len(world.payments()) == 5 and world.cache(FUNDING_CHECKPOINT) == '500'
    assert 'BTC-USD' not in said(done)


def test_transactions_are_bounded_also_where_rows_are_there(world):
    heights, rows = backlog(world, heights=40, accounts=2)
    world.settings(transaction_rows=12)
    first = world.run(TASK)
    assert round_trips(first) > 5 * heights / 3
    world.sql('DELETE FROM persistent_cache')
    again = world.run(TASK)
    assert round_trips(again) == round_trips(first) and 'rows 0' in said(again)
    assert world.sql('SELECT count(*) FROM funding_payments') == [(rows,)]


def test_two_heights_of_one_instant(world):
    (alice,) = world.accounts('dydx1alice')
    world.listing(0, 0, 'A-USD')
    world.fills((alice, 'BUY', '1', 0, 1))
    for height, at in ((100, 100), (101, 100), (102, 100), (103, 103)):
        world.updates((height, 0, '0', '1', str(height), time_of(at)))
        world.run(TASK)
    one_by_one = world.sql('SELECT "createdAtHeight", "createdAt"::text FROM funding_payments ORDER BY 1')
    assert one_by_one == [(100, '2024-03-01 01:00:00+00'), (101, '2024-03-01 01:00:00.000001+00'),
                          (102, '2024-03-01 01:00:00.000002+00'), (103, '2024-03-01 01:01:48+00')]
    world.sql('TRUNCATE funding_payments, persistent_cache')
    world.run(TASK)
    assert world.sql('SELECT "createdAtHeight", "createdAt"::text FROM funding_payments ORDER BY 1') == one_by_one


def test_two_markets_of_one_ticker_have_all_of_their_payments(world):
    """Its key lacks the market. A payment that is left out is a position that begins anew, so what is stored would depend
    on how heights fall into transactions."""
    found = []
    for rows in (1, 50000):
        world.clear()
        world.settings(transaction_rows=rows)
        alice, bob = world.accounts('dydx1alice', 'dydx1bob')
        for id, ticker in enumerate(('SAME-USD', 'SAME-USD', 'OTHER-USD', 'SAME-USD')):
            world.listing(id, id, ticker)
            # two heights of one instant among them
            world.updates(*[(h, id, '0', '1', str(h), time_of(min(h, 300))) for h in (100, 200, 300, 301, 302)])
        world.fills((alice, 'BUY', '2', 1, 1), (alice, 'BUY', '8', 3, 1), (bob, 'BUY', '3', 1, 1), (bob, 'BUY', '4', 2, 1),
                    (alice, 'BUY', '1', 0, 150))
        done = world.run(TASK)
        assert 'market SAME-USD at height 200' in said(done) and 'height 100' in said(done)
        found.append(world.sql('SELECT "createdAtHeight", "subaccountId"::text, "perpetualId", size::text, payment::text, '
                               '"createdAt"::time::text FROM funding_payments ORDER BY 1, 2, 3'))
        world.sql('DELETE FROM persistent_cache')
        world.run(TASK)
        assert world.sql('SELECT count(*) FROM funding_payments') == [(len(found[-1]),)]
    assert found[0] == found[1]
    assert [(h, market, size, at) for h, a, market, size, _, at in found[0] if a == alice] == [
        (100, 1, '2', '01:00:00'), (100, 3, '8', '01:00:00.0005'),
        (200, 0, '1', '02:00:00'), (200, 1, '2', '02:00:00.0005'), (200, 3, '8', '02:00:00.000501'),
        (300, 0, '1', '03:00:00'), (300, 1, '2', '03:00:00.0005'), (300, 3, '8', '03:00:00.000501'),
        (301, 0, '1', '03:00:00.000001'), (301, 1, '2', '03:00:00.000502'), (301, 3, '8', '03:00:00.000503'),
        (302, 0, '1', '03:00:00.000002'), (302, 1, '2', '03:00:00.000504'), (302, 3, '8', '03:00:00.000505')]
    assert {row[2]: row[4] for row in found[0] if row[0] == 302 and row[1] == alice} == {0: '-1', 1: '-2', 3: '-8'}


def test_a_renamed_market_and_its_old_positions(world):
    """Without fills a position keeps the ticker it has; with fills it takes the market's."""
    alice, bob = world.accounts('dydx1alice', 'dydx1bob')
    world.listing(0, 0, 'OLD-USD')
    world.updates((100, 0, '0', '1', '1'))
    world.fills((alice, 'BUY', '1', 0, 1), (bob, 'BUY', '1', 0, 1))
    world.run(TASK)
    world.sql("UPDATE perpetual_markets SET ticker = 'NEW-USD'")
    world.updates((200, 0, '0', '1', '1'), (300, 0, '0', '1', '1'))
    world.fills((bob, 'BUY', '1', 0, 250))
    world.run(TASK)
    assert [(h, a, ticker) for h, a, _, ticker, *_ in world.payments()] == sorted([
        (100, alice, 'OLD-USD'), (100, bob, 'OLD-USD'), (200, alice, 'OLD-USD'), (200, bob, 'OLD-USD'),
        (300, alice, 'OLD-USD'), (300, bob, 'NEW-USD')])


@pytest.mark.parametrize('value', ['abc', '', '-5', '1' * 30])
def test_a_checkpoint_that_is_no_height_is_named(world, value):
    funding_example(world)
    world.set_cache(FUNDING_CHECKPOINT, value)
    done = world.run(TASK, expect=1)
    assert FUNDING_CHECKPOINT in said(done) and f'`{value}`' in said(done) and 'HINT' in said(done)
    assert world.payments() == []


def test_a_height_that_cannot_be_done_is_named_and_those_before_it_are_done(world):
    (alice,) = world.accounts('dydx1alice')
    world.listing(0, 0, 'A-USD')
    world.fills((alice, 'BUY', '1', 0, 1))
    world.updates(*[(h, 0, '0', '1', str(h)) for h in range(100, 120)])
    with refused(world, 'funding_payments', '"createdAtHeight" <> 113'):
        done = world.run(TASK, expect=1)
        assert 'height 113' in said(done) and 'Error computing funding payments' in said(done)
        assert [row[0] for row in world.payments()] == list(range(100, 113))
        assert world.cache(FUNDING_CHECKPOINT) == '112'
    world.run(TASK)
    assert [row[0] for row in world.payments()] == list(range(100, 120))


@contextlib.contextmanager
def refused(world, table, check):
    world.sql(f'ALTER TABLE {table} ADD CONSTRAINT refused CHECK ({check})')
    try:
        yield
    finally:
        world.sql(f'ALTER TABLE {table} DROP CONSTRAINT refused')


def test_the_zone_of_the_host_does_not_matter(world):
    funding_example(world)
    world.run(TASK, environment={'TZ': 'America/New_York', 'PGTZ': 'Asia/Kolkata', 'LC_ALL': 'de_DE.UTF-8'})
    assert world.payments() == example_payments()


def test_nothing_is_read_from_a_replica(world):
    """A replica may lag: what is added up there would be too little."""
    kept = world.deployment.common['database']
    world.deployment.settings(None, database=dict(kept, replica_host='/nowhere', read_default_from_replica=True))
    try:
        funding_example(world)
        world.run(TASK)
        assert world.payments() == example_payments()
    finally:
        world.deployment.settings(None, database=kept)


def test_round_trips_do_not_grow_with_rows(world):
    trips = []
    for n in (1, 60):
        world.clear()
        accounts = world.accounts(*(f'dydx1acc{i}' for i in range(n)))
        for market in range(3):
            world.listing(market, market, f'M{market}-USD')
            world.updates((100, market, '0', '1', '1'))
            world.fills(*[(a, 'BUY', '1', market, 1) for a in accounts])
        trips.append(round_trips(world.run(TASK)))
        assert len(world.payments()) == 3 * n
    assert trips[0] == trips[1]


def test_a_preview_changes_nothing(world):
    funding_example(world)
    done = world.run(TASK, arguments=('--dry-run', '--no-lock', '--pages', '9'))
    assert 'heights 4' in said(done), said(done)
    assert world.payments() == [] and world.cache(FUNDING_CHECKPOINT) is None


@contextlib.contextmanager
def waiting_run(world, task, lock=None, first=None, now=None):
    """A run that waits for the task's lock in the database until the holder's transaction is committed at the end; yields
    (cursor of the holder, run). `first` is called with the cursor before the run begins."""
    with contextlib.closing(world.postgres.connect(world.database)) as other, other.cursor() as cursor:
        other.autocommit = False
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0)), set_config('timezone', 'UTC', true)",
                       (lock or f'roundtable/{task}',))
        if first:
            first(cursor)
        environment = dict(world.deployment.environment, **({'ROUNDTABLE_TEST_NOW_USEC': str(usec(now))} if now else {}))
        run = subprocess.Popen([world.deployment.program_path('roundtable-worker'), '--run', task, '--no-lock', '--conf',
                                world.deployment.conf], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)
        # without the lock it would wait for a row, and the test tell what comes of it
        wait_until(lambda: world.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                                     'AND datname = current_database()'), 'a run that waits for the lock')
        yield cursor, run
        other.commit()
    run.said, _ = run.communicate(timeout=60)
    assert run.returncode == 0, run.said


def test_the_lock_in_the_database_keeps_another_run_waiting_and_it_sees_what_was_done(world):
    """Also when the locks in Redis fail: no gap, no double, no error."""
    funding_example(world)
    with waiting_run(world, TASK) as (cursor, run):
        cursor.execute('INSERT INTO persistent_cache VALUES (%s, %s)', (FUNDING_CHECKPOINT, '300'))
    assert world.payments() == [] and world.cache(FUNDING_CHECKPOINT) == '400'
    assert 'heights 1' in run.said


def test_killed_at_every_failpoint_and_on_two_hosts(world):
    funding_example(world)
    funding_example_goes_on(world)
    campaign = Campaign(world.deployment, 'pnl', TASK, world.postgres, world.database, world.redis)
    points = campaign.kill_everywhere()
    assert any('postgres.commit:sent' in p for p in points) and any('write_funding_payments' in p for p in points), points
    campaign.two_hosts()


def test_carrying_forward_killed_around_commits_and_on_two_hosts(world):
    """What is carried on is looked for behind the checkpoint."""
    funding_example(world)
    funding_example_goes_on(world)
    campaign = Campaign(world.deployment, 'pnl', TASK, world.postgres, world.database, world.redis,
                        settings={'carry_funding_forward': True, 'transaction_rows': 1})
    points = campaign.kill_everywhere('commit:(before|sent)')
    assert any('commit:sent#3' in p for p in points), points
    # behind the hole at 300
    assert [(row[0], row[2]) for row in world.payments() if row[0] == 400 and row[1] == ALICE] == [(400, 1)]
    campaign.two_hosts()


# A backfill.

def backlog(world, heights=160, accounts=12):
    names = world.accounts(*(f'dydx1acc{i}' for i in range(accounts)))
    for market in range(3):
        world.listing(market, market, f'M{market}-USD')
        world.updates(*[(10 * h, market, '0.0001', '100', f'{h}.5') for h in range(1, heights + 1)])
        world.fills(*[(a, 'BUY', f'0.{i + 1}', market, 1) for i, a in enumerate(names)])
    world.transfers(*[(1, '1000', None, a) for a in names])
    return heights, 3 * accounts * heights


def test_backfill_is_killed_goes_on_and_tells_how_far_it_is(world):
    heights, rows = backlog(world)
    world.settings(slice='1 ms', transaction_rows=36, tasks={
        TASK: {'interval': '1 s'}, 'update-pnl': {'interval': '50 ms', 'lock_multiplier': 1000},
        **{f'aggregate_trading_rewards_{p}': {'enabled': False} for p in ('daily', 'weekly', 'monthly')}})
    world.deployment.settings(None, worker={'max_concurrent_running_tasks': 1})
    worker = world.deployment.worker('pnl', environment={'ROUNDTABLE_TEST_PROGRESS_USEC': '1000'})

    def task(name):
        (found,) = [t for t in worker.control('status')['worker']['tasks'] if t['name'] == name]
        return found

    def told():
        run = task(TASK)['run']
        return run if run and run['rate'] > 0 and 0 < run['done'] < run['total'] else None
    run = worker.wait_for(told, 'progress in status')
    assert run['total'] == heights and run['end_usec'] > run['started_usec']
    assert re.fullmatch(rf'\d+ of {heights} heights, \d+ to go, [0-9.]+/s, ends in .* at .* UTC', run['progress'])
    # between its slices others have had their turn
    worker.wait_for(lambda: task('update-pnl')['runs'] > 0, 'a run of update-pnl')
    assert task(TASK)['runs'] == 0, 'the backfill was over before update-pnl ran'
    worker.kill()
    records = [r for r in worker.records(taskName=TASK) if 'rateMilli' in r]
    assert records and records[-1]['total'] == heights and 'to go' in records[-1]['message'], worker.log()[-2000:]
    assert 'expectedEnd' in records[-1]
    # a whole number of heights is there, with its checkpoint
    done = int(world.cache(FUNDING_CHECKPOINT)) // 10
    assert 0 < done < heights
    assert [(h, n) for h, n in world.sql('SELECT "createdAtHeight", count(*) FROM funding_payments GROUP BY 1 ORDER BY 1')] == \
        [(10 * h, rows // heights) for h in range(1, done + 1)]
    worker = world.deployment.worker('pnl')
    worker.wait_for(lambda: task(TASK)['runs'] > 0 and task('update-pnl')['runs'] > 0 and
                    world.cache('pnlLastProcessedHeight') == str(10 * heights), 'the end of the backfill')
    finished = [r for r in worker.records(taskName=TASK) if r.get('result') == 'ok']
    assert finished[0]['heights'] == heights - done and finished[0]['slices'] > 1
    assert worker.stop() == 0
    assert world.sql('SELECT count(*), count(DISTINCT ("subaccountId", "perpetualId", "createdAtHeight")) '
                     'FROM funding_payments') == [(rows, rows)]
    assert world.sql('SELECT count(*), count(DISTINCT ("subaccountId", "createdAtHeight")) FROM pnl') == \
        [(12 * heights, 12 * heights)]


def test_status_tells_how_far_a_backfill_is(world):
    heights, _ = backlog(world, heights=400, accounts=12)
    world.settings(slice='1 ms', transaction_rows=1, tasks={'update-pnl': {'enabled': False}})
    supervisor = world.deployment.supervisor(['--family', 'pnl'])

    def told():
        done = world.deployment.run('roundtable', 'status', '--conf', world.deployment.conf)
        return re.search(rf'^ +update-funding-payments +running.*\n +(\d+) of {heights} heights, \d+ to go, [0-9.]+/s, '
                         r'ends in .* at [0-9:]+ UTC$', done.stdout, re.M)
    supervisor.wait_for(told, 'progress in `roundtable status`')
    assert supervisor.stop() == 0
    # what was done is kept, in whole heights
    done = int(world.cache(FUNDING_CHECKPOINT)) // 10
    assert world.sql('SELECT count(*) FROM funding_payments') == [(36 * done,)]


def test_backfill_in_the_foreground_shows_a_bar(world):
    heights, rows = backlog(world, heights=40, accounts=2)
    master, slave = os.openpty()
    try:
        run = subprocess.Popen([world.deployment.program_path('roundtable-worker'), '--run', TASK, '--no-lock', '--conf',
                                world.deployment.conf], env=world.deployment.environment, stderr=slave,
                               stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        out, _ = run.communicate(timeout=60)
        os.close(slave)
        slave = -1
        shown = b''
        with contextlib.suppress(OSError):
            while chunk := os.read(master, 65536):
                shown += chunk
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)
    assert run.returncode == 0, out
    assert re.search(rb'\[#+ +\] \d+ of 40 heights, \d+ to go, [0-9.]+/s, ends in ', shown), shown
    assert b'[####################] 40 of 40 heights, 0 to go' in shown
    assert f'heights {heights}, rows {rows}'.encode() in out


def test_a_market_that_is_gone_from_the_updates_is_told_once(world):
    alice, bob, carol = world.accounts('dydx1alice', 'dydx1bob', 'dydx1carol')
    assert carol == CAROL
    world.listing(0, 0, 'A-USD')
    world.listing(1, 1, 'B-USD')
    world.updates(*[(h, 0, '0', '1', '1') for h in (100, 200, 300, 400)], (100, 1, '0', '1', '1'))
    world.fills((alice, 'BUY', '1', 0, 1), (bob, 'BUY', '1', 1, 1), (carol, 'SELL', '1', 1, 1))
    done = world.run(TASK)
    assert said(done).count('market B-USD') == 1 and 'height 200 its 2 positions' in said(done)
    assert [(h, a) for h, a, *_ in world.payments()] == sorted(
        [(h, alice) for h in (100, 200, 300, 400)] + [(100, bob), (100, carol)])
