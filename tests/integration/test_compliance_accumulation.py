"""update_wallet_total_volume and update_affiliate_info: every fill once, whatever is killed, stopped or done twice."""
import re

import pytest

import servers
from compliance_world import only, round_trips, world  # noqa: F401

VOLUME, AFFILIATES = 'update_wallet_total_volume', 'update_affiliate_info'
KEYS = {VOLUME: 'totalVolumeUpdateTime', AFFILIATES: 'affiliateInfoUpdateTime'}
START, END = '2026-01-10T00:00:00.000+00:00', '2026-01-10T00:00:45.250+00:00'
NOW = '2026-01-10T00:00:50.500Z'


def at(seconds):
    return f'2026-01-10T00:00:{seconds}Z'


def set_cache(w, task, value):
    w.sql('INSERT INTO persistent_cache VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
          (KEYS[task], value))


def volume_example(w):
    """Section 6 of the compliance specification."""
    set_cache(w, VOLUME, START)
    w.block('2026-01-10T00:00:45.250Z')
    w.wallet('dydx1aaa', '100')
    w.wallet('dydx1ccc', '7')
    w.fill('dydx1aaa/0', at('00.000'), '3000', '9')
    w.fill('dydx1aaa/0', at('10'), '3100', '0.5')
    w.fill('dydx1aaa/128', at('45.250'), '0.12', '1000')
    w.fill('dydx1aaa/0', at('45.251'), '5', '5')
    w.fill('dydx1bbb/0', at('20'), '5', '5')


def volumes(w):
    return dict(w.sql('SELECT address, "totalVolume"::text FROM wallets'))


VOLUME_AFTER = {'dydx1aaa': '1770.00', 'dydx1ccc': '7'}
ROW = ('affiliateEarnings', 'referredMakerTrades', 'referredTakerTrades', 'totalReferredTakerFees',
       'totalReferredMakerFees', 'totalReferredMakerRebates', 'referredTotalVolume', 'totalReferredUsers',
       'firstReferralBlockHeight')


def affiliate_example(w):
    """Section 7 of the compliance specification."""
    set_cache(w, AFFILIATES, START)
    w.block('2026-01-10T00:00:45.250Z')
    for referee, affiliate, height in (('ref1', 'aff', 500), ('ref2', 'aff', 900), ('ref3', 'aff2', 950)):
        w.insert('affiliate_referred_users', refereeAddress=referee, affiliateAddress=affiliate, referredAtBlock=height)
    w.insert('affiliate_info', address='aff', **dict(zip(ROW, ('10', 1, 2, '40', '3', '-1', '2000', 1, 500))))
    t = at('10')
    w.fill('ref1/0', t, '100', '2', 'TAKER', 'LIMIT', '0.5', '0.05', 950)
    w.fill('ref1/128', t, '50', '4', 'MAKER', 'LIMIT', '-0.02', '0', 951)
    w.fill('ref1/0', t, '100', '1', 'TAKER', 'LIQUIDATED', '1.5', '0.1', 952)
    w.fill('ref2/0', t, '10', '10', 'MAKER', 'LIMIT', '0.03', '0', 900)
    w.fill('ref2/0', t, '10', '10', 'TAKER', 'LIMIT', '0.4', '0.04', 899)
    w.fill('ref1/0', t, '1', '1', 'MAKER', 'LIMIT', '0', '0', 953)


def affiliates(w):
    columns = ', '.join(f'"{c}"::text' for c in ROW)
    return {r[0]: r[1:] for r in w.sql(f'SELECT address, {columns} FROM affiliate_info')}


AFFILIATES_AFTER = {'aff': ('10.15', '4', '4', '40.5', '3.03', '-1.02', '2601', '2', '500'),
                    'aff2': ('0', '0', '0', '0', '0', '0', '0', '1', '950')}
EXAMPLES = {VOLUME: (volume_example, volumes, VOLUME_AFTER), AFFILIATES: (affiliate_example, affiliates, AFFILIATES_AFTER)}
both = pytest.mark.parametrize('task', [VOLUME, AFFILIATES])


def reset(w, task):
    w.sql('TRUNCATE persistent_cache, blocks, wallets, fills, subaccounts, affiliate_info, affiliate_referred_users CASCADE')
    w.redis.flushall()
    EXAMPLES[task][0](w)


