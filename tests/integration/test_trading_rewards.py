"""aggregate_trading_rewards_daily, _weekly and _monthly against real PostgreSQL and Redis (PnL specification, section 6)."""
import contextlib
import datetime
import random
import re
import signal

import pytest

import pnl_reference as reference
from campaign import Campaign
from funding_world import FundingWorld
from test_funding_payments import refused, round_trips, said, waiting_run

PERIODS = ('DAILY', 'WEEKLY', 'MONTHLY')
MIDNIGHT = 'T00:00:00.000Z'


@pytest.fixture(scope='module')
def kept_world(build, postgres, redis_server):
    w = FundingWorld(build, postgres, redis_server, 'rewards_test')
    yield w
    w.close()


@pytest.fixture
def world(kept_world):
    kept_world.clear()
    kept_world.settings()
    kept_world.metrics()
    return kept_world


def task(period):
    return f'aggregate_trading_rewards_{period.lower()}'


def key(period):
    return f'v4/aggregate_trading_rewards_processed/{period}'


def processed(world, period):
    value = world.redis.get(key(period))
    return value and value.decode()


def aggregate(world, period, **arguments):
    return world.run(task(period), **arguments)


ALICE_1 = '3954a9e7-902c-502a-8c09-e8c8805dad48'
ALICE_12 = '8d050d83-e015-5359-8e66-a03eafb3ff92'
BOB_1 = 'd0925216-7fc5-5232-b98f-0f5c7d75cdbb'
CAROL_1 = '00000000-0000-0000-0000-000000000001'  # of another id than ours would have


def example(world):
    """Section 6.4 of the PnL specification."""
    world.wallets('dydx1alice', 'dydx1bob', 'dydx1carol')
    world.blocks((1, '2024-03-04T00:00:00Z'), (2, '2024-03-04T06:00:00Z'), (10, '2024-03-10T23:20:10Z'),
                 (11, '2024-03-10T23:59:59.500Z'), (12, '2024-03-11T00:00:00.900Z'), (13, '2024-03-11T00:05:30Z'))
    world.rewards(('dydx1alice', '1.5', 2, '2024-03-04T06:00:00Z'),
                  ('dydx1alice', '0.000000000000000001', 11, '2024-03-10T23:59:59.500Z'),
                  ('dydx1bob', '2', 11, '2024-03-10T23:59:59.500Z'), ('dydx1alice', '4', 12, '2024-03-11T00:00:00.900Z'))
    for id, address, amount in ((ALICE_1, 'dydx1alice', '1.5'), (CAROL_1, 'dydx1carol', '7')):
        world.insert('trading_reward_aggregations', id=id, address=address, startedAt='2024-03-04T00:00:00Z',
                     startedAtHeight=1, period='WEEKLY', amount=amount)
    world.redis.set(key('WEEKLY'), '2024-03-10T23:30:00.000Z')


WEEK = ('2024-03-04' + MIDNIGHT, 1, '2024-03-11' + MIDNIGHT, 11)
EXAMPLE = [
    ('dydx1alice', *WEEK, '1.500000000000000001', ALICE_1),
    ('dydx1bob', *WEEK, '2.000000000000000000', BOB_1),
    ('dydx1carol', *WEEK, '7.000000000000000000', CAROL_1),
    ('dydx1alice', '2024-03-11' + MIDNIGHT, 12, None, None, '4.000000000000000000', ALICE_12),
]


