"""create_pnl_ticks against real PostgreSQL and Redis (PnL specification, section 1)."""
import datetime
import json
import random
import re
import signal
import subprocess

import pytest

import servers
from campaign import Campaign
from tick_reference import ticks_due
from pnl_world import LATEST, World, iso, lagging_replica, subaccount_id, tick_id, usec

TASK = 'create_pnl_ticks'
ALICE, BOB, CAROL = (subaccount_id(f'dydx1{name}') for name in ('alice', 'bob', 'carol'))
NOW = '2024-03-01T12:00:31.007Z'
NOON = '2024-03-01T12:00:05.250Z'


@pytest.fixture
def world(build, postgres, redis, redis_server):
    w = World(build, postgres, redis_server)
    yield w
    w.close()


def example(w):
    """Section 1.9, without a tick of alice."""
    w.block(20000, NOON)
    w.market(0, 10)
    w.market(1, 11)
    w.subaccount('dydx1alice', updated=16500)
    w.subaccount('dydx1bob', updated=1000)
    for perpetual, height, index in ((0, 900, '0.5'), (0, 16000, '1.25'), (0, 19000, '1.5'), (1, 16000, '-0.2')):
        w.funding(perpetual, height, index)
    w.position(ALICE, 0, '2')
    w.position(ALICE, 1, '-10')
    w.position(BOB, 1, '3')
    w.price(10, 19990, '60000.5')
    w.price(11, 15000, '3000.25')
    w.price(11, 20001, '9999')
    w.usdc(ALICE, '1000.5')
    w.usdc(BOB, '250.1', long=False)
    w.transfer(800, '50000', to=ALICE)
    w.transfer(900, '9000', to=BOB)
    w.transfer(17000, '100.25', sender=ALICE, to=BOB)
    w.transfer(17500, '7', to=ALICE, asset='1')


ALICE_BEFORE = (ALICE, 16900, '2024-03-01T11:00:00.100Z')
EXPECTED = [
    (BOB, '8751.250000', '-349.000000', '9100.250000', 20000, NOON),
    (ALICE, '90998.500000', '41098.750000', '-100.250000', 20000, NOON),
]


def noon(w):
    return w.ticks('"blockHeight" = 20000')


@pytest.mark.parametrize('known_by', ['redis', 'table', 'both'])
def test_worked_example(world, known_by):
    example(world)
    if known_by != 'table':
        world.cached(*ALICE_BEFORE)
    if known_by != 'redis':
        world.tick(*ALICE_BEFORE)
    done = world.run(TASK, NOW)
    assert noon(world) == sorted(EXPECTED)
    # counts, and nothing of each account
    assert 'accounts 2, ticks 2,' in done.stdout and ALICE not in done.stdout + done.stderr
    assert set(world.sql('SELECT id::text, "createdAt" FROM pnl_ticks WHERE "blockHeight" = 20000')) == {
        (tick_id(s, NOW), datetime.datetime(2024, 3, 1, 12, 0, 31, 7000, datetime.timezone.utc)) for s in (ALICE, BOB)}
    # byte for byte what the original reads
    assert world.redis.hget(LATEST, ALICE).decode() == (
        '{"totalPnl":"41098.750000","netTransfers":"-100.250000","subaccountId":"' + ALICE + '","createdAt":"' + NOW +
        '","equity":"90998.500000","blockHeight":"20000","blockTime":"' + NOON + '"}')
    assert set(world.hash()) == {ALICE, BOB} and world.redis.ttl(LATEST) == -1
    assert world.pending(TASK) == set()
    metrics = world.metrics()
    assert metrics['roundtable_get_ticks_accounts_to_update'] == metrics['roundtable_pnl_tick_create_count'] == 2
    assert {f'roundtable_{n}' for n in ('get_ticks_relevant_accounts', 'get_ticks_funding_indices', 'get_ticks_account_info',
                                        'get_ticks_compute_pnl', 'get_ticks_timing', 'generate_ticks_timing')} <= set(metrics)
    # steps that are none of their own here
    assert [metrics[f'roundtable{n}'] for n in ('_get_ticks_funding_indices', '_get_ticks_account_info',
                                                '.loops.update_perpetual_markets')] == [0, 0, 0]


def test_the_known_id(world):
    """The check values of section 0.5."""
    assert ALICE == 'd6ec04ea-055e-5fd0-b4ac-cf90e4f36d30'
    example(world)
    world.run(TASK, NOW)
    assert ('d8984177-b748-5feb-b0e8-66f3a69aef7d',) in world.sql('SELECT id::text FROM pnl_ticks')


def test_the_gate(world):
    example(world)
    world.tick(*ALICE_BEFORE)
    world.run(TASK, NOW)
    after = world.ticks()
    world.block(21000, '2024-03-01T12:59:59.999Z')
    world.run(TASK, '2024-03-01T13:00:10Z')
    assert world.ticks() == after
    world.block(21001, '2024-03-01T13:00:00.000Z')
    world.run(TASK, '2024-03-01T13:00:40Z')
    assert len(world.ticks('"blockHeight" = 21001')) == 2
    # nothing moved since
    assert {t[3] for t in world.ticks('"blockHeight" = 21001')} == {'0.000000'}