@both
def test_worked_example(world, task):
    example, read, after = EXAMPLES[task]
    example(world)
    world.run(task, now=NOW)
    assert read(world) == after
    assert world.cache(KEYS[task]) == END
    metrics = world.statsd.read()
    assert metrics[f'persistent_cache_{KEYS[task]}_lag_seconds'] == [(50.5, 'g', {'cache': KEYS[task]})]
    if task == AFFILIATES:
        assert metrics['update-affiliate-info.update-txn.timing'][0][1] == 'ms'
        assert metrics['update-affiliate-info.total.timing'][0][1] == 'ms'


@both
def test_a_second_run_adds_nothing_and_writes_no_row(world, task):
    example, read, after = EXAMPLES[task]
    example(world)
    world.run(task, now=NOW)
    rows = world.sql('SELECT xmin::text FROM wallets UNION ALL SELECT xmin::text FROM affiliate_info')
    world.run(task, now=NOW)
    assert read(world) == after
    assert world.sql('SELECT xmin::text FROM wallets UNION ALL SELECT xmin::text FROM affiliate_info') == rows


@both
def test_bounds_of_a_window_to_the_microsecond(world, task):
    """start < createdAt <= end, the end being that of the block in whole milliseconds; the rest comes in the next run."""
    world.wallet('a')
    world.insert('affiliate_referred_users', refereeAddress='a', affiliateAddress='b', referredAtBlock=1)
    set_cache(world, task, START)
    world.block('2026-01-10T00:00:45.250999Z')
    for moment, size in (('00.000000', 1), ('00.000001', 10), ('45.250000', 100), ('45.250001', 1000),
                         ('45.250999', 10000), ('45.251000', 100000)):
        world.fill('a', at(moment), 1, size)

    def total():
        if task == VOLUME:
            return volumes(world)['a']
        return affiliates(world)['b'][6]
    world.run(task, now=NOW)
    assert (total(), world.cache(KEYS[task])) == ('110', END)
    world.block('2026-01-10T00:00:45.251000Z')
    world.run(task, now=NOW)
    assert (total(), world.cache(KEYS[task])) == ('111110', '2026-01-10T00:00:45.251+00:00')
    world.block('2026-01-10T00:00:46Z')
    world.run(task, now=NOW)
    assert (total(), world.cache(KEYS[task])) == ('111110', '2026-01-10T00:00:46.000+00:00')


@both
def test_other_forms_of_the_checkpoint_are_read(world, task):
    example, read, after = EXAMPLES[task]
    for value in ('2026-01-10T00:00:00Z', '2026-01-10T00:00:00', '2026-01-10', '2026-01-10T03:00:00.000+03:00',
                  '2026-01-09T19:30:00-04:30'):
        reset(world, task)
        set_cache(world, task, value)
        world.run(task, now=NOW)
        assert read(world) == after, value


@both
def test_a_checkpoint_that_is_no_time_is_named(world, task):
    example, read, after = EXAMPLES[task]
    for value in ('"2026-01-10T00:00:00.000Z"', 'now', 'infinity', '', '1768003200', '2026-13-10T00:00:00Z'):
        reset(world, task)
        before = read(world)
        set_cache(world, task, value)
        done = world.run(task, expect=1, now=NOW)
        assert KEYS[task] in done.stdout + done.stderr, value
        assert read(world) == before and world.cache(KEYS[task]) == value


@both
def test_no_block(world, task):
    set_cache(world, task, START)
    done = world.run(task, expect=1)
    assert 'table blocks is empty' in done.stdout + done.stderr
    assert world.cache(KEYS[task]) == START


@both
def test_a_latest_block_before_the_checkpoint_takes_nothing_back(world, task):
    example, read, after = EXAMPLES[task]
    example(world)
    world.run(task, now=NOW)
    world.block('2026-01-10T00:00:30Z')
    world.run(task, now=NOW)
    assert (read(world), world.cache(KEYS[task])) == (after, END)
    world.block('2026-01-10T00:00:45.250Z')
    world.run(task, now=NOW)
    assert read(world) == after


def test_backfill_goes_day_by_day(world):
    """Without a checkpoint from the default start on; every day is a transaction of its own."""
    world.wallet('a')
    for day in range(26, 32):
        world.fill('a', f'2023-10-{day}T12:00:00Z', '1', str(10 ** (day - 26)))
    world.fill('a', '2023-10-27T00:00:00Z', '3', '1')
    world.fill('a', '2023-10-26T00:00:00Z', '7', '1000000')  # the default start itself is not behind it
    world.block('2023-11-02T00:00:00Z')
    done = world.run(VOLUME)
    assert (volumes(world)['a'], world.cache(KEYS[VOLUME])) == ('111114', '2023-11-02T00:00:00.000+00:00')
    assert 'No previous totalVolumeUpdateTime found' in done.stdout + done.stderr
    # one gauge for each window, seven of them
    assert len(world.statsd.read()['persistent_cache_totalVolumeUpdateTime_lag_seconds']) == 7


