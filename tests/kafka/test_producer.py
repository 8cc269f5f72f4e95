"""The producer against a real broker: partitions, sizes, topics that are missing, come and go."""
import collections
import random

import pytest

from probe import NEVER, Probe
from servers import wait_until

PARTITIONS = 210


@pytest.fixture
def probe(build, broker):
    with Probe(build, broker.bootstrap) as p:
        yield p


@pytest.fixture(scope='module')
def vulcan(shared_broker):
    # of a name of its own: a broker that has just deleted a topic may lose what is sent to a new one of that name
    return shared_broker.create_topic('partitions-of-vulcan', PARTITIONS)


def murmur2(data):
    """Kafka's, as its Java clients compute it; written from the algorithm's description."""
    m, mask = 0x5bd1e995, 0xffffffff
    h = 0x9747b28c ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], 'little') * m & mask
        h = (h * m ^ (k ^ k >> 24) * m) & mask
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], 'little')) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(broker, topic, text):
    found = [m.partition() for m in broker.records(topic) if m.value() == text.encode()]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize('key, partition', [
    # order ids: two of the orders specification, two of bazooka's
    ('8715660cb1a6cb7354a4e25c41a1948ee09136e9ea2b3eb215ee7391272cd91a', 169),
    ('b2896f7929b41394cc5b81d2ceea8d8f733cb6f77360f8b7c001ac02d5123370', 196),
    ('7b43ce745b1942723643f0fa17f413c2c45306a9062d88465e03e5dd87fed276', 69),
    ('86ae239bbbbff2357e93bcf0cd38c2f89e485ea4f102d040ad62e0e74fcbbac9', 61),
])
def test_order_ids_land_where_the_original_puts_them(broker, probe, vulcan, key, partition):
    assert probe.send(vulcan, key, key=bytes.fromhex(key))['r'] == 0
    message, = [m for m in broker.records(vulcan, [partition]) if m.value() == key.encode()]
    assert message.key() == bytes.fromhex(key) and message.headers() is None


def test_any_key_lands_where_java_clients_put_it(broker, probe, vulcan):
    rng = random.Random(7)
    keys = [rng.randbytes(n) for n in range(1, 33)]
    for key in keys:
        assert probe.send(vulcan, 'any-' + key.hex(), key=key)['r'] == 0
    found = {m.value(): m.partition() for m in broker.records(vulcan)}
    for key in keys:
        assert found[b'any-' + key.hex().encode()] == (murmur2(key) & 0x7fffffff) % PARTITIONS


def test_messages_without_a_key_are_spread_and_an_empty_key_is_none_of_them(broker, probe, vulcan):
    for i in range(40):
        assert probe.send(vulcan, f'spread-{i}')['r'] == 0
        assert probe.send(vulcan, f'empty-{i}', key=b'')['r'] == 0
    found = collections.defaultdict(set)
    for m in broker.records(vulcan):
        name = m.value().decode().partition('-')[0]
        found[name].add(m.partition())
        assert name != 'spread' or m.key() is None
    assert len(found['spread']) > 1
    assert found['empty'] == {(murmur2(b'') & 0x7fffffff) % PARTITIONS}


def test_order_is_kept(broker, probe, topic):
    texts = [str(i) for i in range(3000)]
    assert probe.send(topic, *texts[:1000])['r'] == 0
    assert probe.send(topic, *texts[1000:])['r'] == 0
    assert [m.value().decode() for m in broker.records(topic)] == texts


def test_more_messages_than_librdkafka_queues(broker, probe, topic):
    n = 120000  # its queue takes 100,000
    reply = probe.ask('send', messages=[{'topic': topic, 'text': str(i)} for i in range(n)])
    assert reply['r'] == 0, reply['text']
    assert all(reply['delivered'])
    assert [int(m.value()) for m in broker.records(topic)] == list(range(n))


def test_a_missing_topic_is_named_and_works_once_it_is_there(build, broker):
    with Probe(build, broker.bootstrap, request_timeout_ms=3000) as probe:
        reply = probe.send('nowhere', 'x')
        assert reply['kind'] == NEVER and reply['delivered'] == [False]
        assert 'topic nowhere: message 1 of 1' in reply['text'] and broker.bootstrap in reply['text']
        assert 'create the topic' in reply['hint']
        assert '-' not in reply['states']  # says nothing against the brokers
        broker.create_topic('nowhere')
        wait_until(lambda: probe.send('nowhere', 'y')['r'] == 0, 'the new topic to be found')
    assert [m.value() for m in broker.records('nowhere')] == [b'y']


def test_a_topic_that_is_made_anew(broker, probe, topic):
    assert probe.send(topic, 'before')['r'] == 0
    broker.delete_topic(topic)
    broker.create_topic(topic)
    wait_until(lambda: probe.send(topic, 'after')['r'] == 0, 'the new topic to be used')
    assert {m.value() for m in broker.records(topic)} == {b'after'}


def test_a_message_too_large_for_us(probe, topic):
    reply = probe.send(topic, size=2000000)
    assert reply['kind'] == NEVER
    assert f'topic {topic}: message 1 of 1: its 2000000 bytes are more than the 1048588 that kafka.max_batch_size allows' \
        in reply['text']
    assert 'max.message.bytes' in reply['hint'] and 'kafka.max_batch_size' in reply['hint']


def test_a_message_too_large_for_the_topic_fails_alone(broker, probe):
    topic = broker.create_topic('small', max_message_bytes=1000)
    reply = probe.ask('send', messages=[{'topic': topic, 'text': 'a'}, {'topic': topic, 'size': 5000},
                                        {'topic': topic, 'text': 'b'}])
    assert reply['kind'] == NEVER
    assert f"topic {topic}: message 2 of 3: its 5000 bytes are more than the topic's max.message.bytes, which is 1000 here" \
        in reply['text']
    assert reply['delivered'] == [True, False, True]
    assert [m.value() for m in broker.records(topic)] == [b'a', b'b']


def test_a_larger_limit_is_used(build, broker):
    topic = broker.create_topic('large', max_message_bytes=6000000)
    with Probe(build, broker.bootstrap, max_batch_websocket_message_size_bytes=5000000) as p:
        assert p.send(topic, size=5000000)['r'] == 0
    assert [len(m.value()) for m in broker.records(topic)] == [5000000]


def test_a_fatal_error_costs_nothing(broker, probe, topic):
    assert probe.send(topic, '1')['r'] == 0
    assert probe.ask('fatal')['r'] == 0
    reply = probe.send(topic, '2')
    assert reply['r'] == 0, reply['text']
    assert [m.value() for m in broker.records(topic)] == [b'1', b'2']
