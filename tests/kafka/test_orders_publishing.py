"""remove_expired_orders end to end: a real broker stores the specified bytes in the partitions of the specification."""
import pytest

from orders_world import TOPIC, World
from test_remove_expired_orders import (CUTOFF, DEGENERATE_KEY, DEGENERATE_MESSAGE, HEIGHT, KEY, MESSAGE, OTHER, TASK,
                                        Order, worked_example)


@pytest.fixture(scope='module')
def vulcan(shared_broker):
    """The topic, once for all tests: 210 partitions take a broker some seconds."""
    shared_broker.create_topic(TOPIC, 210)
    yield TOPIC
    shared_broker.delete_topic(TOPIC)


@pytest.fixture
def world(build, postgres, migrated, redis, redis_server, broker, vulcan):
    name = postgres.create_database('orders_kafka_test', template=migrated)
    w = World(build, postgres, name, redis_server, broker)
    w.block(HEIGHT)
    yield w
    w.close()
    postgres.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s', (name,))
    postgres.execute(f'DROP DATABASE "{name}"')


def test_examples_byte_for_byte(world, broker):
    worked_example(world)
    world.vulcan.place(Order(OTHER, 0, 0, clob_pair=0))
    world.run(TASK)
    expected = {(169, KEY, MESSAGE), (196, DEGENERATE_KEY, DEGENERATE_MESSAGE)}
    assert {(r.partition, r.key, r.value) for r in world.removals()} == expected
    messages = [m for m in broker.records(TOPIC) if (m.partition(), m.offset()) not in world.seen]
    assert {(m.partition(), m.key(), m.value()) for m in messages} == expected
    assert [m.headers() for m in messages] == [None, None]
    assert world.agent.take()['expiry_message_sent|c'] == [2]


def test_a_frozen_broker_fails_the_run_and_the_next_one_sends(world, broker):
    world.vulcan.place(Order(OTHER, 7, CUTOFF))
    broker.freeze()
    world.deployment.settings('orders', tasks={TASK: {'max_run': '6 s'}})
    done = world.run(TASK, expect=1)
    broker.thaw()
    assert 'Error occurred in task to remove expired orders' in done.stdout + done.stderr
    assert 'expiry_message_sent|c' not in world.agent.take()
    world.deployment.settings('orders')
    world.run(TASK)
    # at least once: what the frozen broker was sent may be there, too
    assert {r.value for r in world.removals()} == {Order(OTHER, 7, CUTOFF).removal}
    assert world.agent.take()['expiry_message_sent|c'] == [1]
