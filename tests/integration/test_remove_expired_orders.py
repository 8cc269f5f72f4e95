"""remove_expired_orders against real PostgreSQL and Redis and a Kafka mock whose records kcat reads. Expected values:
orders specification, sections 2.5, 3.1 and 4."""
import contextlib
import os
import random
import re
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'fault'))

import vulcan_imitation as vulcan  # noqa: E402
from campaign import Campaign, last_value_of_each_key  # noqa: E402
from orders_world import TOPIC, finished, kafka_mock, world  # noqa: E402, F401
from tcp_proxy import TcpProxy  # noqa: E402
from vulcan_imitation import EXPIRY, Order  # noqa: E402

TASK = 'remove_expired_orders'
OWNER = 'dydx1v0rks90786p093z6m632sdml77facea7e88thm'
OTHER = 'dydx1lj4tlfc3jmtsa99gpwvunez37qyey64eyk2zdn'
HEIGHT, CUTOFF = 9123476, 9123456
KEY = bytes.fromhex('8715660cb1a6cb7354a4e25c41a1948ee09136e9ea2b3eb215ee7391272cd91a')
MESSAGE = bytes.fromhex('123c0a360a2d0a2b64796478317630726b733930373836703039337a366d36333273646d6c37376661636561376538'
                        '3874686d15015ed0b22001100a1802')
STORED = bytes.fromhex(
    '0a2431366664343831372d643133652d356264312d393735612d653534376538653363396563124d0a360a2d0a2b64796478317630726b73393037'
    '3836703039337a366d36333273646d6c373766616365613765383874686d15015ec390c2b22001100218c280c3a4c297c3901220c280c3bec298'
    'c3860b28c280c3adc2ac0438021a074554482d55534420012a0433313030320135')
DEGENERATE_KEY = bytes.fromhex('b2896f7929b41394cc5b81d2ceea8d8f733cb6f77360f8b7c001ac02d5123370')
DEGENERATE_MESSAGE = bytes.fromhex('12350a2f0a2d0a2b64796478316c6a34746c6663336a6d747361393967707776756e657a333771796579363465'
                                   '796b327a646e100a1802')


@pytest.fixture(autouse=True)
def blocks(world):
    world.block(HEIGHT - 1)
    world.block(HEIGHT)


def example_order():
    return Order(OWNER, 3000000001, CUTOFF, quantums=5000000000, subticks=3100000000)


def worked_example(w):
    """Section 4's example; returns the uuids of A, B, C' and D."""
    a = example_order()
    b, c, d = Order(OWNER, 2, CUTOFF + 1), Order(OWNER, 3, 9123000), Order(OWNER, 4, 9120000)
    for order in (a, b, c, d):
        assert w.vulcan.place(order) == [1, 0]
    w.vulcan.update(a, 2500000)
    assert w.redis.get(f'v4/orders/{a.uuid}') == STORED and a.uuid == '16fd4817-d13e-5bd1-975a-e547e8e3c9ec'
    assert w.redis.get(f'v4/orderData/{a.uuid}') == b'9123456_2500000_true'
    # an order key that is gone, and an order that was replaced while its member kept the old block
    w.redis.delete(f'v4/orders/{c.uuid}')
    w.vulcan.place(Order(OWNER, 4, 9123480))
    w.redis.zadd(EXPIRY, {d.uuid: 9120000})
    return a.uuid, b.uuid, c.uuid, d.uuid


def content(w):
    """Everything in Redis but the locks."""
    return {k: w.redis.dump(k) for k in w.redis.keys() if not k.startswith(b'roundtable.')}


def test_worked_example_byte_for_byte(world):
    a, b, c, d = worked_example(world)
    before = content(world)
    world.run(TASK)
    (record,) = world.removals()
    assert (record.key, record.value, record.partition) == (KEY, MESSAGE, 169)
    metrics = world.agent.take()
    assert metrics['expiry_message_sent|c'] == [1]
    assert metrics['expired_order_data_not_found|c'] == [1]
    assert metrics['indexer_expired_order_has_newer_expiry|c'] == [1]
    assert 'fully_filled_orders_expired_by_roundtable|c' not in metrics
    assert metrics['kafka_batch_size|g'] == [94] and len(metrics['kafka_batch_send_time|ms']) == 1
    assert len(metrics['remove_expired_orders.timing|ms']) == 1
    # nothing has changed but for the member without an order
    after = content(world)
    assert before.pop(EXPIRY.encode()) != after.pop(EXPIRY.encode()) and before == after
    assert set(world.redis.zrange(EXPIRY, 0, -1)) == {a.encode(), b.encode(), d.encode()}