def test_with_as_many_ticks_as_the_limit_it_runs_again_and_finds_nothing(world):
    example(world)
    world.tick(*ALICE_BEFORE)
    world.settings(tick_accounts_per_run=2)
    world.run(TASK, NOW)
    after = world.ticks()
    world.metrics()
    world.run(TASK, '2024-03-01T12:01:01Z')
    assert world.ticks() == after
    assert world.metrics()['roundtable_pnl_tick_create_count'] == 0


def test_accounts_without_usdc_or_price_are_named_and_the_rest_is_done(world):
    example(world)
    world.subaccount('dydx1carol')
    world.transfer(100, '5', to=CAROL, asset='1')
    dave, erin, frank = (world.subaccount(f'dydx1{n}') for n in ('dave', 'erin', 'frank'))
    world.market(2, 12)
    for who, perpetual in ((dave, 2), (erin, 77)):  # no price; no such market
        world.transfer(100, '5', to=who)
        world.position(who, perpetual, '1')
    world.transfer(100, '5', to=frank)
    world.usdc(frank, 'NaN')
    done = world.run(TASK, NOW)
    assert {t[0] for t in world.ticks()} == {ALICE, BOB}
    said = done.stdout + done.stderr
    for who, why in ((CAROL, 'it has no transfer of USDC'), (dave, 'market 12, which it has a position in, has no oracle price'),
                     (erin, 'perpetual market 77, which it has a position in, is unknown'), (frank, 'not a number')):
        assert any(who in line and why in line and 'Error when getting new pnl tick' in line for line in said.splitlines()), said


def test_a_market_without_price_stops_those_who_hold_it(world):
    example(world)
    world.sql('DELETE FROM oracle_prices WHERE "marketId" = 11 AND "effectiveAtHeight" <= 20000')
    world.run(TASK, NOW)
    assert world.ticks() == [] and world.hash() == {}


def test_funding_is_looked_for_among_14400_blocks(world):
    world.block(20000, NOON)
    values = {}
    for i, height in enumerate((5600, 5601, 20000, 20001)):
        world.market(i)
        world.price(i, 1, '0')
        world.funding(i, height, '7')
        who = world.subaccount('dydx1alice', 128 * i, updated=1)
        world.transfer(5, '0', to=who)
        world.position(who, i, '1')
        values[who] = {5600: '0.000000', 5601: '-7.000000', 20000: '-7.000000', 20001: '0.000000'}[height]
    world.run(TASK, NOW)
    assert {t[0]: t[1] for t in world.ticks()} == values


def test_an_hour_is_not_lost_because_its_tick_was_seconds_early(world):
    """59:59.999 and 00:00.000 are a millisecond apart, and of two hours."""
    example(world)
    times = ('2024-03-01T12:59:59.999Z', '2024-03-01T13:00:00.000Z', '2024-03-01T13:59:59.500Z', '2024-03-01T14:00:00.250Z')
    world.sql('UPDATE blocks SET time = %s', (times[0],))
    for i, t in enumerate(times):
        if i > 0:
            world.block(20000 + i, t)
        world.run(TASK, usec(t) + 1000)
    # the third is of the hour of the second
    assert [t[5] for t in world.ticks() if t[0] == ALICE] == [times[0], times[1], times[3]]


def test_how_far_funding_is_looked_for_is_a_setting(world):
    example(world)
    world.tick(*ALICE_BEFORE)
    world.settings(funding_index_lookback=100000)
    world.run(TASK, NOW)
    # bob's index at height 1000 is still none for market 1, alice's are found as before
    assert noon(world) == sorted(EXPECTED)
    world.clear()
    example(world)
    world.settings(funding_index_lookback=1000)  # of 16500, not of 20000
    world.run(TASK, NOW)
    assert {t[0]: t[1] for t in world.ticks()}[ALICE] == '91003.500000'  # 90999 + 2 (1.25 - 0) - 10 (-0.2 - 0)


def test_transfers_at_the_previous_tick_are_left_out_and_at_the_block_counted(world):
    example(world)
    world.tick(*ALICE_BEFORE)
    world.transfer(16900, '1', to=ALICE)
    world.transfer(16901, '10', to=ALICE)
    world.transfer(20000, '100', to=ALICE)
    world.transfer(20001, '1000', to=ALICE)
    world.transfer(18000, '5', sender=ALICE, to=ALICE)  # to oneself: as sent
    world.run(TASK, NOW)
    assert {t[0]: (t[2], t[3]) for t in noon(world)}[ALICE] == (
        '40987.750000', '4.750000')  # 41098.75 - 111; -100.25 + 10 + 100 - 5


@pytest.mark.parametrize('size, text', [
    ('0.0000005', '0.000001'), ('-0.0000005', '-0.000001'), ('0.00000049999999999999999999', '0.000000'),
    ('-0.0000004', '0.000000'), ('1234567890123456789012345678901234567890.1234565', '1234567890123456789012345678901234567890.123457'),
    ('-9' * 1 + '9' * 39 + '.9999995', '-1' + '0' * 40 + '.000000')])
