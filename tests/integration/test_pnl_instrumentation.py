"""pnl_instrumentation against real PostgreSQL and Redis (PnL specification, section 4)."""
import datetime
import json
import random
import re

import pytest

from campaign import Campaign
from pnl_world import LATEST, World, iso, lagging_replica, usec
from tick_reference import stale

TASK = 'pnl_instrumentation'
NOW = '2024-03-01T12:00:00.000Z'


@pytest.fixture
def world(build, postgres, redis, redis_server):
    w = World(build, postgres, redis_server)
    w.block(1000, NOW)
    yield w
    w.close()


def gauges(w):
    m = w.metrics()
    return tuple(int(m[f'roundtable.pnl_stale_subaccounts{n}']) for n in ('', '_with_prior_pnl', '_without_prior_pnl'))


def moved(w, name, at='2024-03-01T09:00:00Z', height=500, **more):
    account = w.subaccount(name)
    w.transfer(height, '1', to=account, at=at, **more)
    return account


def record(w):
    """The line about stale accounts of a run in the service."""
    w.redis.set('roundtable.control.epoch', 1)  # or locks are not taken for some seconds
    worker = w.deployment.worker('pnl', environment={'ROUNDTABLE_TEST_NOW_USEC': '1709294400000000'})
    worker.wait_for(lambda: worker.records(taskName=TASK, result='ok'), 'a run')
    found = worker.records(message='Subaccount ids with stale PNL data')
    worker.stop()
    return found


@pytest.mark.parametrize('where', ['redis', 'table'])
def test_worked_example(world, where):
    u1, u2, u3, u4 = (moved(world, n, at) for n, at in (
        ('u1', NOW), ('u2', NOW), ('u3', '2024-03-01T10:00:00.000Z'), ('u4', '2024-03-01T09:59:59.999Z')))
    put = world.cached if where == 'redis' else world.tick
    put(u1, 900, '2024-03-01T10:00:00.000Z')
    put(u2, 900, '2024-03-01T10:00:00.001Z')
    world.cached(world.subaccount('never moved'), 10, '2020-01-01T00:00:00Z')
    done = world.run(TASK, NOW, environment={'TZ': 'Asia/Tokyo'})
    assert gauges(world) == (2, 1, 1)
    assert 'Subaccount ids with stale PNL data' in done.stdout + done.stderr
    world.settings(tasks={t: {'enabled': t == TASK} for t in ('create_pnl_ticks', 'refresh-vault-pnl', TASK)})
    (line,) = record(world)
    assert line['stalePnlSubaccounts'] == [u1] and line['staleTransferSubaccounts'] == [u4]
    assert line['at'] == 'pnl-instrumentation#statPnl' and line['level'] == 'error'


def test_nothing_stale_is_not_logged(world):
    world.cached(moved(world, 'a'), 900, '2024-03-01T11:00:00Z')
    done = world.run(TASK, NOW)
    assert gauges(world) == (0, 0, 0) and 'stale PNL' not in done.stdout + done.stderr


def test_the_later_of_redis_and_table_counts(world):
    for name, cached, tick in (('a', (900, '11:00'), (100, '01:00')), ('b', (100, '01:00'), (900, '11:00')),
                               ('c', (100, '01:00'), (200, '02:00')), ('beyond', (1001, '11:59'), (200, '02:00'))):
        account = moved(world, name)
        world.cached(account, cached[0], f'2024-03-01T{cached[1]}:00Z')
        world.tick(account, tick[0], f'2024-03-01T{tick[1]}:00Z')
    world.run(TASK, NOW)
    assert gauges(world) == (2, 2, 0)


def test_transfers_beyond_the_latest_block_do_not_make_an_account_but_are_its_last(world):
    moved(world, 'not yet', height=1001)
    world.transfer(1001, '1', sender=moved(world, 'moves'), at=NOW)
    world.run(TASK, NOW)
    assert gauges(world) == (0, 0, 0)


def test_any_asset_and_both_sides_count(world):
    a, b = world.subaccount('a'), world.subaccount('b')
    world.transfer(500, '1', sender=a, to=b, asset='1', at='2024-03-01T09:00:00Z')
    world.run(TASK, NOW)
    assert gauges(world) == (2, 0, 2)


def test_spoilt_entries_are_named_and_left_out(world):
    a, b = moved(world, 'a'), moved(world, 'b', NOW)
    world.redis.hset(LATEST, a, 'x')
    world.redis.hset(LATEST, b, json.dumps({'blockHeight': '900'}))
    done = world.run(TASK, NOW)
    assert gauges(world) == (1, 0, 1)
    assert a in done.stdout + done.stderr and b in done.stdout + done.stderr
    world.redis.delete(LATEST)
    world.redis.set(LATEST, 'x')
    assert LATEST in world.run(TASK, NOW, expect=1).stdout