def test_degenerate_order_fully_filled_and_the_imitation_agree(world):
    degenerate = Order(OTHER, 0, 0, clob_pair=0, quantums=7)
    filled = Order(OTHER, 77, 5, subaccount=128, clob_pair=0)
    for order in (degenerate, filled):
        world.vulcan.place(order)
        world.vulcan.update(order, 1 << 63)
    world.run(TASK)
    records = {r.key: r for r in world.removals()}
    assert records[DEGENERATE_KEY].value == DEGENERATE_MESSAGE == degenerate.removal
    assert records[DEGENERATE_KEY].partition == 196
    assert records[filled.key].value == filled.removal and len(records) == 2
    assert world.agent.take()['fully_filled_orders_expired_by_roundtable|c'] == [2]


def test_no_headers_and_producer_time(world):
    world.vulcan.place(example_order())
    before = time.time_ns() // 1000000
    world.run(TASK)
    after = time.time_ns() // 1000000
    shown = subprocess.run(['kcat', '-C', '-q', '-e', '-b', world.kafka.bootstrap, '-t', TOPIC, '-p', '169', '-o', 'beginning',
                            '-f', '%h|%T\n'], capture_output=True, text=True, timeout=60, check=True).stdout
    headers, created = shown.splitlines()[-1].split('|')
    assert headers == '' and before <= int(created) <= after


def test_the_same_order_is_sent_again_until_vulcan_has_read_it(world):
    order = example_order()
    world.vulcan.place(order)
    world.run(TASK)
    world.run(TASK)
    records = world.removals()
    assert [r.value for r in records] == [MESSAGE, MESSAGE]
    assert [world.vulcan.receive(r.value, HEIGHT) for r in records] == ['removed', 'gone']
    world.run(TASK)
    assert len(world.removals()) == 2
    # Vulcan has removed everything
    assert content(world) == {}


def test_bad_entries_are_counted_named_and_skipped(world):
    """Whatever is wrong with one order, the others are sent; each is named with what is wrong with it."""
    good = example_order()
    world.vulcan.place(good)
    order = Order(OWNER, 9, 1)
    wrong = {  # name: (order, data, what is said)
        'raw': (good.redis_order, '1_0_false', 'is not UTF-8'),
        'euro': ('\u20ac'.encode(), '1_0_false', 'is not UTF-8'),
        'garbage': (b'garbage', '1_0_false', 'not a protocol buffer'),
        'cut': (vulcan.as_text(good.redis_order)[:60], '1_0_false', 'not a protocol buffer'),
        'empty': (b'', '1_0_false', 'has no order'),
        'no-id': (vulcan.length_delimited(2, vulcan.number(2, 1) + vulcan.number(5, 1)), '1_0_false', 'has no id'),
        'no-subaccount': (vulcan.length_delimited(2, vulcan.length_delimited(1, vulcan.fixed32(2, 7)) + vulcan.number(5, 1)),
                          '1_0_false', 'no subaccount'),
        'no-block': (vulcan.as_text(vulcan.length_delimited(2, vulcan.length_delimited(1, order.id))), '1_0_false',
                     'no last block'),
        'no-filled': (vulcan.as_text(order.redis_order), '1', 'no filled quantums'),
        'empty-filled': (vulcan.as_text(order.redis_order), '1__true', 'no filled quantums'),
        'no-data': (vulcan.as_text(order.redis_order), None, 'no order data'),
        'hash': (None, None, 'not of type string'),
        'data-is-hash': (vulcan.as_text(order.redis_order), None, 'no order data, or not as a string'),
    }
    for name, (value, data, _) in wrong.items():
        if value is not None:
            world.redis.set(f'v4/orders/{name}', value)
        if data is not None:
            world.redis.set(f'v4/orderData/{name}', data)
        world.redis.zadd(EXPIRY, {name: 1})
    world.redis.hset('v4/orders/hash', 'a', 'b')  # a key that exists is no orphan, whatever it is
    world.redis.hset('v4/orderData/data-is-hash', 'a', 'b')
    before = content(world)
    done = world.run(TASK)
    assert [r.value for r in world.removals()] == [MESSAGE]
    said = [line for line in (done.stdout + done.stderr).splitlines() if 'was left out' in line]
    for name, (_, _, what) in wrong.items():
        assert any(f'order {name} ' in line and what in line for line in said), (name, said)
    assert len(said) == len(wrong) and f'{len(wrong)} left out' in done.stdout
    assert content(world) == before
    metrics = world.agent.take()
    assert metrics['expiry_message_sent|c'] == [1] and metrics['expired_order_data_not_found|c'] == [3]