def test_rounding(world, size, text):
    world.block(1, NOON)
    world.subaccount('dydx1alice')
    world.transfer(1, size, to=ALICE)
    world.usdc(ALICE, size.lstrip('-'), long=not size.startswith('-'))
    world.run(TASK, NOW)
    assert world.ticks() == [(ALICE, text, '0.000000', text, 1, NOON)]
    entry = world.hash()[ALICE]
    assert (entry['equity'], entry['totalPnl'], entry['netTransfers']) == (text, '0.000000', text)


def test_the_oldest_of_several_open_positions_counts(world):
    world.block(10, NOON)
    world.market(0)
    world.price(0, 1, '10')
    world.subaccount('dydx1alice')
    world.transfer(1, '0', to=ALICE)
    for size, event in (('1', b'\x02' + b'\0' * 11), ('2', b'\x01\xff' + b'\0' * 10), ('4', b'\x01\x7f' + b'\0' * 10)):
        world.position(ALICE, 0, size, event=event)
    world.position(ALICE, 0, '8', status='CLOSED', event=b'\0' * 12)
    world.run(TASK, NOW)
    assert world.ticks() == [(ALICE, '40.000000', '40.000000', '0.000000', 10, NOON)]


def test_entries_of_redis_in_other_forms_and_spoilt_ones(world):
    example(world)
    others = {who: world.subaccount(f'dydx1{who}') for who in ('text', 'list', 'time', 'height', 'form', 'number')}
    for who in others.values():
        world.transfer(100, '1', to=who)
    good = {'blockTime': '2024-03-01T12:30:00+01:00', 'x': [1], 'blockHeight': '16900'}
    values = {ALICE: json.dumps({'blockHeight': 16900, 'blockTime': '2024-03-01T11:00:00.1Z'}), 'nonsense': '{}',
              others['text']: 'not json', others['list']: '[]', others['time']: json.dumps(dict(good, blockTime='yesterday')),
              others['height']: json.dumps(dict(good, blockHeight='-1')),
              others['form'].upper(): json.dumps(good), others['number']: json.dumps(dict(good, blockHeight=16900))}
    for key, value in values.items():
        world.redis.hset(LATEST, key, value)
    done = world.run(TASK, NOW)
    net = {t[0]: t[3] for t in world.ticks()}
    assert net[ALICE] == '-100.250000'
    # spoilt entries are as if there was none
    assert [net[others[w]] for w in ('text', 'list', 'time', 'height')] == ['1.000000'] * 4
    assert [net[others[w]] for w in ('form', 'number')] == ['0.000000'] * 2
    said = done.stdout + done.stderr
    for key in ('nonsense', *(others[w] for w in ('text', 'list', 'time', 'height'))):
        assert f'subaccount {key}' in said
    assert 'subaccount ' + others['form'].upper() not in said


def test_a_hash_of_the_wrong_type_fails_by_name(world):
    example(world)
    world.redis.set(LATEST, 'x')
    done = world.run(TASK, NOW, expect=1)
    assert LATEST in done.stdout + done.stderr and 'Error when getting pnl ticks' in done.stdout + done.stderr
    assert world.ticks() == []


def test_old_entries_of_redis_cannot_inflate_transfers(world):
    """A hash that is older than the table, or lacks accounts, would count transfers of earlier ticks once more."""
    example(world)
    world.tick(*ALICE_BEFORE)
    world.tick(BOB, 16900, ALICE_BEFORE[2])
    world.cached(ALICE, 700, '2024-02-01T00:00:00Z')
    world.run(TASK, NOW)
    assert {t[0]: t[3] for t in noon(world)} == {ALICE: '-100.250000', BOB: '100.250000'}


def test_entries_of_accounts_without_transfers_are_named_and_the_rest_is_done(world):
    example(world)
    gone = subaccount_id('dydx1gone')
    world.cached(gone, 16900, '2024-03-01T11:00:00.100Z')
    world.subaccount('dydx1carol')
    world.cached(CAROL, 16900, '2024-03-01T11:00:00.100Z')
    done = world.run(TASK, NOW)
    assert noon(world) == sorted([(ALICE, *EXPECTED[1][1:3], '49899.750000', *EXPECTED[1][4:]), EXPECTED[0]])
    assert all(f'subaccount {who}' in done.stdout + done.stderr for who in (gone, CAROL))


def test_entries_from_beyond_the_latest_block_are_left_out(world):
    """What another chain left behind would otherwise make transfers disappear."""
    example(world)
    world.cached(ALICE, 90000, '2024-03-01T12:00:00Z')
    world.run(TASK, NOW)
    assert {t[0]: t[3] for t in noon(world)}[ALICE] == '49899.750000'


def test_an_entry_of_the_same_hour_means_done(world):
    example(world)
    world.cached(ALICE, 19999, '2024-03-01T12:00:00.000Z')
    world.run(TASK, NOW)
    assert {t[0] for t in world.ticks()} == {BOB}


def test_no_block_fails_and_no_account_is_fine(world):
    done = world.run(TASK, NOW, expect=1)
    assert 'Unable to find latest block' in done.stdout + done.stderr
    world.block(1, NOON)
    world.run(TASK, NOW)
    assert world.ticks() == [] and world.pending(TASK) == set()