def test_backfill_stops_after_a_day_in_a_dry_run_and_leaves_nothing(world):
    world.wallet('a')
    world.fill('a', '2023-10-26T12:00:00Z', '1', '5')
    world.block('2023-11-02T00:00:00Z')
    world.run(VOLUME, arguments=['--dry-run'])
    assert (volumes(world)['a'], world.cache(KEYS[VOLUME])) == ('0', None)


def test_backfill_gives_way_between_slices_and_shows_how_far_it_is(world):
    """A dry run's slice is one window: three of them in one run, each of which sees what the one before has done."""
    world.wallet('a')
    world.fill('a', '2023-10-26T12:00:00Z', '1', '5')
    world.block('2023-11-02T00:00:00Z')
    done = world.run(VOLUME, arguments=['--dry-run', '--pages', '3'], environment={'LOG_LEVEL': 'debug'})
    said = done.stdout + done.stderr
    for i in range(3):
        assert f'from 2023-10-{26 + i}T00:00:00.000+00:00 to 2023-10-{27 + i}T00:00:00.000+00:00' in said
    assert 'to 2023-10-30' not in said and 'windows 3' in said
    assert (volumes(world)['a'], world.cache(KEYS[VOLUME])) == ('0', None)


@both
def test_a_run_of_many_slices_ends_the_same_though_it_is_killed_between_two(world, task):
    """Windows of 7 s, each a slice of its own. The first worker dies when the third slice begins, the second goes on."""
    world.deployment.settings('compliance', **only(task, accumulation={'max_window': '7 s'}))
    example, read, after = EXAMPLES[task]
    example(world)
    world.dawdle('persistent_cache')
    world.long_run(task, {'ROUNDTABLE_FAILPOINT_KILL': f'{task}:postgres.begin:before#3'}, killed=True)
    assert world.cache(KEYS[task]) == '2026-01-10T00:00:14.000+00:00'
    world.forget_locks()
    record = world.long_run(task)
    assert record['result'] == 'ok' and record['slices'] == record['windows'] == 5, record
    assert (read(world), world.cache(KEYS[task])) == (after, END)


@both
def test_shorter_windows_end_the_same(world, task):
    world.deployment.settings('compliance', accumulation={'max_window': '7 s'})
    example, read, after = EXAMPLES[task]
    example(world)
    world.run(task, now=NOW)
    assert (read(world), world.cache(KEYS[task])) == (after, END)
    assert len(world.statsd.read()[f'persistent_cache_{KEYS[task]}_lag_seconds']) == 7


def test_default_start_of_affiliates(world):
    world.block('2024-09-18T06:00:00Z')
    world.insert('affiliate_referred_users', refereeAddress='a', affiliateAddress='b', referredAtBlock=1)
    world.fill('a', '2024-09-16T00:00:00Z', '1', '1')
    world.fill('a', '2024-09-16T00:00:00.000001Z', '1', '10')
    world.fill('a', '2024-09-18T06:00:00Z', '1', '100')
    world.run(AFFILIATES)
    assert affiliates(world)['b'][6] == '110'
    assert world.cache(KEYS[AFFILIATES]) == '2024-09-18T06:00:00.000+00:00'


def test_referrals_are_counted_without_fills_and_vanished_affiliates_stay(world):
    affiliate_example(world)
    world.run(AFFILIATES, now=NOW)
    world.insert('affiliate_referred_users', refereeAddress='ref4', affiliateAddress='aff', referredAtBlock=400)
    world.sql("DELETE FROM affiliate_referred_users WHERE \"affiliateAddress\" = 'aff2'")
    world.run(AFFILIATES, now=NOW)
    assert affiliates(world)['aff'] == AFFILIATES_AFTER['aff'][:7] + ('3', '400')
    assert affiliates(world)['aff2'] == AFFILIATES_AFTER['aff2']


NAMED = re.compile(r'fill ([-0-9a-f]{36}) has price [^\n]*; nothing is counted until it is mended')


@pytest.mark.parametrize('column, value', [('fee', 'abc'), ('fee', 'NaN'), ('fee', ''), ('price', 'NaN'),
                                           ('"affiliateRevShare"', 'NaN')])
