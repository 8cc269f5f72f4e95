"""update-pnl against real PostgreSQL and Redis (PnL specification, section 3)."""
import re

import pytest

from campaign import Campaign
from funding_world import ALICE, PNL_CHECKPOINT, FundingWorld, funding_example, funding_example_goes_on, time_of
from test_funding_payments import RandomData, refused, round_trips, said, waiting_run

TASK = 'update-pnl'
FUNDING = 'update-funding-payments'


@pytest.fixture(scope='module')
def kept_world(build, postgres, redis_server):
    w = FundingWorld(build, postgres, redis_server, 'update_pnl_test')
    yield w
    w.close()


@pytest.fixture
def world(kept_world):
    kept_world.clear()
    kept_world.settings()
    kept_world.metrics()
    return kept_world


def payment(world, height, account, value, size='0', oracle='0', market=0, at=None):
    world.insert('funding_payments', subaccountId=account, createdAt=at or time_of(height), createdAtHeight=height,
                 perpetualId=market, ticker=f'M{market}-USD', oraclePrice=oracle, size=size,
                 side='SHORT' if size.startswith('-') else 'LONG', rate='0', payment=value, fundingIndex='0')


EXAMPLE = [
    (100, ALICE, '-10.75', '1000', '989.25', '2024-03-01T01:00:00.000Z'),
    (200, ALICE, '-8.552', '1000', '991.448', '2024-03-01T02:00:00.000Z'),
    (500, ALICE, '52.368', '1000', '1052.368', '2024-03-01T05:00:00.000Z'),
]


def test_worked_example_byte_for_byte(world):
    funding_example(world)
    world.run(FUNDING)
    world.metrics()
    world.run(TASK)
    assert world.pnl() == EXAMPLE[:2]
    assert world.cache(PNL_CHECKPOINT) == '200'
    found = world.metrics()
    assert found['roundtable.update_pnl.num_funding_index_updates_to_process'] == 2
    assert found['roundtable.update_pnl.last_processed_height'] == 200
    world.run(TASK)
    assert world.pnl() == EXAMPLE[:2] and world.cache(PNL_CHECKPOINT) == '200'
    funding_example_goes_on(world)
    world.run(FUNDING)
    world.run(TASK)
    assert world.pnl() == EXAMPLE
    assert world.cache(PNL_CHECKPOINT) == '500'