def test_worked_example_byte_for_byte(world):
    """Our one run does what the original's first two do; a preview shows the first of them alone."""
    example(world)
    done = aggregate(world, 'WEEKLY', arguments=('--dry-run', '--no-lock'))
    assert f'SET {key("WEEKLY")} 2024-03-11T00:00:00.000Z' in said(done) and 'intervals 1' in said(done)
    assert len(world.aggregations('WEEKLY')) == 2 and processed(world, 'WEEKLY') == '2024-03-10T23:30:00.000Z'
    done = aggregate(world, 'WEEKLY')
    assert world.aggregations('WEEKLY') == EXAMPLE and processed(world, 'WEEKLY') == '2024-03-11T00:05:00.000Z'
    assert 'intervals 2, addresses 3' in said(done) and 'dydx1' not in said(done)
    assert 'roundtable.generic_function.timing' in world.metrics()
    # an empty interval changes nothing
    done = aggregate(world, 'WEEKLY')
    assert world.aggregations('WEEKLY') == EXAMPLE and processed(world, 'WEEKLY') == '2024-03-11T00:05:00.000Z'
    assert 'intervals' not in said(done)
    # without the key the current week is taken away and built anew
    world.redis.delete(key('WEEKLY'))
    world.sql('UPDATE trading_reward_aggregations SET amount = 99 WHERE id = %s', (ALICE_12,))
    done = aggregate(world, 'WEEKLY')
    assert world.aggregations('WEEKLY') == EXAMPLE and processed(world, 'WEEKLY') == '2024-03-11T00:05:00.000Z'
    assert 'deleted 1' in said(done)
    # without key and table everything is
    world.redis.delete(key('WEEKLY'))
    world.sql('TRUNCATE trading_reward_aggregations')
    aggregate(world, 'WEEKLY')
    assert world.aggregations('WEEKLY') == [row for row in EXAMPLE if row[0] != 'dydx1carol']
    # the key is ahead of the latest block
    world.redis.set(key('WEEKLY'), '2024-03-11T00:05:10.000Z')
    done = aggregate(world, 'WEEKLY', expect=1)
    assert processed(world, 'WEEKLY') == '2024-03-11T00:05:10.000Z'
    assert 'invalid interval' in said(done) and key('WEEKLY') in said(done)


def test_metrics_name_the_original_functions(world):
    example(world)
    world.metrics()
    aggregate(world, 'WEEKLY')
    lines = []
    with contextlib.suppress(BlockingIOError):
        while True:
            lines.append(world.statsd.recv(65536).decode())
    functions = re.findall(r'^roundtable\.generic_function\.timing:\d+\|ms.*taskName:aggregate-trading-rewards,fnName:(\w+)$',
                           '\n'.join(lines), re.M)
    assert functions == ['getIntervalTradingRewardsByAddress', 'findAllExistingAggregations', 'createChunk', 'updateChunk',
                         'getIntervalTradingRewardsByAddress', 'findAllExistingAggregations', 'createChunk'], lines


@pytest.mark.parametrize('start, latest, end', [
    ('2024-03-05T21:40:07.000Z', '2024-03-06T09:00:30Z', '2024-03-05T22:40:07.000Z'),
    ('2024-03-05T23:17:30.000Z', '2024-03-06T09:00:30Z', '2024-03-06T00:00:00.000Z'),
    ('2024-03-05T06:00:00.000Z', '2024-03-05T06:21:10Z', '2024-03-05T06:21:00.000Z'),
    ('2024-03-05T06:00:00.000Z', '2024-03-05T06:00:41.5Z', None),  # empty
    ('2024-02-29T23:30:00.000Z', '2024-03-01T00:10:00Z', '2024-03-01T00:00:00.000Z'),
])
def test_intervals(world, start, latest, end):
    world.blocks((1, '2024-01-01T00:00:00Z'), (2, latest))
    world.redis.set(key('DAILY'), start)
    done = aggregate(world, 'DAILY', arguments=('--dry-run', '--no-lock'))
    if end:
        assert f'SET {key("DAILY")} {end}' in said(done)
    else:
        assert 'SET' not in said(done) and processed(world, 'DAILY') == start


def test_the_first_interval_of_all(world):
    """It begins at the first reward; within that minute there is nothing to do yet, which the original reports, too."""
    world.wallets('dydx1alice')
    world.blocks((1, '2024-03-04T00:00:00Z'), (2, '2024-03-04T06:00:20Z'))
    world.rewards(('dydx1alice', '1', 2, '2024-03-04T06:00:20Z'))
    done = aggregate(world, 'DAILY', expect=1)
    assert 'invalid interval' in said(done) and processed(world, 'DAILY') == '2024-03-04T06:00:20.000Z'
    world.blocks((3, '2024-03-04T06:01:20Z'))
    aggregate(world, 'DAILY')
    assert [row[0] for row in world.aggregations('DAILY')] == ['dydx1alice']
    assert processed(world, 'DAILY') == '2024-03-04T06:01:00.000Z'