def test_a_fill_that_cannot_be_added_is_named_and_nothing_is_lost(world, column, value):
    affiliate_example(world)
    # these are not added: of nobody who was referred, from before a referral, from before the window
    world.fill('nobody/0', at('05'), 'NaN', '1', fee='abc', share='NaN', height=950)
    world.sql('UPDATE fills SET fee = %s, price = %s, "createdAt" = %s WHERE "createdAtHeight" = 899', ('abc', 'NaN', at('06')))
    world.fill('ref1/0', at('00'), 'NaN', '1', fee='abc', height=950)
    before = affiliates(world)
    (id, old), = world.sql(f'SELECT id, {column} FROM fills WHERE "createdAtHeight" = 951')
    world.sql(f'UPDATE fills SET {column} = %s WHERE id = %s', (value, id))
    done = world.run(AFFILIATES, expect=1, now=NOW)
    assert set(NAMED.findall(done.stdout + done.stderr)) == {id}
    assert (affiliates(world), world.cache(KEYS[AFFILIATES])) == (before, START)
    world.sql(f'UPDATE fills SET {column} = %s WHERE id = %s', (old, id))
    world.run(AFFILIATES, now=NOW)
    assert affiliates(world) == AFFILIATES_AFTER


def test_volume_of_a_price_that_is_no_number(world):
    """Of an address without a wallet it is in nobody's way, nor is a fee, which is not read."""
    volume_example(world)
    world.fill('dydx1bbb/0', at('05'), 'NaN', '1')
    world.fill('dydx1aaa/0', at('06'), '0', '1', fee='abc')
    (id,), = world.sql('SELECT id FROM fills WHERE price = 3100')
    world.sql("UPDATE fills SET price = 'NaN' WHERE id = %s", (id,))
    done = world.run(VOLUME, expect=1, now=NOW)
    assert set(NAMED.findall(done.stdout + done.stderr)) == {id}
    assert (volumes(world), world.cache(KEYS[VOLUME])) == ({'dydx1aaa': '100', 'dydx1ccc': '7'}, START)
    world.sql('UPDATE fills SET price = 3100 WHERE id = %s', (id,))
    world.run(VOLUME, now=NOW)
    assert (volumes(world), world.cache(KEYS[VOLUME])) == (VOLUME_AFTER, END)


@both
def test_an_error_that_no_fill_has_caused_is_blamed_on_none(world, task):
    example, read, after = EXAMPLES[task]
    example(world)
    before = read(world)
    # one that could not be added, if it were what the run fails of
    world.fill('dydx1aaa/0', at('10'), '1', '1', fee='abc')
    world.sql('ALTER TABLE wallets ADD CONSTRAINT odd CHECK ("totalVolume" < 1000);'
              'ALTER TABLE affiliate_info ADD CONSTRAINT odd CHECK ("referredTotalVolume" < 2600)')
    done = world.run(task, expect=1, now=NOW)
    said = done.stdout + done.stderr
    assert 'violates check constraint' in said and not NAMED.search(said)
    assert (read(world), world.cache(KEYS[task])) == (before, START)


def test_money_is_exact(world):
    world.wallet('a', '0.1')
    set_cache(world, VOLUME, START)
    world.block(at('45'))
    world.fill('a', at('10'), '0.000000000000000000000000000001', '0.1')
    world.fill('a', at('11'), '123456789012345678901234567890', '10')
    world.run(VOLUME, now=NOW)
    assert volumes(world)['a'] == '1234567890123456789012345678900.1000000000000000000000000000001'


@both
def test_killed_at_every_failpoint_each_fill_is_counted_once(world, task):
    example, read, after = EXAMPLES[task]
    example(world)
    points = world.campaign(task, now=NOW).kill_everywhere()
    assert any('commit:sent' in p for p in points) and any('write_checkpoint' in p for p in points), points
    assert (read(world), world.cache(KEYS[task])) == (after, END)


@both
def test_two_hosts_with_locks_count_once(world, task):
    example, read, after = EXAMPLES[task]
    example(world)
    world.campaign(task, now=NOW).two_hosts()
    assert (read(world), world.cache(KEYS[task])) == (after, END)


@both
def test_hosts_that_run_at_once_count_once(world, task):
    """No lock in Redis at all: what the advisory lock is for. All wait for one another, so they do overlap."""
    example, read, after = EXAMPLES[task]
    example(world)
    holder = world.postgres.connect(world.database)
    holder.autocommit = False
    cursor = holder.cursor()
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('roundtable/compliance/' || %s, 0))", (KEYS[task],))
    runs = [world.start(task, now=NOW) for _ in range(4)]
    servers.wait_until(lambda: world.waiting() == 4, 'four waiting runs')
    holder.rollback()
    holder.close()
    for run in runs:
        out = run.communicate(timeout=60)[0]
        assert run.returncode == 0, out
    assert (read(world), world.cache(KEYS[task])) == (after, END)