def test_blocks_without_transfers_yet(world):
    world.block(10, NOON)
    world.subaccount('dydx1alice')
    world.transfer(11, '5', to=ALICE)
    world.run(TASK, NOW)
    assert world.ticks() == []


REST = 'createPnlTicksRest'


def rest(world):
    return [v for v, in world.sql('SELECT value FROM persistent_cache WHERE key = %s', (REST,))]


def test_what_the_limit_leaves_is_done_by_the_next_runs_whatever_fails(world):
    """An account that cannot be computed takes a place of the limit, without which the gate would close."""
    example(world)
    world.subaccount('dydx1carol')
    world.transfer(100, '5', to=CAROL, asset='1')
    people = sorted(world.subaccount(f'dydx1{i}') for i in range(6))
    for who in people:
        world.transfer(100, '5', to=who)
    world.cached(*ALICE_BEFORE)
    world.cached(CAROL, *ALICE_BEFORE[1:])
    world.settings(tick_accounts_per_run=3)
    for n in range(1, 10):
        world.run(TASK, NOW, environment={})
        assert len(world.ticks()) <= 3 * n
        if not rest(world):
            break
    assert world.pending(TASK) == set()
    assert {t[0] for t in noon(world)} == {ALICE, BOB, *people}
    assert n == 4  # 9 accounts of which one fails: three full pages, and one that finds that nothing is left
    before = world.ticks()
    world.run(TASK, NOW)
    assert world.ticks() == before


@pytest.mark.parametrize('value', [
    f'{usec(hour) // 1000:015d} 1 ffffffff-ffff-ffff-ffff-ffffffffffff'
    for hour in ('2024-03-01T11:00:00Z', '2024-02-01T11:00:00Z', '2024-03-01T13:00:00Z')
] + ['', 'nonsense', '1 2 3', '000001709294400 0 not-a-uuid-but-36-characters-long-xx'])
def test_what_is_left_of_another_hour_or_spoilt_hides_nobody(world, value):
    """The hour that was seen to be due may be over when the transaction begins; one to come is of another chain."""
    example(world)
    world.insert('persistent_cache', key=REST, value=value)
    world.redis.hset('roundtable.control.create_pnl_ticks.pending', 'ticks nonsense', 'an earlier run')
    world.settings(tick_accounts_per_run=2)
    world.run(TASK, NOW)
    assert {t[0] for t in noon(world)} == {ALICE, BOB} and world.pending(TASK) == set()
    # a page that is exactly full: whether there are more is found by the next run
    assert rest(world) == [f'{usec("2024-03-01T12:00:00Z") // 1000:015d} 1 {max(ALICE, BOB)}']
    world.run(TASK, NOW)
    assert rest(world) == [] and len(world.ticks()) == 2


def test_accounts_that_cannot_be_computed_never_block_the_others(world):
    example(world)
    for i in range(4):
        bad = world.subaccount(f'dydx1bad{i}')
        world.transfer(100, '5', to=bad, asset='1')
        world.cached(bad, *ALICE_BEFORE[1:])  # known to Redis: before all others
    world.settings(tick_accounts_per_run=2)
    for _ in range(4):
        world.run(TASK, NOW)
    assert {t[0] for t in noon(world)} == {ALICE, BOB}


def round_trips(done):
    return int(re.search(r'(\d+) round trips', done.stdout).group(1))


def test_chunks_write_the_same(world):
    example(world)
    for i in range(5):
        world.transfer(100, '5', to=world.subaccount(f'dydx1{i}'))
    trips = round_trips(world.run(TASK, NOW))
    whole = world.sql('SELECT * FROM pnl_ticks ORDER BY id')
    world.sql('TRUNCATE pnl_ticks')
    world.redis.flushall()
    done = world.run(TASK, NOW, environment={'PNL_TICK_MAX_ROWS_PER_UPSERT': '2'})
    assert world.sql('SELECT * FROM pnl_ticks ORDER BY id') == whole
    assert round_trips(done) == trips + 3  # four statements for seven accounts
    # nobody sees a part of the hour
    assert world.sql('SELECT count(DISTINCT xmin::text) FROM pnl_ticks') == [(1,)]


def test_the_originals_variables(world):
    example(world)
    world.tick(ALICE, 19000, '2024-03-01T11:45:00.000Z')
    world.run(TASK, NOW, environment={'PNL_TICK_UPDATE_INTERVAL_MS': '900000', 'PNL_TICK_MAX_ACCOUNTS_PER_RUN': '1'})
    assert [t[0] for t in noon(world)] == [ALICE]


def test_a_large_change_is_logged(world):
    world.block(10, NOON)
    world.subaccount('dydx1alice')
    world.transfer(1, '5', to=ALICE)
    world.usdc(ALICE, '20000')
    world.tick(ALICE, 9, ALICE_BEFORE[2], equity='10', total='-1000.01')
    done = world.run(TASK, NOW)
    assert 'large change of equity and totalPnl' in done.stdout + done.stderr
    world.block(20, '2024-03-01T13:00:05Z')
    done = world.run(TASK, '2024-03-01T13:00:30Z')
    assert 'large change' not in done.stdout + done.stderr


