"""create_leaderboard_pnl_* against real PostgreSQL and Redis (PnL specification, section 7)."""
import datetime
import os
import random
import re
from decimal import Decimal

import pytest

from campaign import Campaign
from pnl_world import World, iso, subaccount_id, tick_id, usec
from test_funding_payments import waiting_run
from tick_reference import leaderboard

DAY = datetime.datetime(2024, 3, 1, tzinfo=datetime.timezone.utc)
NOW = iso(DAY + datetime.timedelta(minutes=5))
SPANS = {'all_time': ('ALL_TIME', None), 'daily': ('ONE_DAY', 1), 'weekly': ('SEVEN_DAYS', 7), 'monthly': ('THIRTY_DAYS', 30),
         'yearly': ('ONE_YEAR', 365)}


@pytest.fixture
def world(build, postgres, redis, redis_server):
    w = World(build, postgres, redis_server)
    yield w
    w.close()


def at(days=0, **time):
    """Time on the day so many before today."""
    return iso(DAY - datetime.timedelta(days=days) + datetime.timedelta(**time))


def tick(w, account, created, height, total, equity):
    w.tick(account, height, created, equity=equity, total=total)


def example(w):
    """Section 7.5."""
    alice, alice128, alice1 = (w.subaccount('dydx1alice', n) for n in (0, 128, 1))
    bob, carol = w.subaccount('dydx1bob'), w.subaccount('dydx1carol')
    tick(w, alice, at(7, hours=23, minutes=59), 300, '100.000000', '900.000000')
    tick(w, alice, at(1, hours=5), 450, '110.000000', '950.000000')
    tick(w, alice, at(minutes=1), 500, '120.500000', '1000.000000')
    tick(w, alice, at(minutes=2), 510, '130.250000', '1010.000000')
    tick(w, alice128, at(minutes=2), 510, '-30.000000', '200.000000')
    tick(w, alice1, at(minutes=2), 510, '4000.000000', '5000.000000')
    tick(w, bob, at(minutes=2), 510, '99.250000', '50.000000')
    tick(w, carol, at(1, minutes=2), 440, '7.000000', '77.000000')
    w.insert('leaderboard_pnl', address='dydx1carol', timeSpan='SEVEN_DAYS', pnl='12.000000', currentEquity='70.000000', rank=1)


def board(w, span):
    return w.sql('SELECT address, pnl, "currentEquity", rank FROM leaderboard_pnl WHERE "timeSpan" = %s ORDER BY rank, address',
                 (span,))


def run(w, which, now=NOW, **more):
    return w.run(f'create_leaderboard_pnl_{which}', now, **more)


def processed(w, span):
    value = w.redis.get(f'v4/leaderboard_pnl_processed/{span}')
    return value and value.decode()


EXPECTED = {
    'all_time': [('dydx1alice', '100.250000', '1210.000000', 1), ('dydx1bob', '99.250000', '50.000000', 2)],
    'daily': [('dydx1bob', '99.250000', '50.000000', 1), ('dydx1alice', '-9.750000', '1210.000000', 2)],
    'weekly': [('dydx1bob', '99.250000', '50.000000', 1), ('dydx1carol', '12.000000', '70.000000', 1),
               ('dydx1alice', '0.250000', '1210.000000', 2)],
    'monthly': [('dydx1alice', '100.250000', '1210.000000', 1), ('dydx1bob', '99.250000', '50.000000', 2)],
    'yearly': [('dydx1alice', '100.250000', '1210.000000', 1), ('dydx1bob', '99.250000', '50.000000', 2)],
}


@pytest.mark.parametrize('which', SPANS)
def test_worked_example(world, which):
    example(world)
    run(world, which, environment={'TZ': 'America/New_York', 'LC_ALL': 'de_DE.UTF-8'})
    span = SPANS[which][0]
    assert board(world, span) == EXPECTED[which]
    assert processed(world, span) == at(minutes=2) and world.redis.ttl(f'v4/leaderboard_pnl_processed/{span}') == -1
    before = world.sql('SELECT *, xmin::text FROM leaderboard_pnl ORDER BY 1, 2')
    run(world, which)
    assert world.sql('SELECT *, xmin::text FROM leaderboard_pnl ORDER BY 1, 2') == before


def another_replica(world):
    """By another name it is another server."""
    other = os.path.join(world.deployment.directory, 'replica')
    os.symlink(world.postgres.host, other)
    world.deployment.settings(None, database=dict(world.deployment.common['database'], replica_host=other))