def test_the_replica_is_asked(world, build):
    """A count may be a little old; the primary is spared a walk over all transfers."""
    moved(world, 'a')
    with lagging_replica(world, build) as replica:
        replica('INSERT INTO blocks VALUES (1000, %s)', (NOW,))
        world.run(TASK, NOW)
        assert gauges(world) == (0, 0, 0)
    world.run(TASK, NOW)
    assert gauges(world) == (1, 0, 1)


def test_no_block_and_no_account(world):
    world.run(TASK, NOW)
    assert gauges(world) == (0, 0, 0)
    world.sql('TRUNCATE blocks CASCADE')
    done = world.run(TASK, NOW, expect=1)
    assert 'Unable to find latest block' in done.stdout + done.stderr


def test_killed_anywhere_and_by_two_hosts_nothing_is_changed(world, postgres, redis):
    world.cached(moved(world, 'a'), 900, '2024-03-01T09:00:00Z')
    before = world.hash()
    campaign = Campaign(world.deployment, 'pnl', TASK, postgres, world.database, redis, now_usec=usec(NOW))
    assert any('read_latest_ticks' in p for p in campaign.kill_everywhere())
    campaign.two_hosts()
    assert world.hash() == before and world.ticks() == []


def test_more_accounts_than_a_page_and_than_are_named(world):
    n = 12345
    world.sql('''INSERT INTO subaccounts SELECT md5('s' || i)::uuid, 'a' || i, 0, now(), 1 FROM generate_series(1, %s) AS i''', (n,))
    world.sql('''INSERT INTO transfers (id, "senderSubaccountId", "recipientWalletAddress", "assetId", size, "eventId",
                     "transactionHash", "createdAt", "createdAtHeight")
                 SELECT md5('t' || i)::uuid, md5('s' || i)::uuid, 'w', '0', 1, '', '', '2024-01-01', 5 FROM generate_series(1, %s) AS i''', (n,))
    pipeline = world.redis.pipeline()
    for i, in world.sql("SELECT id FROM subaccounts WHERE address LIKE '%7'"):
        pipeline.hset(LATEST, str(i), json.dumps({'blockHeight': '5', 'blockTime': '2024-03-01T11:00:00Z'}))
    fresh = len(pipeline.execute())
    world.run(TASK, NOW)
    assert gauges(world) == (n - fresh, 0, n - fresh)
    world.settings(tasks={t: {'enabled': t == TASK} for t in ('create_pnl_ticks', 'refresh-vault-pnl', TASK)})
    (line,) = record(world)
    assert len(line['staleTransferSubaccounts']) == 100 and line['staleTransferCount'] == n - fresh
    assert all(re.fullmatch('[0-9a-f-]{36}', i) for i in line['staleTransferSubaccounts'])


def random_world(w, r, now):
    """Accounts with and without ticks and transfers, at and around two hours ago."""
    w.block(r.randrange(1001, 2000), iso(now))
    (height,) = w.sql('SELECT max("blockHeight") FROM blocks')[0]

    def some_time():
        back = r.choice((2 * 3600000, r.randrange(6 * 3600000)))
        return now - datetime.timedelta(milliseconds=back + r.choice((-1, 0, 1)))
    accounts = [w.subaccount(f'dydx1{i}') for i in range(r.randrange(1, 15))]
    for _ in range(r.randrange(0, 3 * len(accounts))):
        w.transfer(r.randrange(1, height + 20), '1', sender=r.choice([None] + accounts), to=r.choice([None] + accounts),
                   asset=r.choice('01'), at=iso(some_time()))
    cached = {}
    for a in accounts:
        times = sorted({some_time() for _ in range(r.choice((0, 0, 1, 2)))})
        for h, at in zip(sorted(r.sample(range(1, height), len(times))), times):
            w.tick(a, h, iso(at))
        if r.random() < 0.5:
            cached[a] = r.randrange(1, height + 5), some_time()
            w.cached(a, cached[a][0], iso(cached[a][1]))
    return cached


def test_random_data_equals_the_row_by_row_evaluation(world):
    now = datetime.datetime(2024, 3, 1, 12, tzinfo=datetime.timezone.utc)
    world.settings(tasks={t: {'enabled': t == TASK} for t in ('create_pnl_ticks', 'refresh-vault-pnl', TASK)})
    with_tick = without = 0
    for seed in range(25):
        world.clear()
        cached = random_world(world, random.Random(seed), now)
        ticks, transfers = stale(world, cached, now)
        world.run(TASK, NOW, environment={'TZ': 'America/St_Johns'})
        assert gauges(world) == (len(ticks) + len(transfers), len(ticks), len(transfers)), seed
        if seed % 5 == 0:  # who it was
            lines = record(world)
            assert len(lines) == (1 if ticks or transfers else 0), seed
            for line in lines:
                assert set(line['stalePnlSubaccounts']) == ticks and set(line['staleTransferSubaccounts']) == transfers, seed
            world.metrics()
        with_tick += len(ticks)
        without += len(transfers)
    assert with_tick > 40 and without > 4