def test_all_but_the_gate_is_read_in_one_snapshot_of_the_primary(world, build):
    """The replica has the latest block and nothing else."""
    example(world)
    with lagging_replica(world, build) as replica:
        replica('INSERT INTO blocks VALUES (19000, %s)', (NOON,))
        world.run(TASK, NOW)
        assert {t[0] for t in noon(world)} == {ALICE, BOB}
        assert [t[1] for t in noon(world)] == [t[1] for t in sorted(EXPECTED)]
        replica('TRUNCATE blocks CASCADE')
        done = world.run(TASK, NOW, expect=1)
        assert 'Unable to find latest block' in done.stdout + done.stderr

# hours without ticks

def test_hours_without_a_run_are_filled_at_their_first_block(world):
    example(world)
    world.sql('DELETE FROM oracle_prices WHERE "effectiveAtHeight" > 20000')
    world.run(TASK, NOW)
    hours_ = ('2024-03-01T13:00:01.000Z', '2024-03-01T13:59:00.000Z', '2024-03-01T14:59:59.999Z', '2024-03-01T16:00:00.000Z')
    for i, t in enumerate(hours_):  # nothing at 15 o'clock
        world.block(20100 + 100 * i, t)
    world.price(10, 20100, '60001')
    world.price(10, 20300, '60002')
    world.transfer(20050, '1', to=ALICE)
    world.transfer(20250, '10', to=ALICE)
    world.transfer(20350, '100', to=BOB)
    world.sql('UPDATE subaccounts SET "updatedAtHeight" = 20350 WHERE id = %s', (BOB,))  # not known at 13 and 14 o'clock
    done = world.run(TASK, '2024-03-01T16:00:20.000Z')
    made = [(t[0], t[3], t[4], t[5]) for t in world.ticks('"blockHeight" > 20000')]
    assert made == sorted([
        (ALICE, '1.000000', 20100, hours_[0]), (ALICE, '10.000000', 20300, hours_[2]), (ALICE, '0.000000', 20400, hours_[3]),
        (BOB, '100.000000', 20400, hours_[3])], key=lambda t: (t[2], t[0]))
    equities = {t[4]: t[1] for t in world.ticks() if t[0] == ALICE}
    assert equities == {20000: '90998.500000', 20100: '90999.500000', 20300: '91001.500000', 20400: '91001.500000'}
    # a chart is drawn by createdAt: filled ticks are where they would have been
    created = [iso(t) for t, in world.sql('SELECT "createdAt" FROM pnl_ticks WHERE "subaccountId" = %s ORDER BY 1', (ALICE,))]
    assert created == [NOW, hours_[0], hours_[2], '2024-03-01T16:00:20.000Z']
    assert {i for i, in world.sql('SELECT id::text FROM pnl_ticks WHERE "subaccountId" = %s', (ALICE,))} == {
        tick_id(ALICE, c) for c in created}
    assert 'An hour without ticks was filled' in done.stdout + done.stderr
    assert world.hash()[ALICE]['blockHeight'] == '20400'
    before = world.ticks()
    world.run(TASK, '2024-03-01T16:00:50.000Z')
    assert world.ticks() == before


def test_filled_ticks_come_behind_those_before(world):
    """A service that was behind wrote its tick later than the block it fills."""
    example(world)
    world.run(TASK, '2024-03-01T18:00:00.000Z')
    world.block(20100, '2024-03-01T13:10:00.000Z')
    world.block(20200, '2024-03-01T14:10:00.000Z')
    world.run(TASK, '2024-03-01T18:00:30.000Z')
    assert [(h, iso(c)) for h, c in world.sql(
        'SELECT "blockHeight", "createdAt" FROM pnl_ticks WHERE "subaccountId" = %s ORDER BY "createdAt"', (ALICE,))] == [
        (20000, '2024-03-01T18:00:00.000Z'), (20100, '2024-03-01T18:00:00.001Z'), (20200, '2024-03-01T18:00:30.000Z')]


@pytest.mark.parametrize('fill, filled', [('0 s', []), ('1 h', [23]), ('2 h', [22, 23]), ('1 d', [21, 22, 23])])
def test_how_far_back_is_a_setting(world, fill, filled):
    """Over the end of a leap February, in a time zone that is not that of the blocks."""
    example(world)
    world.sql("UPDATE blocks SET time = '2024-02-29T20:00:05Z'")
    world.run(TASK, NOW)
    for i, t in enumerate(('2024-02-29T21:00:00Z', '2024-02-29T22:30:00Z', '2024-02-29T23:00:00.001Z', '2024-03-01T00:00:00Z')):
        world.block(20100 + i, t)
    world.settings(tick_fill=fill)
    world.run(TASK, '2024-03-01T00:00:20.000Z', environment={'TZ': 'America/St_Johns'})
    assert sorted({int(t[5][11:13]) for t in world.ticks() if t[0] == ALICE}) == sorted([0, 20, *filled])