def test_empty_tables_are_named(world):
    done = aggregate(world, 'DAILY', expect=1)
    assert 'No trading rewards in database' in said(done) and processed(world, 'DAILY') is None
    world.wallets('dydx1alice')
    world.rewards(('dydx1alice', '1', 2, '2024-03-04T06:00:20Z'))
    done = aggregate(world, 'DAILY', expect=1)
    assert 'Unable to find latest block' in said(done)


@pytest.mark.parametrize('end, closed', [('2024-05-01T00:00', {'DAILY', 'MONTHLY'}), ('2024-05-06T00:00', {'DAILY', 'WEEKLY'}),
                                         ('2024-05-05T23:59', set()), ('2024-03-01T00:00', {'DAILY', 'MONTHLY'}),
                                         ('2024-02-29T00:00', {'DAILY'}), ('2025-01-01T00:00', {'DAILY', 'MONTHLY'}),
                                         ('2024-12-30T00:00', {'DAILY', 'WEEKLY'})])
def test_ends_of_periods(world, end, closed):
    """A Wednesday, a Monday, a minute before midnight, a leap day and its end, a new year, the first ISO week of a year."""
    at = reference.parse_time(end + ':00Z')
    world.wallets('dydx1alice')
    blocks = [(i, (at - datetime.timedelta(days=40) + datetime.timedelta(days=i)).isoformat()) for i in range(40)]
    world.blocks(*blocks, (50, (at - datetime.timedelta(minutes=10)).isoformat()), (51, (at + datetime.timedelta(seconds=1)).isoformat()))
    world.rewards(('dydx1alice', '1', 50, (at - datetime.timedelta(minutes=10)).isoformat()))
    for period in PERIODS:
        aggregate(world, period)
        ((_, start, _, ended, ended_height, amount, _),) = world.aggregations(period)
        assert start == reference.iso_text(reference.period_start(period, at - datetime.timedelta(minutes=10)))
        assert (ended, ended_height) == ((reference.iso_text(at), 50) if period in closed else (None, None))
        assert amount == '1.000000000000000000'


class RandomRewards:
    """Weeks of blocks at odd times, over the end of a leap February, of a year, and a change of clocks in New York, with gaps,
    exact midnights and rewards at both edges."""

    def __init__(self, seed):
        r = random.Random(seed)
        first = datetime.datetime(*[(2024, 12, 27), (2024, 2, 26), (2024, 3, 5)][seed % 3], tzinfo=datetime.timezone.utc)
        first += datetime.timedelta(milliseconds=r.randrange(86400000))
        times = {first}
        for _ in range(70):
            times.add(first + datetime.timedelta(milliseconds=r.randrange(10 * 86400000)))
        for day in range(1, 10):
            if r.random() < 0.4:
                midnight = (first + datetime.timedelta(days=day)).replace(hour=0, minute=0, second=0, microsecond=0)
                times |= {midnight, midnight - datetime.timedelta(milliseconds=1)}
        self.addresses = [f'dydx1r{i}' for i in range(7)]
        self.blocks = [(5 * i + 3, reference.iso_text(t)) for i, t in enumerate(sorted(times))]
        self.rewards = [(r.choice(self.addresses), self.amount(r), height, time) for height, time in self.blocks
                        for _ in range(r.choice([0, 1, 1, 3]))]
        self.rewards.append(('dydx1r0', '1', *self.blocks[0]))

    @staticmethod
    def amount(r):
        return r.choice(['0.000000000000000001', '0', f'{r.randrange(10 ** 6)}.{r.randrange(10 ** 18):018d}', '-2.5', '12'])

    def store(self, world, until, after=0):
        if after == 0:
            world.wallets(*self.addresses)
        world.blocks(*[b for b in self.blocks if after < b[0] <= until])
        world.rewards(*[r for r in self.rewards if after < r[2] <= until])


@pytest.mark.parametrize('period', PERIODS)
@pytest.mark.parametrize('seed', range(5))
def test_random_data_as_the_row_by_row_evaluation(world, seed, period):
    data = RandomRewards(seed)
    world.settings(rewards_chunk=[0, 1, 3][seed % 3], rewards_max_interval=['1 h', '1 d', '17 min'][seed % 3])
    done, cuts = 0, [data.blocks[20 + 10 * i][0] for i in range(3)] + [data.blocks[-1][0]]
    for cut in cuts:
        data.store(world, until=cut, after=done)
        done = cut
        if seed == 4 and cut == cuts[2]:
            world.redis.delete(key(period))
        aggregate(world, period, environment={'TZ': 'America/New_York'})
        blocks = [b for b in data.blocks if b[0] <= cut]
        rewards = [r for r in data.rewards if r[2] <= cut]
        assert world.aggregations(period) == reference.reward_aggregations(period, blocks, rewards), cut