@pytest.mark.parametrize('which', ['all_time', 'weekly'])
def test_the_replica_ranks_where_there_is_one(world, which):
    """Odd addresses pass through COPY."""
    example(world)
    odd = 'tab\tback\\slash\nblank \\N "quoted"'
    tick(world, world.subaccount(odd), at(minutes=2), 510, '1.000000', '2.000000')
    another_replica(world)
    recorded = os.path.join(world.deployment.directory, 'points')
    run(world, which, environment={'ROUNDTABLE_FAILPOINT_RECORD': recorded})
    with open(recorded) as f:
        assert 'postgres.copy_ranked' in f.read()
    expected = EXPECTED[which] + [(odd, '1.000000', '2.000000', 3 if which == 'all_time' else 2)]
    if which == 'weekly':
        expected[-2:] = [(odd, '1.000000', '2.000000', 2), ('dydx1alice', '0.250000', '1210.000000', 3)]
    assert board(world, SPANS[which][0]) == expected


def test_new_ticks_replace_the_ranks(world):
    example(world)
    run(world, 'all_time')
    tick(world, subaccount_id('dydx1bob'), at(hours=1), 600, '200.000000', '60.000000')
    tick(world, subaccount_id('dydx1carol'), at(hours=1), 600, '-5.000000', '1.000000')
    run(world, 'all_time', at(hours=1, minutes=1))
    assert board(world, 'ALL_TIME') == [('dydx1bob', '200.000000', '60.000000', 1), ('dydx1alice', '100.250000', '1210.000000', 2),
                                        ('dydx1carol', '-5.000000', '1.000000', 3)]
    assert processed(world, 'ALL_TIME') == at(hours=1)


def test_who_has_no_tick_today_is_deleted_where_that_is_set(world):
    example(world)
    world.insert('leaderboard_pnl', address='dydx1carol', timeSpan='ALL_TIME', pnl='1', currentEquity='1', rank=1)
    world.settings(leaderboard_delete_unranked=True)
    run(world, 'weekly')
    assert board(world, 'SEVEN_DAYS') == [r for r in EXPECTED['weekly'] if r[0] != 'dydx1carol']
    assert board(world, 'ALL_TIME') == [('dydx1carol', '1', '1', 1)]  # another span's


def test_an_address_without_wallet_is_named_and_the_rest_is_ranked(world):
    example(world)
    world.sql("DELETE FROM wallets WHERE address = 'dydx1alice'")
    done = run(world, 'all_time')
    assert board(world, 'ALL_TIME') == [('dydx1bob', '99.250000', '50.000000', 1)]
    assert 'address dydx1alice' in done.stdout + done.stderr and 'wallets' in done.stdout + done.stderr


def test_amounts_that_cannot_be_stored_are_named_and_the_rest_is_ranked(world):
    example(world)
    for i, total in enumerate(('9' * 300, 'NaN', 'Infinity', '1' * 255, '-' + '1' * 40 + '.5')):
        tick(world, world.subaccount(f'dydx1x{i}'), at(minutes=2), 510, total, '1')
    done = run(world, 'all_time')
    assert [(r[0], r[3]) for r in board(world, 'ALL_TIME')] == [('dydx1x3', 1), ('dydx1alice', 2), ('dydx1bob', 3), ('dydx1x4', 4)]
    assert all(f'address dydx1x{i}' in done.stdout + done.stderr for i in (0, 1, 2))


def test_addresses_of_vaults_are_left_out_and_the_main_vault_is_not(world):
    vaults = ('dydx1c0m5x87llaunl5sgv3q5vd7j5uha26d2q2r2q0', 'dydx1qah94upkd62l6az822hzrwd5cw3r6lszzyy762')
    mega = 'dydx18tkxrnrkqc2t0lr3zxr5g6a4hdvqksylxqje4r'
    for address in (*vaults, mega):
        tick(world, world.subaccount(address), at(minutes=2), 510, '1.000000', '1.000000')
    run(world, 'all_time')
    assert [r[0] for r in board(world, 'ALL_TIME')] == [mega]


def test_equal_amounts_are_ordered_by_address(world):
    for address in ('dydx1b', 'dydx1B', 'dydx1a', 'dydx1ä'):
        tick(world, world.subaccount(address), at(minutes=2), 510, '1.000000', '1.000000')
    run(world, 'all_time', environment={'LC_ALL': 'de_DE.UTF-8'})
    assert [r[0] for r in board(world, 'ALL_TIME')] == ['dydx1B', 'dydx1a', 'dydx1b', 'dydx1ä']


def test_of_ticks_that_two_services_made_at_once_the_greatest_height_counts(world):
    """The one that read its block first may have been slower."""
    account = world.subaccount('dydx1a')
    for days, total in ((8, 0), (0, 100)):
        for i, height in enumerate((3, 5, 4, 2)):
            tick(world, account, at(days, minutes=2, milliseconds=i), 1000 - 100 * days + height, f'{total + height}.000000', '1.000000')
    run(world, 'weekly')
    assert board(world, 'SEVEN_DAYS') == [('dydx1a', '100.000000', '1.000000', 1)]  # 105 - 5