@pytest.mark.parametrize('zone, begins', [('America/New_York', '2024-11-03T04:00:05Z'), ('Europe/Berlin', '2024-03-31T00:00:05Z')])
def test_hours_over_a_change_of_clocks(world, zone, begins):
    """One o'clock twice, two o'clock never: the hours are those of UTC, whatever host, database and session say."""
    example(world)
    world.sql(f"ALTER DATABASE {world.database} SET timezone TO '{zone}'")
    world.sql('UPDATE blocks SET time = %s', (begins,))
    hours = [iso(datetime.datetime.fromisoformat(begins.replace('Z', '+00:00')) + datetime.timedelta(hours=i)) for i in range(5)]
    for i, t in enumerate(hours):
        if i > 0:
            world.block(20000 + 100 * i, t)
        if i != 2:  # filled by the next run
            world.run(TASK, usec(t) + 20000000, environment={'TZ': zone, 'PGTZ': zone})
    assert [(t[4], t[5]) for t in world.ticks() if t[0] == ALICE] == [(20000 + 100 * i, t) for i, t in enumerate(hours)]


def test_the_first_run_of_all_fills_nothing(world):
    example(world)
    world.block(19000, '2024-03-01T10:00:00Z')
    world.run(TASK, NOW)
    assert {t[4] for t in world.ticks()} == {20000}


def test_a_filled_hour_takes_as_many_pages_as_it_needs(world):
    example(world)
    people = sorted(world.subaccount(f'dydx1{i}') for i in range(5))
    for who in people:
        world.transfer(100, '5', to=who)
    world.run(TASK, NOW)
    world.block(20100, '2024-03-01T13:00:00Z')
    world.block(20200, '2024-03-01T14:00:00Z')
    world.settings(tick_accounts_per_run=2)
    world.run(TASK, '2024-03-01T14:00:20.000Z')
    assert {t[0] for t in world.ticks('"blockHeight" = 20100')} == {ALICE, BOB, *people}
    assert len(world.ticks('"blockHeight" = 20200')) == 2


def test_round_trips_do_not_grow_with_accounts(world):
    """Accounts that Redis knows and others, with positions updated at heights of their own."""
    trips = []
    for n in (2, 80):
        world.clear()
        example(world)
        for i in range(n):
            who = world.subaccount(f'dydx1acc{i}', updated=15000 + i)
            world.transfer(100 + i, '5', to=who)
            world.position(who, i % 2, '1')
            if i % 2:
                world.cached(who, 16900, ALICE_BEFORE[2])
        done = world.run(TASK, NOW)
        trips.append(round_trips(done))
        assert len(world.ticks()) == n + 2
    assert trips[0] == trips[1]


