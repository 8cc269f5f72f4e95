"""remove_old_order_updates against real Redis. Expected values: orders specification, section 6."""
import random

import servers
import vulcan_imitation as vulcan
from campaign import Campaign
from orders_world import NOW_USEC, finished, kafka_mock, world  # noqa: F401
from vulcan_imitation import UPDATE_IDS, UPDATES, Order

TASK = 'remove_old_order_updates'
OWNER = 'dydx1v0rks90786p093z6m632sdml77facea7e88thm'
CUTOFF = 1767225630000
STORED = bytes.fromhex('0a360a2d0a2b64796478317630726b733930373836703039337a366d36333273646d6c373766616365613765383874686d15015e'
                       'c390c2b2200110c2a0c38bc29801')


def worked_example(w):
    u1, u2, u3 = (Order(OWNER, 3000000001 + i, 0, flags=64 if i else 0) for i in range(3))
    w.vulcan.park(u1, 2500000, CUTOFF)
    w.vulcan.park(u2, 7, CUTOFF + 1)
    w.vulcan.park(u3, 7, 1767225600000)
    assert w.redis.hget(UPDATES, u1.uuid) == STORED
    w.redis.hdel(UPDATES, u3.uuid)
    return u1, u2, u3


def test_worked_example(world):
    assert NOW_USEC == (CUTOFF + 30000) * 1000
    u1, u2, u3 = worked_example(world)
    done = world.run(TASK, environment={'LOG_LEVEL': 'debug'})
    assert world.redis.zrange(UPDATE_IDS, 0, -1, withscores=True) == [(u2.uuid.encode(), CUTOFF + 1)]
    assert world.redis.hkeys(UPDATES) == [u2.uuid.encode()]
    metrics = world.agent.take()
    assert metrics['remove_old_order_updates.num_removed|g'] == [1]
    assert len(metrics['remove_old_order_updates|ms']) == 1
    assert 'Removed old stateful order update' in done.stdout + done.stderr
    assert u3.uuid not in done.stdout + done.stderr


def test_nothing_parked(world):
    world.run(TASK)
    metrics = world.agent.take()
    assert metrics['remove_old_order_updates.num_removed|g'] == [0]


def test_window_is_a_setting(world):
    u1, u2, _ = worked_example(world)
    world.run(TASK, environment={'OLD_CACHED_ORDER_UPDATES_WINDOW_MS': '29999'})
    assert world.redis.zcard(UPDATE_IDS) == world.redis.hlen(UPDATES) == 0
    assert world.agent.take()['remove_old_order_updates.num_removed|g'] == [2]