def test_members_of_any_bytes(world):
    """Positions between pages survive members that no Vulcan would write."""
    members = [b'', b'\0', b'a\0b', b'a', b'\xff\xfe', b'~' * 300, 'Gr\u00f6\u00dfe'.encode()]
    for i, member in enumerate(members):
        world.redis.zadd(EXPIRY, {member: -1.5 if i % 2 else 3})
    world.redis.zadd(EXPIRY, {'infinitely old': '-inf', 'infinitely young': '+inf'})
    world.deployment.settings('orders', page_size=1)
    world.run(TASK)
    assert world.redis.zrange(EXPIRY, 0, -1) == [b'infinitely young']
    assert world.agent.take()['expired_order_data_not_found|c'] == [len(members) + 1]


@pytest.mark.parametrize('size', [1, 3, 7, 100])
def test_pages_have_every_member_once(world, size):
    """Many members of equal score, over page borders."""
    orders = [Order(OWNER, i + 1, 100 + i // 5) for i in range(21)]
    for order in orders:
        world.vulcan.place(order)
    world.vulcan.place(Order(OWNER, 1000, CUTOFF + 1))
    world.deployment.settings('orders', page_size=size)
    done = world.run(TASK)
    assert sorted(r.value for r in world.removals()) == sorted(o.removal for o in orders)
    # the first page, then one round trip for each that is not empty; the lock and the height apart
    trips = int(done.stdout.split(' round trips')[0].split()[-1])
    world.redis.flushall()
    done = world.run(TASK)
    assert trips - int(done.stdout.split(' round trips')[0].split()[-1]) == -(-21 // size)


def test_memory_does_not_grow_with_the_members_of_the_set(world):
    """Of ten members one is to be sent, four were replaced and five are orphans. Enough of them for many pages, and for
    many batches, in either case."""
    world.deployment.settings(None, kafka={'brokers': world.kafka.bootstrap, 'max_batch_size': '40000'})
    versions = [vulcan.as_text(Order(OWNER, 1, block).redis_order) for block in (100, CUTOFF + 1)]
    fill = '''for i = 1, tonumber(ARGV[1]) do
                local id = string.format('%036d', i)
                redis.call('ZADD', KEYS[1], 1 + i % 7, id)
                if i % 10 < 5 then
                  redis.call('SET', 'v4/orders/' .. id, ARGV[i % 10 == 0 and 2 or 3])
                  redis.call('SET', 'v4/orderData/' .. id, '100_0_false')
                end
              end'''
    peaks = {}
    for n in (10000, 100000):
        world.redis.flushall()
        world.redis.eval(fill, 1, EXPIRY, n, *versions)
        peaks[n] = world.deployment.peak_of(TASK)
        assert world.redis.zcard(EXPIRY) == n // 2
        metrics = world.agent.take()
        assert sum(metrics['expiry_message_sent|c']) == n // 10 and len(metrics['kafka_batch_size|g']) > n // 5000
        assert metrics['indexer_expired_order_has_newer_expiry|c'] == [4 * n // 10]
    assert peaks[100000] < 1.1 * peaks[10000], peaks
    world.kafka.kill()  # its records would be in the way of the tests behind this one


def test_batches_are_bounded_and_span_pages(world):
    """94 bytes a message: with room for 10 of them, 25 make three batches."""
    orders = [Order(OWNER, 3000000001 + i, 100) for i in range(25)]
    for order in orders:
        world.vulcan.place(order)
    world.deployment.settings('orders', page_size=4)
    world.deployment.settings(None, kafka={'brokers': world.kafka.bootstrap, 'max_batch_size': '1033'})
    world.run(TASK)
    assert sorted(r.value for r in world.removals()) == sorted(o.removal for o in orders)
    metrics = world.agent.take()
    assert metrics['kafka_batch_size|g'] == [940, 940, 470]
    assert metrics['expiry_message_sent|c'] == [25]


def test_nothing_expired(world):
    world.vulcan.place(Order(OWNER, 1, CUTOFF + 1))
    world.run(TASK)
    assert world.removals() == []
    metrics = world.agent.take()
    assert metrics.pop('kafka_batch_size|g') == [0]
    assert set(metrics) == {'kafka_batch_send_time|ms', 'remove_expired_orders.timing|ms'}


def test_delay_is_a_setting_and_the_cutoff_may_be_negative(world):
    world.vulcan.place(Order(OWNER, 1, HEIGHT))
    world.vulcan.place(Order(OWNER, 2, 0))
    world.run(TASK, environment={'BLOCKS_TO_DELAY_EXPIRY_BEFORE_SENDING_REMOVES': str(HEIGHT + 1)})
    assert world.removals() == []
    world.run(TASK, environment={'BLOCKS_TO_DELAY_EXPIRY_BEFORE_SENDING_REMOVES': '0'})
    assert len(world.removals()) == 2


def test_without_a_block_it_fails_without_its_timing(world):
    world.sql('TRUNCATE blocks CASCADE')
    world.vulcan.place(example_order())
    done = world.run(TASK, expect=1)
    assert 'table blocks is empty' in done.stdout
    assert world.removals() == [] and world.agent.take() == {}


def test_a_failed_produce_is_a_failed_run_and_the_next_one_sends(world):
    order = example_order()
    world.vulcan.place(order)
    bootstrap = world.kafka.bootstrap
    world.kafka.kill()
    world.deployment.settings(None, kafka={'brokers': bootstrap, 'connection_timeout': '1 s'})
    world.deployment.settings('orders', tasks={TASK: {'max_run': '6 s'}})
    done = world.run(TASK, expect=1)
    assert 'Error occurred in task to remove expired orders' in done.stdout + done.stderr
    assert 'to-vulcan' in done.stdout + done.stderr
    metrics = world.agent.take()
    assert 'expiry_message_sent|c' not in metrics  # only what was acknowledged counts
    assert len(metrics['remove_expired_orders.timing|ms']) == 1
    world.restart_kafka()
    world.run(TASK)
    assert [r.value for r in world.removals()] == [MESSAGE]
    assert world.agent.take()['expiry_message_sent|c'] == [1]


def test_a_key_of_the_wrong_type_fails_the_run(world):
    world.redis.set(EXPIRY, 'not a set')
    done = world.run(TASK, expect=1)
    assert 'WRONGTYPE' in done.stdout
    assert 'Error occurred in task to remove expired orders' in done.stdout + done.stderr


def test_a_redis_that_refuses_writes_does_not_keep_removals_back(world):
    worked_example(world)
    for i in range(5):
        world.redis.zadd(EXPIRY, {f'orphan {i}': i})
    world.deployment.settings('orders', page_size=2)
    world.redis.config_set('min-replicas-to-write', 1)
    try:
        done = world.run(TASK)
    finally:
        world.redis.config_set('min-replicas-to-write', 0)
    assert [r.value for r in world.removals()] == [MESSAGE]
    # said once, not for each page
    assert (done.stdout + done.stderr).count('without an order was left out') == 1 and 'NOREPLICAS' in done.stdout + done.stderr
    assert world.agent.take()['expired_order_data_not_found|c'] == [6]
    world.run(TASK)
    assert world.redis.zcard(EXPIRY) == 3


@contextlib.contextmanager
def redis_that_drops_the_second_page(world):
    """Its values are so many bytes that Redis closes the connection."""
    world.vulcan.place(Order(OWNER, 1, 1))
    world.vulcan.place(Order(OWNER, 2, 2))
    world.deployment.settings('orders', page_size=1)
    world.redis.set(f'v4/orderData/{Order(OWNER, 2, 2).uuid}', b'x' * 5000000)
    world.redis.config_set('client-output-buffer-limit', 'normal 1000000 0 0')
    try:
        yield
    finally:
        world.redis.config_set('client-output-buffer-limit', 'normal 0 0 0')


def test_what_earlier_pages_gave_is_sent_when_redis_fails(world):
    with redis_that_drops_the_second_page(world):
        done = world.run(TASK, expect=1)
    assert [r.value for r in world.removals()] == [Order(OWNER, 1, 1).removal]
    assert 'redis' in done.stdout and world.agent.take()['expiry_message_sent|c'] == [1]


def test_redis_and_kafka_that_fail_are_both_told_of(world):
    world.kafka.kill()
    world.deployment.settings(None, kafka={'brokers': world.kafka.bootstrap, 'connection_timeout': '1 s',
                                           'request_timeout': '1 s'})
    with redis_that_drops_the_second_page(world):
        done = world.run(TASK, expect=1)
    said = done.stdout + done.stderr
    assert 'redis' in done.stdout and 'Removals of earlier pages were not sent: ' in said and 'to-vulcan' in said
    assert 'expiry_message_sent|c' not in world.agent.take()
    world.restart_kafka()
    world.redis.delete(f'v4/orderData/{Order(OWNER, 2, 2).uuid}')
    world.run(TASK)
    assert [r.value for r in world.removals()] == [Order(OWNER, 1, 1).removal]


def test_without_a_replica_the_primary_answers(world):
    world.vulcan.place(example_order())
    world.run(TASK, environment={'IS_USING_DB_READONLY': 'false'})
    assert [r.value for r in world.removals()] == [MESSAGE]


def test_lines_for_each_order_and_batch_are_said_at_debug(world):
    worked_example(world)
    lines = ('Order was replaced by one with a later expiry', 'Order or its data was not found', 'Produced kafka batch')
    done = world.run(TASK)
    assert not [line for line in lines if line in done.stdout + done.stderr]
    world.vulcan.place(Order(OWNER, 5, 1))
    world.redis.delete(f'v4/orders/{Order(OWNER, 5, 1).uuid}')
    done = world.run(TASK, environment={'LOG_LEVEL': 'debug'})
    assert [line for line in lines if line in done.stdout + done.stderr] == list(lines)


def test_a_dry_run_prints_and_sends_nothing(world):
    worked_example(world)
    world.vulcan.place(Order(OWNER, 0xffffffff, 1))
    before = content(world)
    done = world.run(TASK, arguments=['--dry-run'])
    # bytes that are no text do not reach a terminal
    assert f'would publish to to-vulcan: \\x12<\\x0a6\\x0a-\\x0a+{OWNER}\\x15\\xff\\xff\\xff\\xff' in done.stdout
    assert 'would send to Redis' in done.stdout
    assert content(world) == before and world.removals() == [] and world.agent.take() == {}


def test_a_long_run_gives_way_and_goes_on_where_it_stopped(world):
    orders = [Order(OWNER, i + 1, 100) for i in range(300)]
    for order in orders:
        world.vulcan.place(order)
    worker = world.worker(TASK, page_size=1, slice='1 ms')
    worker.wait_for(lambda: finished(worker), 'the end of the run')
    (record,) = finished(worker)
    assert record['result'] == 'ok' and record['messages'] == 300 and record['slices'] > 1, record
    assert worker.stop() == 0
    assert sorted(r.value for r in world.removals()) == sorted(o.removal for o in orders)
    assert sum(world.agent.take()['expiry_message_sent|c']) == 300


def test_killed_anywhere_and_on_two_hosts(world, postgres, redis):
    """Vulcan reads after the recovery: whatever was decided has been sent, and what it has then is the same."""
    worked_example(world)
    for i in range(6):
        world.vulcan.place(Order(OWNER, 100 + i, 50))
    campaign = Campaign(world.deployment, 'orders', TASK, postgres, world.database, redis, world.kafka,
                        settings={'page_size': 3}, topics={TOPIC: last_value_of_each_key})
    points = campaign.kill_everywhere()
    for part in ('redis.expiry_page', 'redis.expired_orders', 'redis.remove_expiry_orphans', 'kafka.to-vulcan',
                 'postgres.read_height'):
        assert any(part in p for p in points), (part, points)
    campaign.two_hosts(intervals=4)


def subject(record):
    """The order that a removal is about, with nothing but its id."""
    return vulcan.stored_id(dict(vulcan.decode(dict(vulcan.decode(record.value))[2]))[1])


def stored(w):
    return {k.decode().removeprefix('v4/orders/') for k in w.redis.keys('v4/orders/*')}


@pytest.fixture
def proxy(redis_server):
    with TcpProxy(redis_server.socket) as p:
        yield p


class Race:
    """Before members of orphans are removed, Vulcan is quicker and places an order of one of them: `place` is told which.
    To be called with what the worker sends to Redis."""

    def __init__(self, world, place):
        self.world, self.place = world, place
        self.here = threading.local()  # of one connection
        self.runs, self.lost = 0, []

    def __call__(self, data):
        uuid, self.here.uuid = getattr(self.here, 'uuid', None), None
        if uuid:  # what was sent before has been answered
            order, score = self.world.redis.pipeline().exists(f'v4/orders/{uuid}').zscore(EXPIRY, uuid).execute()
            if order and score is None:
                self.lost.append(uuid)
        orphans = re.findall(rb'v4/orders/([-0-9a-f]{36})', data)
        if re.match(rb'\*\d+\r\n\$(7\r\nEVALSHA|4\r\nEVAL)\r\n', data) and orphans:
            self.here.uuid = random.choice(orphans).decode()
            self.place(self.here.uuid)
            self.runs += 1


def test_vulcan_places_replaces_updates_and_removes_meanwhile(world, proxy):
    """However the runs meet Vulcan: each message is right when it is sent, no live order is removed by any, and none loses
    its place in the set."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    lock = threading.Lock()
    height = 1000
    world.sql('TRUNCATE blocks CASCADE')
    world.block(height)
    placed = {}  # uuid: the last block of each version that Vulcan took
    read = 0     # records that Vulcan has read

    def any_order(block=0):
        client_id = 1 + rng.randrange(150)
        return Order(OWNER if client_id % 2 else OTHER, client_id, block)

    def place(order):
        with lock:
            if world.vulcan.place(order) != [0, 0]:
                placed.setdefault(order.uuid, []).append(order.good_til_block)

    owners = {Order(owner, i, 0).uuid: (owner, i) for owner in (OWNER, OTHER) for i in range(1, 151)}
    race = Race(world, lambda uuid: place(Order(*owners[uuid], height + 40)))
    proxy.on_request = race
    world.deployment.settings(None, redis={'url': f'redis://127.0.0.1:{proxy.port}'})
    worker = world.worker(TASK, interval='20 ms', page_size=7)
    worker.wait_for(lambda: finished(worker), 'a first run')
    while height < 1400 or sum(r.get('messages', 0) > 0 for r in finished(worker)) < 10:
        assert height < 50000 and worker.running(), worker.log()[-2000:]
        height += 1
        world.block(height)
        for _ in range(3):
            kind = rng.randrange(10)
            if kind < 5:
                place(any_order(height + rng.randrange(-30, 40)))
            elif kind < 7:
                world.vulcan.update(any_order(), rng.randrange(200))
            elif kind < 8:
                world.vulcan.remove(any_order())
            else:  # an orphan, and sometimes an order placed right behind it
                orphan = any_order(height + rng.randrange(40))
                world.redis.delete(f'v4/orders/{orphan.uuid}')
                if kind == 9:
                    place(orphan)
        if height % 150 == 0:
            records = world.removals()
            for r in records[read:]:
                world.vulcan.receive(r.value, height)
            read = len(records)
    before = len(finished(worker))
    worker.wait_for(lambda: len(finished(worker)) > before + 1, 'runs after the last block')
    assert worker.stop() == 0
    assert race.runs > 5 and race.lost == [], (seed, race.runs)
    records = finished(worker)
    assert [r for r in records if r['result'] == 'failed' or r['itemsFailed']] == []
    assert sum(r.get('orphans_removed', 0) for r in records) > 0
    # every message is the one right message about an order that had expired
    cutoff, sent = height - 20, world.removals()
    for r in sent:
        order = subject(r)
        assert r.value == order.removal and r.key == order.key, seed
        assert min(placed[order.uuid]) <= cutoff, (seed, order.uuid)
    # no live order has lost its place in the set, nothing that is gone has kept one, and all that expired was sent
    members = {m.decode(): score for m, score in world.redis.zrange(EXPIRY, 0, -1, withscores=True)}
    live = {u for u in stored(world) if placed[u][-1] > cutoff}
    expired = stored(world) - live
    assert live <= members.keys(), seed
    assert {m for m, score in members.items() if score <= cutoff} == expired, seed
    assert expired <= {subject(r).uuid for r in sent}, seed
    # Vulcan reads them all, old ones too: what it removes had expired, what lives beyond the last block stays
    young = {u for u in live if placed[u][-1] >= height}
    assert len(young) > 10, seed
    for r in sent:
        world.vulcan.receive(r.value, height)
    assert young <= stored(world) and not expired & stored(world), seed
