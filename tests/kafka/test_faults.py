"""Brokers that restart, die, freeze, are slow, or answer into the void: what was acknowledged is there once."""
import collections
import os
import subprocess
import time

import pytest

from broker import KafkaBroker
from probe import CANCELED, IMPATIENT, RETRY, UNCERTAIN, Probe
from servers import wait_until
from tcp_proxy import DELAY, DROP_REPLIES, PASS


def count(broker, topic):
    return len(broker.records(topic))


def wait_records(broker, topic, more=50):
    target = count(broker, topic) + more
    wait_until(lambda: count(broker, topic) >= target, f'{target} records in {topic}')


def check_ledger(broker, topic, ledger):
    """Everything that was acknowledged is there exactly once, what is uncertain at most once, in each sender's order."""
    found = [m.value().decode() for m in broker.records(topic)]
    times = collections.Counter(found)
    assert [t for t in ledger['sure'] if times[t] != 1] == []
    assert [t for t in ledger['unsure'] if times[t] > 1] == []
    assert set(times) <= set(ledger['sure']) | set(ledger['unsure'])
    for sender in {t.partition('-')[0] for t in found}:
        numbers = [int(t.partition('-')[2]) for t in found if t.partition('-')[0] == sender]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize('how', ['stop', 'kill'])
def test_restart_while_four_threads_publish(build, broker, topic, how):
    with Probe(build, broker.bootstrap) as p:
        assert p.ask('begin', topic=topic, threads=4)['r'] == 0
        wait_records(broker, topic)
        getattr(broker, how)()
        p.wait_states('+-')  # a restart that is quick enough is no outage
        broker.start()
        wait_records(broker, topic)
        ledger = p.ask('end')
        assert ledger['failed'] == 0 and ledger['unsure'] == []
        check_ledger(broker, topic, ledger)
        assert len(ledger['sure']) >= 100
        assert p.states() == '+-+'


def test_answers_that_never_arrive_double_nothing(build, broker, topic):
    """The broker has the message and its answer is lost: it is sent again, and the broker knows it."""
    with Probe(build, broker.address('proxied')) as p:
        assert p.send(topic, '9-0')['r'] == 0
        assert p.ask('begin', topic=topic, threads=3)['r'] == 0
        for _ in range(5):
            wait_records(broker, topic, 10)
            dropped = broker.proxy.dropped
            broker.proxy.mode = DROP_REPLIES
            wait_until(lambda: broker.proxy.dropped > dropped, 'an answer to be dropped')
            broker.proxy.mode = PASS
            broker.proxy.cut()
        wait_records(broker, topic, 10)
        ledger = p.ask('end')
        assert ledger['failed'] == 0 and ledger['unsure'] == []
        ledger['sure'].append('9-0')
        check_ledger(broker, topic, ledger)
        assert p.states() == '+'


def test_a_connection_that_the_broker_closes_is_no_outage(build, broker, topic):
    with Probe(build, broker.address('proxied')) as p:
        for i in range(3):
            assert p.send(topic, str(i))['r'] == 0
            connections = broker.proxy.connections
            broker.proxy.cut()
            wait_until(lambda: broker.proxy.connections > connections, 'the producer to connect again')
        assert p.send(topic, 'last')['r'] == 0
        assert p.states() == '+'
    assert count(broker, topic) == 4


def test_a_slow_broker_is_waited_for(build, broker, topic):
    broker.proxy.delay = 0.4
    broker.proxy.mode = DELAY
    try:
        with Probe(build, broker.address('proxied')) as p:
            for text in 'abc':
                assert p.send(topic, text)['r'] == 0
            assert p.states() == '+'
    finally:
        broker.proxy.mode = PASS
    assert [m.value() for m in broker.records(topic)] == [b'a', b'b', b'c']