@pytest.mark.parametrize('which, days', [('daily', 1), ('weekly', 7), ('monthly', 30), ('yearly', 365)])
def test_the_tick_before_the_span_is_of_the_last_millisecond(world, which, days):
    """Over a leap day and the turns of month and year; in a database whose days end at another time."""
    world.sql(f"ALTER DATABASE {world.database} SET timezone TO 'America/New_York'")
    for n, created in enumerate((at(days, hours=23, minutes=59, seconds=59, milliseconds=999), at(days - 1))):
        account = world.subaccount(f'dydx1{n}')
        tick(world, account, created, 10, '1.000000', '1.000000')
        tick(world, account, at(minutes=2), 20, '5.000000', '1.000000')
    run(world, which)
    assert dict((r[0], r[1]) for r in board(world, SPANS[which][0])) == {'dydx10': '4.000000', 'dydx11': '5.000000'}


def test_today_is_that_of_utc_at_the_run(world):
    account = world.subaccount('dydx1a')
    tick(world, account, at(hours=23, minutes=59, seconds=59, milliseconds=999), 10, '1.000000', '1.000000')
    run(world, 'all_time', at(-1), environment={'TZ': 'America/New_York'})
    assert board(world, 'ALL_TIME') == [] and processed(world, 'ALL_TIME') is not None
    world.redis.flushall()
    run(world, 'all_time', at(hours=23, minutes=59, seconds=59, milliseconds=999), environment={'TZ': 'Asia/Tokyo'})
    assert len(board(world, 'ALL_TIME')) == 1


def test_nothing_at_all(world):
    run(world, 'all_time')
    assert board(world, 'ALL_TIME') == []


def test_what_redis_has_is_compared(world):
    example(world)
    key = 'v4/leaderboard_pnl_processed/ALL_TIME'
    world.redis.set(key, '2024-03-01T00:02:00.000Z')
    run(world, 'all_time')
    assert board(world, 'ALL_TIME') == []
    for value in ('2024-03-01T00:01:59.999Z', '', 'rubbish', '2024-03-01T02:01:59.999+02:00'):
        world.sql('TRUNCATE leaderboard_pnl')
        world.redis.set(key, value)
        run(world, 'all_time')
        assert len(board(world, 'ALL_TIME')) == 2 and processed(world, 'ALL_TIME') == at(minutes=2), value
    world.redis.delete(key)
    world.redis.lpush(key, 'x')
    done = run(world, 'all_time', expect=1)
    assert 'Error when updating leaderboard pnl table' in done.stdout + done.stderr and key in done.stdout + done.stderr


def round_trips(done):
    return int(re.search(r'(\d+) round trips', done.stdout).group(1))


def test_chunks_write_the_same(world):
    example(world)
    trips = round_trips(run(world, 'all_time'))
    world.sql("DELETE FROM leaderboard_pnl WHERE \"timeSpan\" = 'ALL_TIME'")
    world.redis.flushall()
    done = run(world, 'all_time', environment={'LEADERBOARD_PNL_MAX_ROWS_PER_UPSERT': '1'})
    assert board(world, 'ALL_TIME') == EXPECTED['all_time']
    assert round_trips(done) == trips + 1  # two statements for two addresses


def test_round_trips_do_not_grow_with_addresses(world):
    trips = []
    for n in (2, 80):
        world.clear()
        example(world)
        for i in range(n):
            tick(world, world.subaccount(f'dydx1acc{i:02d}'), at(minutes=2), 510, f'{i}.000000', '1.000000')
        done = run(world, 'weekly')
        trips.append(round_trips(done))
        assert len(board(world, 'SEVEN_DAYS')) == n + 3
    assert trips[0] == trips[1]


def test_a_dry_run_writes_nothing(world):
    example(world)
    done = run(world, 'all_time', arguments=('--dry-run', '--no-lock'))
    assert board(world, 'ALL_TIME') == [] and processed(world, 'ALL_TIME') is None
    assert 'SET v4/leaderboard_pnl_processed/ALL_TIME' in done.stdout + done.stderr


