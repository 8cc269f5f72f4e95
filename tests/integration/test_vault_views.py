"""refresh-vault-pnl against real PostgreSQL and Redis (PnL specification, section 5)."""
import datetime
import random

import pytest

from campaign import Campaign
from pnl_world import World, iso, usec
from tick_reference import WINDOWS, vault_view

MEGAVAULT = 'dydx18tkxrnrkqc2t0lr3zxr5g6a4hdvqksylxqje4r'


@pytest.fixture
def world(build, postgres, redis, redis_server):
    w = World(build, postgres, redis_server)
    yield w
    w.close()


def times():
    """now() bounds the views and cannot be injected: ticks are of yesterday and the day before."""
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return lambda days, **at: iso(today - datetime.timedelta(days=days) + datetime.timedelta(**at))


def example(w):
    """The example of section 5, a day ago."""
    at = times()
    vault, child, other = w.subaccount('vault'), w.subaccount('vault', 1), w.subaccount('person')
    mega = w.subaccount(MEGAVAULT)
    w.insert('vaults', address='vault', clobPairId=0, status='QUOTING', createdAt=at(9), updatedAt=at(9))
    for n, (account, when) in enumerate([
            (vault, at(1, hours=9, milliseconds=100)), (vault, at(1, hours=9, seconds=30)), (vault, at(1, hours=10)),
            (child, at(1, hours=9)), (other, at(1, hours=9)), (mega, at(1, hours=10)), (mega, at(9))], 1):
        w.tick(account, n, when, equity=str(n))


def view(w, name):
    return {int(e) for e, in w.sql(f'SELECT equity FROM {name}')}


@pytest.mark.parametrize('now, hourly, daily', [
    ('2024-03-01T10:14:59.999Z', {1, 3, 6}, set()),
    ('2024-03-01T10:15:00.000Z', set(), set()),
    ('2024-03-01T10:00:00.000Z', {1, 3, 6}, set()),
    ('2024-03-01T00:05:00.000Z', {1, 3, 6}, {1, 6, 7}),
    ('2024-02-29T00:14:59.999Z', {1, 3, 6}, {1, 6, 7}),
    ('2024-03-01T23:59:59.999Z', set(), set()),
])
def test_views_are_refreshed_within_the_window_only(world, now, hourly, daily):
    example(world)
    done = world.run('refresh-vault-pnl', now, environment={'TZ': 'Asia/Kolkata'})  # half an hour off the hours of UTC
    # what was done is in the record alone
    assert done.stderr == '' and ('hourly_view 1' in done.stdout, 'daily_view 1' in done.stdout) == (bool(hourly), bool(daily))
    assert view(world, 'vaults_hourly_pnl') == hourly
    assert view(world, 'vaults_daily_pnl') == daily
    timings = {n for n in world.metrics() if 'view' in n}
    assert timings == {f'roundtable.refresh-vault-pnl.{v}-view.timing'
                       for v, rows in (('hourly', hourly), ('daily', daily)) if rows}


def test_the_window_is_a_setting(world):
    example(world)
    world.settings(vault_refresh_window='2 h')
    world.run('refresh-vault-pnl', '2024-03-01T01:59:59.999Z')
    assert view(world, 'vaults_hourly_pnl') == {1, 3, 6} and view(world, 'vaults_daily_pnl') == {1, 6, 7}


def test_refreshed_twice_is_the_same(world):
    example(world)
    for _ in range(2):
        world.run('refresh-vault-pnl', '2024-03-01T00:05:00.000Z')
        assert view(world, 'vaults_hourly_pnl') == {1, 3, 6} and view(world, 'vaults_daily_pnl') == {1, 6, 7}


def test_one_view_that_cannot_be_refreshed_does_not_keep_the_other_old(world):
    example(world)
    world.sql('REFRESH MATERIALIZED VIEW vaults_hourly_pnl WITH NO DATA')
    done = world.run('refresh-vault-pnl', '2024-03-01T00:05:00.000Z', expect=1)
    assert view(world, 'vaults_daily_pnl') == {1, 6, 7}
    said = done.stdout + done.stderr
    assert 'Failed to refresh vault pnl views' in said and 'once by hand' in said
    assert 'vaults_hourly_pnl' in said