def test_a_frozen_broker_costs_a_deadline_only(build, broker, topic):
    with Probe(build, broker.bootstrap, connection_timeout_ms=1000) as p:
        assert p.send(topic, '1')['r'] == 0
        broker.freeze()
        reply = p.send(topic, '2', deadline=2500)
        assert reply['kind'] == UNCERTAIN and 'may have been stored' in reply['text'], reply
        assert reply['states'] == '+-'
        assert p.send(topic, '3', deadline=500)['r'] < 0
        broker.thaw()
        assert p.send(topic, '4')['r'] == 0
        assert p.states() == '+-+'
    found = [m.value() for m in broker.records(topic)]
    assert found[0] == b'1' and found[-1] == b'4'
    assert set(found[1:-1]) <= {b'2', b'3'} and len(found) == len(set(found))


def test_stopped_for_longer_than_any_time_out_then_back(build, broker, topic):
    with Probe(build, broker.bootstrap, **IMPATIENT) as p:
        assert p.send(topic, '1')['r'] == 0
        broker.stop()
        for _ in range(2):
            reply = p.send(topic, 'lost')
            assert reply['kind'] == RETRY, reply
            assert 'Connection refused' in reply['text'] and broker.bootstrap in reply['text']
            assert 'kafka.brokers run and can be reached' in reply['hint']
            assert reply['delivered'] == [False]
        p.wait_states('+-')
        reply = p.send(topic, 'stale', cancel=200)
        assert reply['kind'] == CANCELED, reply
        broker.start()
        p.wait_states('+-+')  # without anybody sending
        assert p.send(topic, '2')['r'] == 0
        assert p.states() == '+-+'
    # nothing was on its way any more when its sender had been told
    assert [m.value() for m in broker.records(topic)] == [b'1', b'2']


def test_cancelling_in_the_midst_of_others(build, broker, topic):
    """Each cancellation purges what librdkafka has of all threads and costs the idempotent producer its sequence."""
    with Probe(build, broker.bootstrap) as p:
        assert p.ask('begin', topic=topic, threads=4)['r'] == 0
        cancelled, end = 0, time.monotonic() + 60
        while cancelled < 25 and time.monotonic() < end:
            cancelled += p.send(topic, *['x'] * 50, cancel=1)['r'] < 0
        wait_records(broker, topic)
        ledger = p.ask('end')
        assert cancelled == 25
        assert ledger['failed'] == 0 and ledger['unsure'] == []
        times = collections.Counter(m.value().decode() for m in broker.records(topic))
        # a message that was taken back in flight is sent again: at least once
        assert [t for t in ledger['sure'] if times[t] < 1] == []
        assert p.states() == '+'


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / 'disk'
    path.mkdir()
    if os.geteuid() != 0 or subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32m', 'none', path],
                                           capture_output=True).returncode != 0:
        pytest.skip('requires root: a small file system must be mounted')
    yield path
    subprocess.run(['umount', '-l', path], check=True)


def test_a_broker_whose_disk_is_full(build, shared_broker, small_disk):
    """What was acknowledged is still there afterwards, and nobody but the broker needs a restart."""
    with KafkaBroker(data=str(small_disk / 'data'), options={'log.index.size.max.bytes': 4096}) as broker, \
            Probe(build, broker.bootstrap, **IMPATIENT) as p:
        topic = broker.create_topic('full')
        assert p.send(topic, 'before')['r'] == 0
        sure = 1
        for _ in range(100):
            reply = p.send(topic, size=900000)
            if reply['r'] < 0:
                break
            sure += 1
        assert reply['r'] < 0 and f'topic {topic}' in reply['text'] and reply['hint'], reply
        # the broker stops by itself, its only directory being broken
        wait_until(lambda: not broker.running(), 'the end of the broker')
        p.wait_states('+-')
        subprocess.run(['mount', '-o', 'remount,size=256m', small_disk], check=True)
        broker.start()
        p.wait_states('+-+')
        assert p.send(topic, 'after')['r'] == 0
        found = [m.value() for m in broker.records(topic)]
        assert found[0] == b'before' and found[-1] == b'after' and len(found) >= sure + 1