def test_chunks_are_rows_of_one_transaction(world):
    world.settings(rewards_chunk=2)
    names = [f'dydx1r{i}' for i in range(5)]
    world.wallets(*names)
    world.blocks((1, '2024-03-04T00:00:00Z'), (2, '2024-03-04T00:10:00Z'), (3, '2024-03-04T00:20:00Z'))
    world.rewards(*[(n, '1', 1, '2024-03-04T00:00:00Z') for n in names])
    with refused(world, 'trading_reward_aggregations', "address <> 'dydx1r4'"):
        done = aggregate(world, 'DAILY', expect=1)
        assert 'Failed to update trading rewards aggregation' in said(done)
    assert world.aggregations('DAILY') == []
    aggregate(world, 'DAILY')
    assert [row[0] for row in world.aggregations('DAILY')] == names


def test_chunks_are_statements(world):
    """Of the rows that are new and of those that are there; the sums are those of one statement."""
    names = [f'dydx1r{i}' for i in range(5)]
    world.wallets(*names)
    world.blocks((1, '2024-03-04T00:00:00Z'), (2, '2024-03-04T00:10:00Z'), (3, '2024-03-04T00:20:00Z'))
    world.rewards(*[(n, f'1.{i}', height, f'2024-03-04T00:{minute}:00Z')
                    for i, n in enumerate(names) for height, minute in ((1, '05'), (2, '15'))])
    trips, rows = {}, {}
    for chunk in (0, 2):
        world.sql('TRUNCATE trading_reward_aggregations, persistent_cache')
        world.settings(rewards_chunk=chunk, rewards_max_interval='10 min')
        world.redis.set(key('DAILY'), '2024-03-04T00:00:00.000Z')
        done = aggregate(world, 'DAILY')
        assert 'intervals 2' in said(done)
        trips[chunk], rows[chunk] = round_trips(done), world.aggregations('DAILY')
    assert rows[0] == rows[2] and [row[5][:3] for row in rows[0]] == ['2.0', '2.2', '2.4', '2.6', '2.8']
    assert trips[2] == trips[0] + 2 + 2


@pytest.mark.parametrize('setting, intervals', [('1 d', 1), ('30 min', 4), ('50 min', 3)])
def test_the_longest_interval_is_a_setting(world, setting, intervals):
    world.wallets('dydx1alice')
    world.blocks((1, '2024-03-04T00:00:00Z'), (2, '2024-03-04T02:00:00Z'))
    world.rewards(('dydx1alice', '1', 1, '2024-03-04T00:00:00Z'), ('dydx1alice', '2', 1, '2024-03-04T01:59:59Z'))
    world.settings(rewards_max_interval=setting)
    assert f'intervals {intervals},' in said(aggregate(world, 'DAILY'))
    assert [row[5] for row in world.aggregations('DAILY')] == ['3.000000000000000000']


def test_nothing_is_read_from_a_replica(world):
    """A replica may lag: what is added up there would be too little."""
    kept = world.deployment.common['database']
    world.deployment.settings(None, database=dict(kept, replica_host='/nowhere', read_default_from_replica=True))
    try:
        example(world)
        aggregate(world, 'WEEKLY')
        assert world.aggregations('WEEKLY') == EXAMPLE
    finally:
        world.deployment.settings(None, database=kept)


def test_round_trips_do_not_grow_with_rows(world):
    trips = []
    for n in (2, 80):
        world.clear()
        names = [f'dydx1r{i:02d}' for i in range(n)]
        world.wallets(*names)
        world.blocks((1, '2024-03-04T00:00:00Z'), (2, '2024-03-04T00:10:00Z'))
        world.rewards(*[(name, '1', 1, '2024-03-04T00:00:00Z') for name in names])
        trips.append(round_trips(aggregate(world, 'DAILY')))
        assert len(world.aggregations('DAILY')) == n
    assert trips[0] == trips[1]