@pytest.mark.parametrize('seed', range(20, 36))
def test_random_data_as_the_row_by_row_evaluation(world, seed):
    data = RandomData(seed)
    world.settings(transaction_rows=[1, 60, 50000][seed % 3])
    middle = data.heights[len(data.heights) // 2] - seed % 2
    if seed % 4 == 3:
        data.store(world)
    else:
        data.store(world, until=middle)
        world.run(FUNDING)
        world.run(TASK)
        data.store(world, after=middle)
    world.run(FUNDING)
    world.run(TASK)
    expected = data.pnl()
    assert world.pnl() == expected
    assert expected and len({row[1] for row in expected}) > 3


def test_boundaries(world):
    """Fills, transfers and payments at a window's start belong to the window before, at its end to it."""
    alice, bob = world.accounts('dydx1alice', 'dydx1bob')
    payment(world, 100, alice, '1')
    payment(world, 200, alice, '2')
    world.transfers((0, '1000', None, alice), (100, '10', None, alice), (101, '0.5', None, alice), (201, '7', None, alice),
                    (200, '3', alice, bob))
    world.fills((alice, 'SELL', '1', 0, 100, '0.25', '0'), (alice, 'SELL', '1', 0, 101, '16', '0'),
                (alice, 'SELL', '1', 0, 200, '32', '0'), (alice, 'SELL', '1', 0, 201, '64', '0'))
    world.run(TASK)
    assert [row[:5] for row in world.pnl()] == sorted([
        (100, alice, '1.25', '10', '11.25'),     # height 0 lies before the first window
        (200, alice, '51.25', '7.5', '58.75'),
        (200, bob, '0', '3', '3'),
    ])


def test_who_is_a_member(world):
    """A transfer makes one, also one to oneself or of another asset; fills and payments alone do not."""
    alice, bob, carol, dave = world.accounts('dydx1alice', 'dydx1bob', 'dydx1carol', 'dydx1dave')
    world.transfers((50, '5', alice, alice), (150, '2', bob, None, '1'))
    world.fills((carol, 'BUY', '1', 0, 50, '8', '0'), (carol, 'SELL', '1', 0, 250, '9', '0'))
    payment(world, 100, carol, '-1', size='2', oracle='10')
    payment(world, 200, carol, '-1', size='2', oracle='11')
    payment(world, 300, carol, '-1', size='2', oracle='12')
    world.transfers((250, '100', None, carol))
    world.run(TASK)
    assert [row[:5] for row in world.pnl()] == sorted([
        (100, alice, '0', '0', '0'), (200, alice, '0', '0', '0'), (300, alice, '0', '0', '0'),
        (200, bob, '0', '-2', '-2'), (300, bob, '0', '-2', '-2'),
        # what was before its first window is lost, but the value at its start is taken off: -1 + 24 - 22 + 9
        (300, carol, '10', '100', '110'),
    ])
    assert dave not in {row[1] for row in world.pnl()}


def test_payments_of_zero_make_a_height(world):
    (alice,) = world.accounts('dydx1alice')
    world.transfers((1, '5', None, alice))
    payment(world, 100, alice, '0.00')
    world.run(TASK)
    assert [row[:5] for row in world.pnl()] == [(100, alice, '0.00', '5', '5.00')]


def test_empty_tables(world):
    world.run(TASK)
    assert world.pnl() == [] and world.cache(PNL_CHECKPOINT) is None


def test_numbers_of_forty_digits_and_rebates(world):
    (alice,) = world.accounts('dydx1alice')
    digits, tiny = '9' * 40, '0.' + '0' * 39 + '1'
    world.transfers((1, digits, None, alice))
    payment(world, 100, alice, '-' + tiny, size='-' + digits, oracle=tiny)
    world.fills((alice, 'SELL', '1', 0, 1, digits, '-' + tiny), (alice, 'BUY', '1', 0, 2, tiny, ' 1e-3 '))
    world.run(TASK)
    # -tiny - digits * tiny + digits - tiny + tiny - 0.001
    total = 10 ** 80 - 10 ** 40 - (10 ** 40 - 1) - 1 - 10 ** 37
    whole, fraction = divmod(total, 10 ** 40)
    assert world.pnl()[0][2:4] == (f'{whole}.{fraction:040d}', digits)


@pytest.mark.parametrize('fee', ['abc', '', 'NaN', 'Infinity', '1e99999', '0x10', '1.2.3', '--1'])
def test_a_fee_that_is_no_number_is_named_and_counts_as_nothing(world, fee):
    """The original fails at this height for ever."""
    alice, bob = world.accounts('dydx1alice', 'dydx1bob')
    world.transfers((1, '5', None, alice), (1, '5', None, bob))
    payment(world, 100, alice, '1')
    payment(world, 200, alice, '1')
    world.fills((alice, 'SELL', '1', 0, 50, '10', fee), (alice, 'SELL', '1', 0, 60, '10', '0.5'),
                (bob, 'SELL', '1', 0, 50, '10', '0.5'))
    done = world.run(TASK)
    assert [row[:5] for row in world.pnl()] == sorted([
        (100, alice, '20.5', '5', '25.5'), (100, bob, '9.5', '5', '14.5'),
        (200, alice, '21.5', '5', '26.5'), (200, bob, '9.5', '5', '14.5')])
    assert f'account {alice}' in said(done) and '1 of its fills' in said(done) and bob not in said(done)


def test_a_lost_checkpoint_is_found_again(world):
    funding_example(world)
    world.run(FUNDING)
    world.run(TASK)
    world.sql('DELETE FROM persistent_cache WHERE key = %s', (PNL_CHECKPOINT,))
    funding_example_goes_on(world)
    world.run(FUNDING)
    world.run(TASK)
    assert world.pnl() == EXAMPLE and world.cache(PNL_CHECKPOINT) == '500'


def test_two_heights_of_one_instant(world):
    (alice,) = world.accounts('dydx1alice')
    world.transfers((1, '5', None, alice))
    for i, height in enumerate((100, 101, 102)):
        payment(world, height, alice, '1', market=i, at=time_of(100))
        world.run(TASK)
    one_by_one = world.sql('SELECT "createdAtHeight", "createdAt"::text, "totalPnl"::text FROM pnl ORDER BY 1')
    assert one_by_one == [(100, '2024-03-01 01:00:00+00', '1'), (101, '2024-03-01 01:00:00.000001+00', '2'),
                          (102, '2024-03-01 01:00:00.000002+00', '3')]
    world.sql('TRUNCATE pnl, persistent_cache')
    world.run(TASK)
    assert world.sql('SELECT "createdAtHeight", "createdAt"::text, "totalPnl"::text FROM pnl ORDER BY 1') == one_by_one


@pytest.mark.parametrize('rows', [1, 50000])
def test_a_foreign_row_in_the_way_moves_that_of_its_account_and_is_named(world, rows):
    """Without its row an account's history would begin anew, and with an error everybody's would end."""
    alice, bob = world.accounts('dydx1alice', 'dydx1bob')
    world.settings(transaction_rows=rows)
    world.transfers((1, '5', None, alice), (1, '5', None, bob))
    for height in (100, 200, 300, 301):
        payment(world, height, alice, '1', at=time_of(min(height, 300)), market=height - 300 if height > 300 else 0)
    for moment in ('02:00:00', '02:00:00.0005', '03:00:00', '03:00:00.000001'):
        world.insert('pnl', subaccountId=bob, createdAt=f'2024-03-01T{moment}Z', createdAtHeight=7, equity='0',
                     netTransfers='0', totalPnl='0')
    done = world.run(TASK)
    assert all(f'account {bob}' in said(done) and f'the time of height {h} ' in said(done) for h in (200, 300, 301))
    assert world.cache(PNL_CHECKPOINT) == '301' and f'account {alice}' not in said(done)
    found = world.sql('SELECT "createdAtHeight", "subaccountId"::text, "totalPnl"::text, equity::text, "createdAt"::time::text '
                      'FROM pnl WHERE "createdAtHeight" > 7 ORDER BY 1, 2')
    assert found == sorted([
        (100, alice, '1', '6', '01:00:00'), (100, bob, '0', '5', '01:00:00'),
        (200, alice, '2', '7', '02:00:00'), (200, bob, '0', '5', '02:00:00.000501'),
        (300, alice, '3', '8', '03:00:00'), (300, bob, '0', '5', '03:00:00.0005'),
        (301, alice, '4', '9', '03:00:00.000001'), (301, bob, '0', '5', '03:00:00.000501')])
    # they are there already when the checkpoint is lost
    world.sql('DELETE FROM persistent_cache')
    assert 'moved' not in said(world.run(TASK))
    assert world.sql('SELECT count(*) FROM pnl WHERE "createdAtHeight" > 7') == [(8,)]


def test_without_any_place_for_a_row_the_height_fails_and_the_account_is_named(world):
    alice, bob = world.accounts('dydx1alice', 'dydx1bob')
    world.transfers((1, '5', None, alice), (1, '5', None, bob))
    payment(world, 100, alice, '1')
    payment(world, 200, alice, '1')
    world.sql('INSERT INTO pnl SELECT %s, %s::timestamptz + i * interval \'1 microsecond\', 7, 0, 0, 0 '
              'FROM generate_series(0, 999) AS i', (bob, time_of(200)))
    done = world.run(TASK, expect=1)
    assert f'account {bob}' in said(done) and 'height 200' in said(done)
    assert world.cache(PNL_CHECKPOINT) == '100'
    world.sql('DELETE FROM pnl WHERE "createdAtHeight" = 7')
    world.run(TASK)
    assert [row[:2] for row in world.pnl()] == sorted([(h, a) for h in (100, 200) for a in (alice, bob)])


def test_a_height_that_cannot_be_done_is_named_and_those_before_it_are_done(world):
    (alice,) = world.accounts('dydx1alice')
    world.transfers((1, '5', None, alice))
    for height in range(100, 110):
        payment(world, height, alice, '1')
    with refused(world, 'pnl', '"createdAtHeight" <> 106'):
        done = world.run(TASK, expect=1)
    assert 'height 106' in said(done) and 'Error computing profit and loss' in said(done)
    assert [row[0] for row in world.pnl()] == list(range(100, 106)) and world.cache(PNL_CHECKPOINT) == '105'


def test_a_checkpoint_that_is_no_height_is_named(world):
    funding_example(world)
    world.set_cache(PNL_CHECKPOINT, '12.5')
    done = world.run(TASK, expect=1)
    assert PNL_CHECKPOINT in said(done) and '`12.5`' in said(done)


def test_the_zone_of_the_host_does_not_matter(world):
    funding_example(world)
    world.run(FUNDING)
    world.run(TASK, environment={'TZ': 'America/New_York', 'PGTZ': 'Asia/Kolkata', 'LC_ALL': 'de_DE.UTF-8'})
    assert world.pnl() == EXAMPLE[:2]


def test_nothing_is_read_from_a_replica(world):
    """A replica may lag: what is added up there would be too little."""
    kept = world.deployment.common['database']
    world.deployment.settings(None, database=dict(kept, replica_host='/nowhere', read_default_from_replica=True))
    try:
        funding_example(world)
        world.run(FUNDING)
        world.run(TASK)
        assert world.pnl() == EXAMPLE[:2]
    finally:
        world.deployment.settings(None, database=kept)


def test_round_trips_do_not_grow_with_rows(world):
    trips = []
    for n in (1, 60):
        world.clear()
        accounts = world.accounts(*(f'dydx1acc{i}' for i in range(n)))
        for account in accounts:
            payment(world, 100, account, '1')
        world.transfers(*[(1, '5', None, a) for a in accounts])
        world.fills(*[(a, 'BUY', '1', 0, 1, '3', '0.1') for a in accounts])
        trips.append(round_trips(world.run(TASK)))
        assert len(world.pnl()) == n
    assert trips[0] == trips[1]


def test_rows_of_a_transaction_are_a_setting(world):
    """The first transaction has one height; each next one twice as many, while they have few rows."""
    (alice,) = world.accounts('dydx1alice')
    world.transfers((1, '5', None, alice))
    for height in range(100, 114):
        payment(world, height, alice, '1')
    trips, rows = {}, {}
    for wanted in (1, 50000):
        world.sql('TRUNCATE pnl, persistent_cache')
        world.settings(transaction_rows=wanted)
        trips[wanted] = round_trips(world.run(TASK))
        rows[wanted] = world.pnl()
    assert rows[1] == rows[50000] and len(rows[1]) == 14
    # 14 transactions, of BEGIN, lock, heights, rows and COMMIT each, instead of 4: of 1, 2, 4 and 7 heights
    assert trips[1] - trips[50000] == (14 - 4) * 5, trips


def test_a_preview_changes_nothing(world):
    funding_example(world)
    world.run(FUNDING)
    done = world.run(TASK, arguments=('--dry-run', '--no-lock'))
    assert re.search(r'previewed in .*heights 1', said(done)) and '--pages N goes on' in said(done)
    assert world.pnl() == [] and world.cache(PNL_CHECKPOINT) is None


def test_the_lock_in_the_database_keeps_another_run_waiting_and_it_sees_what_was_done(world):
    funding_example(world)
    world.run(FUNDING)
    with waiting_run(world, TASK) as (cursor, run):
        cursor.execute('INSERT INTO persistent_cache VALUES (%s, %s)', (PNL_CHECKPOINT, '100'))
    assert [row[0] for row in world.pnl()] == [] and world.cache(PNL_CHECKPOINT) == '200'  # no transfer behind 100
    assert 'heights 1' in run.said


def test_killed_at_every_failpoint_and_on_two_hosts(world):
    funding_example(world)
    funding_example_goes_on(world)
    world.run(FUNDING)
    campaign = Campaign(world.deployment, 'pnl', TASK, world.postgres, world.database, world.redis)
    points = campaign.kill_everywhere()
    assert any('postgres.commit:sent' in p for p in points) and any('write_pnl' in p for p in points), points
    campaign.two_hosts()