def test_readers_are_not_blocked(world):
    """CONCURRENTLY takes no lock that a reader waits for; a plain refresh in a transaction would."""
    example(world)
    world.run('refresh-vault-pnl', '2024-03-01T00:05:00.000Z')
    world.sql('BEGIN')
    assert view(world, 'vaults_hourly_pnl') == {1, 3, 6}  # holds ACCESS SHARE until the end
    world.run('refresh-vault-pnl', '2024-03-01T00:05:00.000Z')
    world.sql('COMMIT')


def test_killed_anywhere_and_by_two_hosts_the_views_are_the_same(world, postgres, redis):
    example(world)
    campaign = Campaign(world.deployment, 'pnl', 'refresh-vault-pnl', postgres, world.database, redis,
                        now_usec=usec('2024-03-01T00:05:00.000Z'))
    points = campaign.kill_everywhere()
    assert any('refresh_vaults_daily:sent' in p for p in points), points
    campaign.two_hosts()
    assert view(world, 'vaults_hourly_pnl') == {1, 3, 6} and view(world, 'vaults_daily_pnl') == {1, 6, 7}


def test_a_dry_run_refreshes_nothing(world):
    example(world)
    world.run('refresh-vault-pnl', '2024-03-01T00:05:00.000Z', arguments=('--dry-run', '--no-lock'))
    assert view(world, 'vaults_hourly_pnl') == set()


VIEWS = {'vaults_hourly_pnl': 'hour', 'vaults_daily_pnl': 'day'}


def random_world(w, r, now):
    """Ticks at and around the bounds of hours, days and windows, the latter by a minute, since the time of a refresh is its
    own."""
    accounts = [w.subaccount(address, number) for address in ('vault1', 'vault2', 'vault3', 'person', MEGAVAULT)
                for number in r.sample((0, 1, 128), r.randrange(1, 4))]
    for i in range(r.randrange(1, 4)):
        w.insert('vaults', address=f'vault{i + 1}', clobPairId=i, status=r.choice(('QUOTING', 'CLOSE_ONLY', 'DEACTIVATED')),
                 createdAt=iso(now), updatedAt=iso(now))
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    minute, hour = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)
    for a in accounts:
        times = set()
        for _ in range(r.randrange(0, 25)):
            base = r.choice((day, day - hour * r.randrange(24 * 8), day - 24 * hour * r.randrange(92),
                             *(now - window + sign * minute for window in WINDOWS.values() for sign in (-1, 1))))
            times.add(base + datetime.timedelta(milliseconds=r.choice((-1, 0, 1, r.randrange(7200000)))))
        for height, t in enumerate(sorted(times), r.randrange(1, 1000)):
            w.tick(a, height, iso(t), equity=f'{r.randrange(-10 ** 40, 10 ** 40)}.{r.randrange(10 ** 6):06d}',
                   total=f'{r.randrange(10 ** 9)}.{r.randrange(10 ** 6):06d}', net=r.choice(('0.000000', '-0.500000')))


def test_random_data_equals_the_row_by_row_evaluation(world):
    shown = 0
    for seed in range(12):
        world.clear()
        now = world.sql('SELECT now()')[0][0]
        random_world(world, random.Random(seed), now)
        world.run('refresh-vault-pnl', '2024-03-01T00:05:00.000Z', environment={'TZ': 'Asia/Kathmandu', 'PGTZ': 'Asia/Kathmandu'})
        for name, unit in VIEWS.items():
            got = world.sql(f'SELECT id, "subaccountId", equity::text, "totalPnl"::text, "netTransfers"::text, "createdAt", '
                            f'"blockHeight", "blockTime" FROM {name}')
            expected = vault_view(world, unit, now)
            assert len(got) == len(expected) and set(got) == expected, (seed, name)
            shown += len(got)
    assert shown > 200