def test_more_accounts_than_a_page_of_names_and_of_redis(world):
    """Ids of new accounts go through the worker 5,000 at a time, and so do the entries of the hash, both ways."""
    n = 10001
    world.block(20000, NOON)
    world.sql('INSERT INTO subaccounts (id, address, "subaccountNumber", "updatedAt", "updatedAtHeight") '
              "SELECT md5(i::text)::uuid, 'dydx1acc' || i, 0, now(), 1 FROM generate_series(1, %s) AS i", (n,))
    world.sql('INSERT INTO transfers (id, "recipientSubaccountId", "senderWalletAddress", "assetId", size, "eventId", '
              '"transactionHash", "createdAt", "createdAtHeight") '
              "SELECT md5(i::text)::uuid, md5(i::text)::uuid, 'wallet', '0', i, decode(lpad(to_hex(i), 24, '0'), 'hex'), '', "
              'now(), 5 FROM generate_series(1, %s) AS i', (n,))

    def ids(created):
        found = world.sql('SELECT "subaccountId"::text, id::text FROM pnl_ticks')
        return len(found) == n and all(id == tick_id(s, created) for s, id in found)
    world.run(TASK, NOW)
    assert ids(NOW) and world.redis.hlen(LATEST) == n
    assert world.sql('SELECT sum("netTransfers")::bigint FROM pnl_ticks') == [(n * (n + 1) // 2,)]
    # now Redis alone knows the ticks: an account that is not read there would have its transfer once more
    world.sql('TRUNCATE pnl_ticks')
    world.block(20100, '2024-03-01T13:00:05Z')
    world.run(TASK, '2024-03-01T13:00:20.000Z')
    assert ids('2024-03-01T13:00:20.000Z') and world.sql('SELECT sum("netTransfers")::bigint FROM pnl_ticks') == [(0,)]
    assert {v['blockHeight'] for v in world.hash().values()} == {'20100'}


# crashes, concurrency

def reset(w):
    w.clear()
    example(w)
    w.tick(*ALICE_BEFORE)
    w.cached(*ALICE_BEFORE)


def state(w):
    return w.sql('SELECT * FROM pnl_ticks ORDER BY id'), w.redis.hgetall(LATEST)


def test_killed_at_every_failpoint_and_by_two_hosts_the_ticks_are_the_same(world, postgres, redis):
    """Two hours: one that is filled, and that of the latest block."""
    reset(world)
    world.sql("UPDATE blocks SET time = '2024-03-01T13:00:05Z'")
    world.block(18000, '2024-03-01T12:00:05Z')
    campaign = Campaign(world.deployment, 'pnl', TASK, postgres, world.database, redis, now_usec=usec('2024-03-01T13:00:31Z'))
    points = campaign.kill_everywhere()
    assert any('commit:after#2' in p for p in points) and any('write_latest_ticks:sent#2' in p for p in points), points
    assert {t[4] for t in world.ticks()} == {16900, 18000, 20000}
    campaign.two_hosts()


@pytest.mark.parametrize('filled', [False, True])
def test_pages_that_are_not_committed_are_done_again(world, postgres, redis, filled):
    """Pages of accounts without a tick before. Where the hour goes on is committed with the page, or it would
    hide the accounts of a page that was not."""
    world.block(20000, NOON)
    for i in range(3 if filled else 5):
        world.transfer(100, '5', to=world.subaccount(f'dydx1{i}'))
    if filled:
        world.tick(world.subaccount('dydx1before'), 16900, ALICE_BEFORE[2])
        world.block(30000, '2024-03-01T13:00:05Z')
    campaign = Campaign(world.deployment, 'pnl', TASK, postgres, world.database, redis, now_usec=usec('2024-03-01T13:00:31Z'),
                        settings={'tick_accounts_per_run': 2, 'tick_rows_per_statement': 0 if filled else 1},
                        runs=2 if filled else 3)
    campaign.expected()
    assert len(world.ticks()) == (7 if filled else 5) and rest(world) == []
    # what an hour brings to Redis is read and sent once, behind its last page
    assert sum('write_latest_ticks:sent' in p for p in campaign.points) == (2 if filled else 1)
    points = campaign.kill_everywhere(r'(write_tick_rest|write_ticks):sent|commit:(before|sent)')
    assert sum('commit:sent' in p for p in points) == (3 if filled else 1), points
    if filled:
        campaign.two_hosts()


def test_a_page_that_is_not_committed_is_not_lost_while_blocks_go_on(world):
    """Then the ticks of the latest block are fewer than the limit, and would close the gate."""
    world.block(20000, NOON)
    people = [world.subaccount(f'dydx1{i}') for i in range(3)]
    for who in people:
        world.transfer(100, '5', to=who)
    world.settings(tick_accounts_per_run=2)
    world.run(TASK, NOW, expect=-signal.SIGKILL, environment={
        'ROUNDTABLE_FAILPOINT_KILL': f'{TASK}:postgres.commit:before#1'})
    assert world.ticks() == []
    for n in range(1, 4):
        world.block(20000 + n, f'2024-03-01T12:0{n}:00Z')
        world.run(TASK, usec(NOW) + n * 60000000)
    assert [t[0] for t in sorted(world.ticks())] == sorted(people)


def test_two_at_once_write_one_tick_each(world):
    reset(world)
    world.run(TASK, NOW)
    right = state(world)
    reset(world)
    # the first holds the lock within its transaction; the second has seen an open gate
    world.sql('BEGIN')
    world.sql("SELECT pg_advisory_xact_lock(hashtextextended('roundtable create_pnl_ticks', 0))")
    argv = [world.deployment.program_path('roundtable-worker'), '--run', TASK, '--no-lock', '--conf', world.deployment.conf]
    environment = dict(world.deployment.environment, ROUNDTABLE_TEST_NOW_USEC=str(usec(NOW)))
    both = [subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            for _ in range(2)]
    with world.postgres.connect(world.database) as looker, looker.cursor() as cursor:
        def waiting():
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
                           '(SELECT oid FROM pg_database WHERE datname = current_database())')
            return cursor.fetchone()[0] == 2
        servers.wait_until(waiting, 'two runs that wait for the lock')
    world.sql('COMMIT')
    for p in both:
        said, _ = p.communicate(timeout=60)
        assert p.returncode == 0, said
    assert state(world) == right


def test_a_dry_run_writes_nothing(world):
    reset(world)
    before = state(world)
    done = world.run(TASK, NOW, arguments=('--dry-run', '--no-lock'))
    assert state(world) == before and world.pending(TASK) == set()
    assert f'HSET {LATEST}' in done.stdout + done.stderr


# random data against the row-by-row evaluation

def number(r, small=False):
    kind = r.randrange(8)
    if kind == 0:
        return '0'
    if kind == 1 and not small:
        return str(r.randrange(10 ** 39, 10 ** 40)) + '.' + str(r.randrange(10 ** 18, 10 ** 19))
    return f'{r.randrange(10 ** r.randrange(1, 9))}.{r.randrange(10 ** 9):0{r.choice((1, 7, 9))}d}'[:30]


def signed(r, text):
    return text if r.random() < 0.5 or float(text) == 0 else '-' + text


def random_world(w, r):
    base = datetime.datetime(2024, 2, 29, 21, tzinfo=datetime.timezone.utc)
    height = r.randrange(14300, 60000)
    w.block(height, base + datetime.timedelta(seconds=r.randrange(3600)))
    markets = list(range(r.randrange(0, 5)))
    for p in markets:
        w.market(p, p + 50)
        for _ in range(r.randrange(0, 4)):
            w.price(p + 50, r.randrange(1, height + 20), number(r))
        for h in {max(1, height - r.choice((0, 1, 14399, 14400, 14401, r.randrange(40000)))) for _ in range(r.randrange(5))}:
            w.funding(p, h, signed(r, number(r)))
    accounts = [w.subaccount(f'dydx1{r.randrange(8)}', 128 * i, updated=r.randrange(1, height + 1)) for i in range(r.randrange(1, 9))]
    for a in accounts:
        for _ in range(r.randrange(0, 4)):
            w.position(a, r.choice(markets + [99] if r.random() < 0.1 else markets or [0]), signed(r, number(r)),
                       status=r.choice(('OPEN', 'OPEN', 'CLOSED', 'LIQUIDATED')))
        if r.random() < 0.7:
            w.usdc(a, number(r), long=r.random() < 0.7)
        if r.random() < 0.3:
            w.usdc(a, number(r), asset='1')
    for _ in range(r.randrange(0, 25)):
        sender, to = r.choice([None] + accounts), r.choice([None] + accounts)
        w.transfer(r.randrange(1, height + 30), number(r), sender=sender, to=to, asset=r.choice('0001'))
    cached = {}
    begun = r.random() < 0.1  # then the gate may be closed
    for a in accounts:
        at = base - datetime.timedelta(seconds=r.randrange(-3000 if begun else 10, 9000))
        for n in range(r.randrange(0, 3)):
            w.tick(a, r.randrange(1, height) if n == 0 else height, iso(at + datetime.timedelta(seconds=n)))
        if r.random() < 0.5:
            at = base - datetime.timedelta(seconds=r.randrange(-3599, 9000))
            cached[a] = (r.randrange(1, height + 5), at)
            w.cached(a, cached[a][0], iso(at))
    return cached


def test_random_data_equals_the_row_by_row_evaluation(world):
    made_any = failed_any = 0
    for seed in range(40):
        world.clear()
        cached = random_world(world, random.Random(seed))
        known = [id for id, in world.sql('SELECT id FROM pnl_ticks')]
        before, latest = world.sql('SELECT (SELECT max("blockTime") FROM pnl_ticks), max(time) FROM blocks')[0]
        is_open = before is None or before < latest.replace(minute=0, second=0, microsecond=0)
        made, failed = ticks_due(world, cached)
        done = world.run(TASK, NOW, environment={'LC_ALL': 'de_DE.UTF-8', 'TZ': 'Asia/Kathmandu'})
        got = {tuple(row) for row in world.sql(
            'SELECT "subaccountId", equity::text, "totalPnl"::text, "netTransfers"::text, "blockHeight", "blockTime" '
            'FROM pnl_ticks WHERE NOT id = ANY (%s::uuid[]) AND "createdAt" = %s', (known, NOW))}
        assert got == (made if is_open else set()), (seed, got - made, made - got)
        if is_open:
            assert all(a in done.stdout + done.stderr for a in failed), seed
            made_any += len(made)
            failed_any += len(failed)
    assert made_any > 80 and failed_any > 20


def test_random_hours_that_are_filled_equal_the_row_by_row_evaluation(world):
    """In pages of any size: accounts that have changed, fail, are new, or have ticks already are among them."""
    filled = failed_any = 0
    for seed in range(100, 106):
        r = random.Random(seed)
        world.clear()
        cached = random_world(world, r)
        ((height, time),) = world.sql('SELECT "blockHeight", time FROM blocks')
        begins = time.replace(minute=0, second=0, microsecond=0)
        world.tick(world.subaccount('dydx1before'), 1, iso(begins - datetime.timedelta(hours=1)))
        world.sql('DELETE FROM pnl_ticks WHERE "blockTime" >= %s', (begins,))
        world.sql('UPDATE pnl_ticks SET "blockHeight" = least("blockHeight", %s)', (height - 1,))
        heights = [height, height + 10, height + 20, height + 30]
        for h, hours in zip(heights[1:], (1, 3, 4)):
            world.block(h, iso(begins + datetime.timedelta(hours=hours, seconds=r.randrange(3600))))
        for a, in world.sql('SELECT id FROM subaccounts ORDER BY id'):
            if r.random() < 0.3:
                world.sql('UPDATE subaccounts SET "updatedAtHeight" = %s WHERE id = %s', (height + r.choice((0, 5, 10, 11, 25)), a))
        known = [id for id, in world.sql('SELECT id FROM pnl_ticks')]
        made = set()
        for h in heights:
            # ticks of earlier hours are the ones before those of later hours
            of_hour, failed = ticks_due(world, cached, past=h if h < heights[-1] else None, made_before=made)
            made |= of_hour
            filled += len(of_hour) if h < heights[-1] else 0
            failed_any += len(failed)
        world.settings(tick_accounts_per_run=r.choice((1, 2, 2, 3, 65000)))
        for _ in range(20):
            world.run(TASK, NOW)
            if not rest(world):
                break
        got = {tuple(row) for row in world.sql(
            'SELECT "subaccountId", equity::text, "totalPnl"::text, "netTransfers"::text, "blockHeight", "blockTime" '
            'FROM pnl_ticks WHERE NOT id = ANY (%s::uuid[])', (known,))}
        assert got == made, (seed, got - made, made - got)
    assert filled > 20 and failed_any > 5, (filled, failed_any)