def random_world(w, r):
    people = [f'dydx1{chr(97 + n)}' for n in range(r.randrange(1, 7))]
    accounts = [w.subaccount(p, n) for p in people for n in r.sample((0, 1, 127, 128, 129, 256), r.randrange(1, 5))]
    height = 100
    for a in accounts:
        # heights and times of one account rise together, as the tasks that write them see to
        times = sorted({DAY - datetime.timedelta(milliseconds=r.choice((
            r.randrange(-300000, 86400000), r.randrange(86400000 * 9), r.randrange(86400000 * 400),
            86400000 * r.choice((0, 1, 6, 7, 29, 30, 364, 365)) + r.choice((-1, 0, 1))))) for _ in range(r.randrange(0, 9))} |
                       {DAY + datetime.timedelta(milliseconds=r.randrange(300000)) for _ in range(r.choice((0, 1, 1, 2)))})
        for t in times:
            height += r.randrange(1, 50)
            digits = r.choice((6, 6, 6, 0, 18))
            value = r.randrange(-10 ** r.choice((1, 9, 40)), 10 ** r.choice((1, 9, 40)))
            tick(w, a, iso(t), height, f'{value}' + (f'.{r.randrange(10 ** digits):0{digits}d}' if digits else ''), f'{r.randrange(1000)}.5')


def test_random_data_equals_the_row_by_row_evaluation(world):
    ranked = 0
    for seed in range(15):
        r = random.Random(seed)
        for which, (span, days) in SPANS.items():
            if which == 'all_time' or seed % 4 == list(SPANS).index(which) - 1:
                if which == 'all_time':
                    world.clear()
                    random_world(world, r)
                run(world, which)
                got = board(world, span)
                assert {row[0]: (row[1], row[2]) for row in got} == leaderboard(world, days, DAY.date()), (seed, span)
                assert [row[3] for row in got] == list(range(1, len(got) + 1))
                amounts = [Decimal(row[1]) for row in got]
                assert amounts == sorted(amounts, reverse=True)
                ranked += len(got)
    assert ranked > 40


def test_killed_anywhere_and_by_two_hosts_the_ranks_are_the_same(world, postgres, redis):
    example(world)
    campaign = Campaign(world.deployment, 'pnl', 'create_leaderboard_pnl_weekly', postgres, world.database, redis,
                        now_usec=usec(NOW), settings={'tasks': {'create_leaderboard_pnl_weekly': {'enabled': True}}})
    points = campaign.kill_everywhere()
    assert any('commit' in p for p in points) and any('write_processed' in p for p in points)
    campaign.two_hosts()


@pytest.mark.parametrize('which, settings, points', [
    ('all_time', {}, ['copy_ranked:sent#1', 'commit:before#1', 'commit:sent#1', 'write_processed:before#1']),
    ('daily', {'leaderboard_rows_per_statement': 1}, ['write_ranked:sent#2', 'commit:sent#1']),
    ('monthly', {'leaderboard_delete_unranked': True}, ['delete_unranked:sent#1', 'commit:sent#1']),
    ('yearly', {}, ['commit:before#1', 'commit:sent#1'])])
def test_the_other_spans_killed_around_commits(world, postgres, redis, which, settings, points):
    """One as the replica has it, by COPY; one by statements of one row; one with ranks that are deleted."""
    example(world)
    task = f'create_leaderboard_pnl_{which}'
    if which == 'all_time':
        another_replica(world)
    world.insert('leaderboard_pnl', address='dydx1carol', timeSpan='THIRTY_DAYS', pnl='1', currentEquity='1', rank=1)
    campaign = Campaign(world.deployment, 'pnl', task, postgres, world.database, redis, now_usec=usec(NOW),
                        settings=dict(settings, tasks={task: {'enabled': True}}))
    assert len(campaign.kill_everywhere('(' + '|'.join(points) + ')$')) == len(points)
    assert board(world, SPANS[which][0]) == EXPECTED[which]
    if which == 'all_time':
        campaign.two_hosts()


def test_the_lock_in_the_database_keeps_an_older_ranking_from_replacing_a_newer_one(world):
    """The other's transaction has newer ticks, and the ranks that follow from them."""
    example(world)
    run(world, 'all_time')
    world.redis.flushall()
    bob = subaccount_id('dydx1bob')

    def newer(cursor):
        cursor.execute('INSERT INTO pnl_ticks (id, "subaccountId", equity, "totalPnl", "netTransfers", "createdAt", '
                       '"blockHeight", "blockTime") VALUES (%s, %s, 60, 200, 0, %s, 600, %s)',
                       (tick_id(bob, at(minutes=4)), bob, at(minutes=4), at(minutes=4)))
        cursor.execute('UPDATE leaderboard_pnl SET pnl = 200, "currentEquity" = 60, rank = 1 WHERE address = %s AND "timeSpan" = %s',
                       ('dydx1bob', 'ALL_TIME'))
        cursor.execute('UPDATE leaderboard_pnl SET rank = 2 WHERE address = %s AND "timeSpan" = %s', ('dydx1alice', 'ALL_TIME'))
    with waiting_run(world, 'create_leaderboard_pnl_all_time', 'roundtable leaderboard ALL_TIME', newer, NOW):
        pass
    assert board(world, 'ALL_TIME') == [('dydx1bob', '200', '60', 1), ('dydx1alice', '100.250000', '1210.000000', 2)]
