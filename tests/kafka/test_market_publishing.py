"""market_updater end to end: what it publishes to a real broker is what kcat reads there."""
import pytest

import harness
from market_world import TOPIC, World
from test_market_updater import EXAMPLE_VALUE, example


@pytest.fixture(scope='session')
def migrated(build, postgres):
    name = postgres.create_database('kafka_template')
    with harness.Deployment(build, postgres, name) as d:
        done = d.run('roundtable-admin', 'migrate', '--conf', d.conf)
        assert done.returncode == 0, (done.stdout, done.stderr)
    return name


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
