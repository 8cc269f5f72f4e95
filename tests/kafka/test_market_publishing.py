"""market_updater end to end: what it publishes to a real broker is what kcat reads there."""
import signal

import pytest

from campaign import Campaign
from market_world import NOW_USEC, TOPIC, World
from tcp_proxy import PASS, REFUSE
from test_market_updater import EXAMPLE_VALUE, example, trading


@pytest.fixture
def world(build, postgres, migrated, redis, redis_server, broker):
    broker.create_topic(TOPIC)
    name = postgres.create_database('kafka_test', template=migrated)
    w = World(build, postgres, name, redis_server, broker)
    yield w
    w.close()
    broker.delete_topic(TOPIC)
    postgres.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s', (name,))
    postgres.execute(f'DROP DATABASE "{name}"')


def test_worked_example_byte_for_byte(world, broker):
    example(world)
    world.run()
    assert world.records() == [(-1, EXAMPLE_VALUE)]
    message, = broker.records(TOPIC)
    assert message.headers() is None and message.key() is None
    world.run()
    assert len(world.records()) == 1


def test_killed_around_publishing_every_change_arrives(world, broker):
    """At least once, whatever the moment; what is sent twice is the same."""
    example(world)
    campaign = Campaign(world.deployment, 'market', 'market_updater', world.postgres, world.database, world.redis, broker,
                        now_usec=NOW_USEC, topics={TOPIC: trading})
    campaign.expected()
    around = [p for p in campaign.points if ':kafka.' in p or 'commit' in p or 'pending' in p]
    assert {p.rsplit(':', 1)[1] for p in around if ':kafka.' in p} == {'before#1', 'sent#1', 'after#1'}
    for point in around:
        sent = len(world.records())
        assert campaign.kill_at(point) == [], point
        values = [value for _, value in world.records()[sent:]]
        assert set(values) == {EXAMPLE_VALUE} and 1 <= len(values) <= 2, point


def test_killed_while_the_broker_is_away(world, broker):
    """Neither the run that is killed nor the next one has a broker; the one after that publishes what is pending."""
    example(world)
    world.deployment.settings(None, kafka={'brokers': broker.address('proxied'), 'connection_timeout': '1 s',
                                           'request_timeout': '1 s'})
    broker.proxy.mode = REFUSE
    world.run(-signal.SIGKILL, {'ROUNDTABLE_FAILPOINT_KILL': f'market_updater:kafka.{TOPIC}:before#1'})
    world.run()
    assert world.pending() != set()
    broker.proxy.mode = PASS
    # with time for a busy machine, which the second run was not to have
    world.deployment.settings(None, kafka={'brokers': broker.address('proxied')})
    world.run()
    assert world.records() == [(-1, EXAMPLE_VALUE)]
    assert world.pending() == set()