def test_an_address_whose_sum_the_column_cannot_hold_is_named_and_the_others_are_done(world):
    world.wallets('dydx1alice', 'dydx1bob', 'dydx1carol')
    world.blocks((1, '2024-03-04T00:00:00Z'), (2, '2024-03-04T02:10:00Z'), (3, '2024-03-04T03:00:00Z'))
    for address, amount in (('dydx1alice', '999999999.999999999999999999'), ('dydx1bob', '999999999'),
                            ('dydx1bob', '1'), ('dydx1carol', '3')):
        world.rewards((address, amount, 1, '2024-03-04T00:00:00Z'))
    world.rewards(('dydx1alice', '0.000000000000000001', 2, '2024-03-04T02:10:00Z'),
                  ('dydx1carol', '4', 2, '2024-03-04T02:10:00Z'))
    done = aggregate(world, 'DAILY')
    assert [(row[0], row[5]) for row in world.aggregations('DAILY')] == [
        ('dydx1alice', '999999999.999999999999999999'), ('dydx1carol', '7.000000000000000000')]
    assert 'address dydx1bob' in said(done) and 'address dydx1alice' in said(done) and 'dydx1carol' not in said(done)


def test_a_crash_between_commit_and_redis_neither_doubles_nor_loses_a_reward(world):
    """The original adds the interval again."""
    example(world)
    aggregate(world, 'WEEKLY', expect=-signal.SIGKILL, environment={
        'ROUNDTABLE_FAILPOINT_KILL': f'{task("WEEKLY")}:redis.write_processed:before#1'})
    assert processed(world, 'WEEKLY') == '2024-03-10T23:30:00.000Z'
    assert world.aggregations('WEEKLY') == EXAMPLE[:3]
    aggregate(world, 'WEEKLY')
    assert world.aggregations('WEEKLY') == EXAMPLE and processed(world, 'WEEKLY') == '2024-03-11T00:05:00.000Z'


def test_a_crash_behind_the_last_interval_leaves_redis_to_the_next_run(world):
    example(world)
    aggregate(world, 'WEEKLY', expect=-signal.SIGKILL, environment={
        'ROUNDTABLE_FAILPOINT_KILL': f'{task("WEEKLY")}:redis.write_processed:before#2'})
    assert world.aggregations('WEEKLY') == EXAMPLE and processed(world, 'WEEKLY') == '2024-03-11T00:00:00.000Z'
    aggregate(world, 'WEEKLY')
    assert world.aggregations('WEEKLY') == EXAMPLE and processed(world, 'WEEKLY') == '2024-03-11T00:05:00.000Z'


def test_what_an_original_did_meanwhile_counts(world):
    """Redis is ahead of the database: the original wrote both its rows and the key."""
    example(world)
    aggregate(world, 'WEEKLY')
    world.blocks((14, '2024-03-11T00:10:30Z'), (15, '2024-03-11T00:20:30Z'))
    world.rewards(('dydx1alice', '8', 14, '2024-03-11T00:10:30Z'), ('dydx1alice', '16', 15, '2024-03-11T00:20:30Z'))
    world.sql('UPDATE trading_reward_aggregations SET amount = amount + 8 WHERE id = %s', (ALICE_12,))
    world.redis.set(key('WEEKLY'), '2024-03-11T00:15:00.000Z')
    world.blocks((16, '2024-03-11T00:21:30Z'))
    aggregate(world, 'WEEKLY')
    assert world.aggregations('WEEKLY')[-1][5] == '28.000000000000000000'


@pytest.mark.parametrize('value', ['garbage', '2024-02-31T00:00:00.000Z', ''])
def test_a_processed_time_that_is_no_time_is_named(world, value):
    example(world)
    world.redis.set(key('WEEKLY'), value)
    done = aggregate(world, 'WEEKLY', expect=1)
    assert key('WEEKLY') in said(done) and 'HINT' in said(done)
    assert len(world.aggregations('WEEKLY')) == 2


def test_a_key_of_another_type_is_named(world):
    example(world)
    world.redis.delete(key('WEEKLY'))
    world.redis.hset(key('WEEKLY'), 'a', 'b')
    done = aggregate(world, 'WEEKLY', expect=1)
    assert key('WEEKLY') in said(done) and 'WRONGTYPE' in said(done)
    assert len(world.aggregations('WEEKLY')) == 2


