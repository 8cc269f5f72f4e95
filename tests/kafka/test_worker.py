"""Workers whose broker freezes, is slow, is away for longer than any time-out, or asks for a log-in. Real restarts are
those of test_faults.py: here connections are refused, which takes no new broker."""
import os

import pytest

import harness
from servers import wait_until
from tcp_proxy import DELAY, PASS, REFUSE

LOST, BACK = 'kafka cannot be reached', 'kafka answers again'


@pytest.fixture
def deployment(build, postgres, database, redis, redis_server, broker, topic):
    # an emptied Redis makes workers wait for the owners of locks
    redis.set('roundtable.control.epoch', '1')
    with harness.Deployment(build, postgres, database, redis_server, broker) as d:
        d.settings('testing', tasks={'testing_kafka': {'enabled': True, 'interval': '200 ms'}}, kafka_topic=topic)
        yield d


def kafka_of(worker):
    return worker.control('status')['worker']['servers']['kafka']


def finished(worker, result):
    return worker.records(taskName='testing_kafka', result=result)


def said(worker, message):
    return [r for r in worker.records() if message in r['message']]


def published(broker, topic):
    return [m.value().decode() for m in broker.records(topic)]


def errors(worker):
    """What failed runs said."""
    return [r['error'] for r in worker.records(taskName='testing_kafka') if 'error' in r]


def settle(worker, result, more=2):
    target = len(finished(worker, result)) + more
    worker.wait_for(lambda: len(finished(worker, result)) >= target, f'{more} runs that end {result}')


def test_outages_are_told_once_and_end_by_themselves(deployment, broker, topic):
    address = broker.address('proxied')
    deployment.settings(None, kafka={'brokers': address, 'connection_timeout': '2 s', 'request_timeout': '3 s'},
                        log={'level': 'debug'})

    def go_away():
        broker.proxy.mode = REFUSE
        broker.proxy.cut()

    def come_back():
        broker.proxy.mode = PASS
    w = deployment.worker('testing')
    settle(w, 'ok')
    assert kafka_of(w)['ok']
    for i, (begin, end) in enumerate([(broker.freeze, broker.thaw), (go_away, come_back)], 1):
        begin()
        settle(w, 'failed', 1)
        w.wait_for(lambda: not kafka_of(w)['ok'], 'the outage in its status')
        assert address in kafka_of(w)['error']
        end()
        w.wait_for(lambda: kafka_of(w)['ok'], 'the end of the outage in its status')
        settle(w, 'ok')
        assert (len(said(w, LOST)), len(said(w, BACK))) == (i, i)
    assert w.running() and w.stop() == 0
    # what librdkafka says itself is said in the log's own form, and to those who debug
    own = w.records(at='kafka#producer')
    assert own and {r['level'] for r in own} == {'debug'}
    assert not [line for line in w.log().splitlines() if line.startswith('%')]
    # every run that ended well has its message, and every failed one says which topic of whom
    there = published(broker, topic)
    assert {r['runId'] for r in finished(w, 'ok')} <= set(there)
    assert len(errors(w)) == len(finished(w, 'failed'))
    for error in errors(w):
        assert f'kafka brokers {address}: topic {topic}: message 1 of 1' in error['message']
    assert len(there) == len(set(there))


def test_a_slow_broker_makes_slow_runs(deployment, broker, topic):
    deployment.settings(None, kafka={'brokers': broker.address('proxied')})
    broker.proxy.delay, broker.proxy.mode = 0.3, DELAY
    w = deployment.worker('testing')
    try:
        settle(w, 'ok', 3)
    finally:
        broker.proxy.mode = PASS
    assert said(w, LOST) == [] and finished(w, 'failed') == []
    assert w.stop() == 0
    assert {r['runId'] for r in finished(w, 'ok')} == set(published(broker, topic))


def test_log_in_and_tls_under_the_supervisor(deployment, broker, topic):
    """The password comes from a file that workers may not read, the authority's certificate from one that they must."""
    password = os.path.join(deployment.directory, 'kafka-password')
    with open(password, 'w') as f:
        f.write('secret\n')
    os.chmod(password, 0o600)
    deployment.settings('market', enabled=False)
    deployment.settings(None, kafka={
        'brokers': broker.address('saslssl', 'localhost'), 'security_protocol': 'SASL_SSL',
        'sasl_mechanism': 'SCRAM-SHA-256', 'sasl_username': 'writer', 'sasl_password_file': password,
        'ssl_ca_file': broker.certificates.ca})
    s = deployment.supervisor()
    wait_until(lambda: len(published(broker, topic)) >= 2, 'messages of a supervised worker')
    worker = next(w for w in s.control('status')['workers'] if w['family'] == 'testing')
    assert worker['landlock'] > 0
    shown = deployment.run('roundtable', 'config', 'show', '--conf', deployment.conf).stdout
    assert 'SCRAM-SHA-256' in shown and 'secret"' not in shown
    assert s.stop() == 0


def test_a_refused_log_in_names_the_remedy(deployment, broker, topic):
    deployment.settings(None, kafka={
        'brokers': broker.address('sasl'), 'security_protocol': 'SASL_PLAINTEXT', 'sasl_mechanism': 'SCRAM-SHA-512',
        'sasl_username': 'writer', 'sasl_password': 'sesame', 'connection_timeout': '1 s'})
    w = deployment.worker('testing')
    settle(w, 'failed', 1)
    error, *_ = errors(w)
    assert 'the brokers refuse this client' in error['message'] and 'kafka.sasl_password' in error['hint']
    assert len(said(w, LOST)) == 1 and 'uthentication' in kafka_of(w)['error']
    assert 'sesame' not in w.log()
    assert w.stop() == 0
