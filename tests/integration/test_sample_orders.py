"""The sample's orders and the feed's: PostgreSQL and Redis agree, and the family's tasks find work in them."""
import vulcan_imitation as vulcan
from orders_world import TASKS, kafka_mock, world  # noqa: F401
from vulcan_imitation import EXPIRY, UPDATES


def sample(w, *arguments):
    done = w.deployment.run('roundtable-admin', 'sample', '--conf', w.deployment.conf, '--scale', '0.02', '--markets', '5',
                            *arguments)
    assert done.returncode == 0, done.stderr


def stored(w):
    """uuid: RedisOrder of what is in Redis, each of which is checked against its key and its data."""
    found = {}
    for key in w.redis.keys('v4/orders/*'):
        fields = dict(vulcan.decode(vulcan.from_text(w.redis.get(key))))
        uuid, order = fields[1].decode(), dict(vulcan.decode(fields[2]))
        assert key.decode() == f'v4/orders/{uuid}'
        assert vulcan.stored_id(order[1]).uuid == uuid
        assert w.redis.get(f'v4/orderData/{uuid}').decode().startswith(f'{order[5]}_')
        assert w.redis.zscore(EXPIRY, uuid) == order[5]
        found[uuid] = order
    return found


def test_rows_and_caches_agree_and_the_tasks_find_work(world):
    sample(world)
    orders = stored(world)
    rows = {id: (block, side) for id, block, side in world.sql(
        "SELECT id::text, \"goodTilBlock\", side FROM orders WHERE status = 'OPEN' AND \"orderFlags\" = 0")}
    assert len(rows) == 40 and len(orders) == 35 and orders.keys() < rows.keys()
    assert all(rows[u] == (o[5], 'BUY' if o[2] == 1 else 'SELL') for u, o in orders.items())
    height = world.sql('SELECT max("blockHeight") FROM blocks')[0][0]
    stale = sum(block < height for block, _ in rows.values())
    assert 0 < stale < len(rows)
    for task in TASKS:
        world.run(task, now_usec=1 << 51)
    metrics = world.agent.take()
    assert metrics['num_stale_orders_canceled.count|g'] == [stale]
    assert metrics['expiry_message_sent|c'] == [sum(o[5] <= height - 20 for o in orders.values())] != [0]
    assert metrics['expired_order_data_not_found|c'] == [5]
    assert metrics['remove_old_order_updates.num_removed|g'] == [20]
    assert len(world.removals()) == metrics['expiry_message_sent|c'][0]


def test_another_sample_replaces_the_caches(world):
    sample(world)
    first = stored(world)
    sample(world, '--seed', '9', '--replace')
    second = stored(world)
    assert len(second) == 35 and not first.keys() & second.keys()
    assert world.redis.zcard(EXPIRY) == 40


def test_the_feed_places_and_removes(world):
    sample(world)
    before = stored(world)
    (first,), = world.sql('SELECT max("blockHeight") FROM blocks')
    admin = world.deployment.program_path('roundtable-admin')
    feed = world.deployment._start('feed', [admin, 'feed', '--conf', world.deployment.conf, '--interval', '10'], None)

    def is_done():
        gone = before.keys() - {k.decode().removeprefix('v4/orders/') for k in world.redis.keys('v4/orders/*')}
        (cancelled,), = world.sql("""SELECT count(*) FROM orders WHERE status = 'CANCELED' AND "goodTilBlock" > %s + 20""",
                                  (first,))
        return len(gone) > 20 and cancelled > 20 and world.redis.hlen(UPDATES) > 20
    feed.wait_for(is_done, 'orders that come and go')
    assert feed.stop() == 0
    assert 'trying again' not in feed.log()
    orders = stored(world)
    assert len(orders.keys() - before.keys()) > 20
    status = dict(world.sql('SELECT id::text, status FROM orders WHERE id = ANY (%s::uuid[])', (list(orders),)))
    assert status.keys() == orders.keys() and set(status.values()) == {'OPEN'}
    # what the node forgets is left for the tasks
    (last,), = world.sql('SELECT max("blockHeight") FROM blocks')
    late = [u for u, o in orders.items() if o[5] < last - 1]
    assert late and all(u.endswith('0') for u in late)