def test_a_month_without_redis_is_built_in_one_run_of_many_slices(world):
    """The original needs an interval of its loop for each hour."""
    world.settings(slice='1 ms')
    world.wallets('dydx1alice')
    world.blocks((1, '2024-02-01T00:00:00Z'), (2, '2024-02-01T10:00:00Z'), (3, '2024-02-03T12:00:00Z'))
    world.rewards(('dydx1alice', '1', 2, '2024-02-01T10:00:00Z'), ('dydx1alice', '2', 3, '2024-02-03T12:00:00Z'))
    world.blocks((4, '2024-02-04T00:00:30Z'))
    done = aggregate(world, 'MONTHLY')
    assert world.aggregations('MONTHLY')[0][5] == '3.000000000000000000'
    assert processed(world, 'MONTHLY') == '2024-02-04T00:00:00.000Z'
    assert 'intervals 62' in said(done)


def test_the_lock_in_the_database_keeps_another_run_waiting_and_it_sees_what_was_done(world):
    example(world)
    with waiting_run(world, task('WEEKLY')) as (cursor, run):
        # another host has done the first interval and not told Redis
        cursor.execute('UPDATE trading_reward_aggregations SET amount = 1.5 + 0.000000000000000001, "endedAt" = %s, '
                       '"endedAtHeight" = 11 WHERE id = %s', ('2024-03-11T00:00:00Z', ALICE_1))
        cursor.execute('INSERT INTO persistent_cache VALUES (%s, %s)',
                       ('aggregateTradingRewardsProcessed/WEEKLY', '2024-03-11T00:00:00.000Z'))
    assert [(row[0], row[2], row[5]) for row in world.aggregations('WEEKLY')] == [
        ('dydx1alice', 1, '1.500000000000000001'), ('dydx1carol', 1, '7.000000000000000000'),
        ('dydx1alice', 12, '4.000000000000000000')]
    assert 'intervals 1' in run.said and processed(world, 'WEEKLY') == '2024-03-11T00:05:00.000Z'


def test_a_preview_of_a_recovery_changes_nothing(world):
    example(world)
    aggregate(world, 'WEEKLY')
    world.redis.delete(key('WEEKLY'))
    done = aggregate(world, 'WEEKLY', arguments=('--dry-run', '--no-lock', '--pages', '5'))
    assert f'SET {key("WEEKLY")} 2024-03-11T00:00:00.000Z' in said(done)
    assert f'SET {key("WEEKLY")} 2024-03-11T00:05:00.000Z' in said(done)
    assert world.aggregations('WEEKLY') == EXAMPLE and processed(world, 'WEEKLY') is None


def test_killed_at_every_failpoint_and_on_two_hosts(world):
    example(world)
    world.redis.delete(key('WEEKLY'))  # with a recovery before everything else
    world.sql('DELETE FROM trading_reward_aggregations WHERE id = %s', (CAROL_1,))
    world.sql('UPDATE trading_rewards SET "blockTime" = %s, "blockHeight" = 10 WHERE "blockHeight" = 2',
              ('2024-03-10T23:20:10Z',))
    campaign = Campaign(world.deployment, 'pnl', task('WEEKLY'), world.postgres, world.database, world.redis)
    points = campaign.kill_everywhere()
    assert any('postgres.commit:sent' in p for p in points) and any('write_processed:before' in p for p in points), points
    campaign.two_hosts()


@pytest.mark.parametrize('period', ['DAILY', 'MONTHLY'])
def test_the_other_periods_killed_around_commits(world, period):
    """Days that end, and a month that is built anew; one by statements of one row."""
    example(world)
    world.redis.set(key(period), '2024-03-10T23:30:00.000Z')
    if period == 'MONTHLY':
        world.redis.delete(key(period))
        world.sql('DELETE FROM trading_rewards WHERE "blockHeight" = 2')
    campaign = Campaign(world.deployment, 'pnl', task(period), world.postgres, world.database, world.redis,
                        settings={'rewards_chunk': 1 if period == 'DAILY' else 0})
    campaign.kill_everywhere('commit:(before|sent)|write_processed:before' if period == 'MONTHLY' else 'aggregations:sent|commit:sent')
    assert len({row[2] for row in world.aggregations(period)}) == (2 if period == 'DAILY' else 1)
    if period == 'MONTHLY':
        campaign.two_hosts()