def test_a_checkpoint_that_an_original_moves_meanwhile_is_seen(world):
    """The original knows no advisory lock: it has read the same start and commits while we wait for its row."""
    volume_example(world)
    original = world.postgres.connect(world.database)
    original.autocommit = False
    cursor = original.cursor()
    cursor.execute('UPDATE wallets SET "totalVolume" = 1770.00 WHERE address = %s', ('dydx1aaa',))
    cursor.execute('UPDATE persistent_cache SET value = %s', (END,))
    run = world.start(VOLUME, now=NOW)
    servers.wait_until(lambda: world.waiting() > 0, 'a waiting run')
    original.commit()
    original.close()
    out = run.communicate(timeout=60)[0]
    assert run.returncode == 0, out
    assert (volumes(world), world.cache(KEYS[VOLUME])) == (VOLUME_AFTER, END)


def test_a_first_checkpoint_that_an_original_writes_meanwhile_rolls_us_back(world):
    """Without a checkpoint there is no row to lock: both have begun at the default start, and the original commits first."""
    world.wallet('a')
    world.fill('a', '2023-10-26T12:00:00Z', '1', '5')
    world.block('2023-10-27T00:00:00Z')
    original = world.postgres.connect(world.database)
    original.autocommit = False
    cursor = original.cursor()
    cursor.execute('UPDATE wallets SET "totalVolume" = 5')
    cursor.execute('INSERT INTO persistent_cache VALUES (%s, %s)', (KEYS[VOLUME], '2023-10-27T00:00:00.000+00:00'))
    run = world.start(VOLUME, now=NOW)
    servers.wait_until(lambda: world.waiting() > 0, 'a waiting run')
    original.commit()
    original.close()
    out = run.communicate(timeout=60)[0]
    assert run.returncode == 1 and 'was moved by another service meanwhile' in out, out
    assert volumes(world) == {'a': '5'}
    world.run(VOLUME, now=NOW)
    assert (volumes(world), world.cache(KEYS[VOLUME])) == ({'a': '5'}, '2023-10-27T00:00:00.000+00:00')


@both
def test_one_connection_is_enough(world, task):
    example, read, after = EXAMPLES[task]
    example(world)
    world.run(task, now=NOW, environment={'PG_POOL_MAX': '1', 'PG_ACQUIRE_CONNECTION_TIMEOUT_MS': '1000'})
    assert read(world) == after


@both
def test_what_a_run_does_is_said_at_debug(world, task):
    example, _, _ = EXAMPLES[task]
    line = 'from 2026-01-10T00:00:00.000+00:00 to 2026-01-10T00:00:45.250+00:00'
    for level in ('info', 'debug'):
        reset(world, task)
        done = world.run(task, now=NOW, environment={'LOG_LEVEL': level})
        assert (line in done.stdout + done.stderr) == (level == 'debug')


@both
def test_round_trips_do_not_grow_with_fills(world, task):
    found = []
    for fills in (1, 200):
        reset(world, task)
        world.sql("INSERT INTO affiliate_referred_users SELECT 'r' || i, 'a' || i, 1 FROM generate_series(1, %s) AS i", (fills,))
        world.sql("INSERT INTO wallets SELECT 'r' || i, 0, 0 FROM generate_series(1, %s) AS i", (fills,))
        for i in range(fills):
            world.fill(f'r{i + 1}', at('10'), 1, 1)
        found.append(round_trips(world.run(task, now=NOW)))
    assert found[0] == found[1]


def test_a_fill_that_arrives_late_is_not_counted(world):
    volume_example(world)
    world.run(VOLUME, now=NOW)
    world.fill('dydx1ccc/0', at('30'), '1', '1')
    world.block(at('50'))
    world.run(VOLUME, now=NOW)
    assert volumes(world) == {'dydx1aaa': '1795.00', 'dydx1ccc': '7'}


def test_fills_of_all_kinds_count_for_the_volume(world):
    set_cache(world, VOLUME, START)
    world.block(at('45'))
    world.wallet('a')
    for i, kind in enumerate(('LIMIT', 'LIQUIDATED', 'LIQUIDATION', 'DELEVERAGED', 'OFFSETTING', 'TWAP_SUBORDER')):
        world.fill('a', at('10'), '1', str(10 ** i), liquidity='MAKER' if i % 2 else 'TAKER', type=kind)
    world.run(VOLUME, now=NOW)
    assert volumes(world)['a'] == '111111'