def test_pages(world):
    for i in range(25):
        world.vulcan.park(Order(OWNER, i + 1, 0, flags=64), i, CUTOFF - i // 7)
    world.vulcan.park(Order(OWNER, 100, 0, flags=64), 1, CUTOFF + 1)
    world.deployment.settings('orders', page_size=10)
    done = world.run(TASK)
    assert world.redis.zcard(UPDATE_IDS) == world.redis.hlen(UPDATES) == 1
    assert world.agent.take()['remove_old_order_updates.num_removed|g'] == [25]
    # a round trip for each full page and for the last; the next run finds one that is not full
    assert round_trips(done) - round_trips(world.run(TASK)) == 2


def round_trips(done):
    return int(done.stdout.split(' round trips')[0].split()[-1])


def test_the_largest_page(world):
    """More than the longest page that a setting allows: Lua passes on only so many values at once."""
    ids = [f'u{i:04}' for i in range(5001)]
    world.redis.zadd(UPDATE_IDS, {id: 1 for id in ids})
    world.redis.hset(UPDATES, mapping={id: vulcan.as_text(Order(OWNER, 1, 0).update(1)) for id in ids})
    world.deployment.settings('orders', page_size=5000)
    world.run(TASK)
    assert world.redis.keys('v4/*') == []
    assert world.agent.take()['remove_old_order_updates.num_removed|g'] == [5001]


def test_a_long_run_gives_way_between_slices(world):
    for i in range(300):
        world.redis.zadd(UPDATE_IDS, {f'u{i}': i})
        world.redis.hset(UPDATES, f'u{i}', vulcan.as_text(Order(OWNER, i, 0).update(i)))
    worker = world.worker(TASK, page_size=1, slice='1 ms')
    worker.wait_for(lambda: finished(worker), 'the end of the run')
    (record,) = finished(worker)
    assert record['result'] == 'ok' and record['updates'] == 300 and record['slices'] > 1, record
    assert worker.stop() == 0
    assert world.redis.keys('v4/*') == []
    assert world.agent.take()['remove_old_order_updates.num_removed|g'] == [300]


def test_one_bad_update_does_not_hide_the_others(world):
    good = Order(OWNER, 1, 0, flags=64)
    world.vulcan.park(good, 5, 1)
    bad = {'raw': good.update(1 << 60), 'garbage': b'garbage', 'cut': vulcan.as_text(good.update(5))[:9]}
    for name, value in bad.items():
        world.redis.zadd(UPDATE_IDS, {name: 1})
        world.redis.hset(UPDATES, name, value)
    done = world.run(TASK)
    assert world.redis.keys('v4/*') == []
    assert world.agent.take()['remove_old_order_updates.num_removed|g'] == [4]
    for name in bad:
        assert f'update of order {name} was left out' in done.stdout + done.stderr
    assert '3 left out' in done.stdout


def test_a_key_of_the_wrong_type_fails_the_run_and_changes_nothing(world):
    worked_example(world)
    world.redis.delete(UPDATES)
    world.redis.set(UPDATES, 'not a hash')
    done = world.run(TASK, expect=1)
    assert 'WRONGTYPE' in done.stdout
    assert 'Error occurred in task to remove old stateful order updates' in done.stdout + done.stderr
    assert world.redis.zcard(UPDATE_IDS) == 3
    assert len(world.agent.take()['remove_old_order_updates|ms']) == 1


def test_a_forgotten_script_is_sent_again(world):
    """As after a start of Redis, between two runs of one worker."""
    world.vulcan.park(Order(OWNER, 1, 0, flags=64), 1, CUTOFF)
    world.worker(TASK, interval='100 ms')
    servers.wait_until(lambda: world.redis.zcard(UPDATE_IDS) == 0, 'the first removal')
    world.redis.script_flush()
    world.vulcan.park(Order(OWNER, 2, 0, flags=64), 1, CUTOFF)
    servers.wait_until(lambda: world.redis.zcard(UPDATE_IDS) == 0, 'the second removal')
    worker = world.deployment.programs[-1]
    assert worker.stop() == 0
    assert [r for r in finished(worker) if r['result'] != 'ok'] == []


def test_a_dry_run_changes_nothing(world):
    worked_example(world)
    done = world.run(TASK, arguments=['--dry-run'])
    assert 'would send to Redis' in done.stdout and 'due 2' in done.stdout
    assert world.redis.zcard(UPDATE_IDS) == 3 and world.redis.hlen(UPDATES) == 2
    assert world.agent.take() == {}


def test_killed_anywhere_and_on_two_hosts(world, postgres, redis):
    worked_example(world)
    for i in range(12):
        world.vulcan.park(Order(OWNER, i + 1, 0, flags=64), i, i)
    campaign = Campaign(world.deployment, 'orders', TASK, postgres, world.database, redis, world.kafka, now_usec=NOW_USEC,
                        settings={'page_size': 5})
    points = campaign.kill_everywhere()
    assert sum('remove_old_order_updates:sent' in p for p in points) == 3, points
    campaign.two_hosts(intervals=4)


def test_vulcan_parks_again_meanwhile(world):
    """What is parked anew behind the cutoff is never dropped, and ids and values stay together."""
    rng = random.Random(20260305)
    orders = [Order(OWNER, i + 1, 0, flags=64) for i in range(60)]
    worker = world.worker(TASK, interval='10 ms', page_size=7)
    worker.wait_for(lambda: finished(worker), 'a first run')
    young = {}
    while sum(r['updates'] > 0 for r in finished(worker)) < 10:
        assert worker.running(), worker.log()[-2000:]
        order = rng.choice(orders)
        if rng.randrange(2):
            world.vulcan.park(order, 1, rng.randrange(1 << 40))  # of 2004 at the latest
            young.pop(order.uuid, None)
        else:
            world.vulcan.park(order, 2, 1 << 42)  # of 2109
            young[order.uuid] = order
        if len(young) > 50:
            young.clear()
            world.redis.delete(UPDATE_IDS, UPDATES)
    before = len(finished(worker))
    worker.wait_for(lambda: len(finished(worker)) > before + 1, 'runs after the last update')
    assert worker.stop() == 0
    assert {m.decode() for m in world.redis.zrange(UPDATE_IDS, 0, -1)} == young.keys()
    assert {k.decode(): v for k, v in world.redis.hgetall(UPDATES).items()} == \
        {u: vulcan.as_text(o.update(2)) for u, o in young.items()}
