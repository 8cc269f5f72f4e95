"""Log-ins and TLS: what managed brokers ask for, and what is said when they refuse."""
import pytest

from probe import IMPATIENT, NEVER, RETRY, Probe

PASSWORD = 'secret'
# refusals are told after this, not after the request's 30 s
SOON = {'connection_timeout_ms': 1000}


def sasl(mechanism='SCRAM-SHA-512', protocol='SASL_PLAINTEXT', **more):
    return {'security_protocol': protocol, 'sasl_mechanism': mechanism, 'sasl_username': 'writer',
            'sasl_password': PASSWORD, **more}


def delivered(broker, probe, topic):
    reply = probe.send(topic, 'x')
    assert reply['r'] == 0, (reply['text'], reply['hint'])
    assert [m.value() for m in broker.records(topic)] == [b'x']
    assert probe.states() == '+'


def refused(probe, topic, *words):
    """Fails long before the request's 30 s, and the brokers are lost for the same reason."""
    reply = probe.send(topic, 'x')
    assert reply['r'] < 0 and reply['kind'] == NEVER, reply
    for word in words:
        assert word.lower() in reply['text'].lower(), reply
    assert f'topic {topic}' in reply['text'] and PASSWORD not in reply['text'] + reply['hint']
    probe.wait_states('-')
    assert words[0].lower() in probe.ask('send', messages=[])['state'].lower(), reply
    return reply


def hung_up_on(probe, topic):
    """Brokers that are spoken to in another way than they expect just close the connection."""
    reply = probe.send(topic, 'x')
    assert reply['kind'] in (RETRY, NEVER) and f'topic {topic}' in reply['text'], reply
    assert 'kafka.security_protocol' in reply['hint']
    probe.wait_states('-')


@pytest.mark.parametrize('mechanism', ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])
@pytest.mark.parametrize('listener, protocol', [('sasl', 'SASL_PLAINTEXT'), ('saslssl', 'SASL_SSL')])
def test_log_in(build, broker, topic, mechanism, listener, protocol):
    more = {'ssl_ca_file': broker.certificates.ca} if protocol == 'SASL_SSL' else {}
    with Probe(build, broker.address(listener), **sasl(mechanism, protocol, **more)) as p:
        delivered(broker, p, topic)


@pytest.mark.parametrize('mechanism', ['PLAIN', 'SCRAM-SHA-256'])
def test_wrong_password(build, broker, topic, mechanism):
    with Probe(build, broker.address('sasl'), **sasl(mechanism, sasl_password='sesame', **SOON)) as p:
        reply = refused(p, topic, 'authentication', 'the brokers refuse this client')
        assert 'sesame' not in reply['text'] and 'kafka.sasl_password' in reply['hint']
        assert p.send(topic, 'y')['states'] == '-'  # told once
    assert broker.records(topic) == []


def test_unknown_user(build, broker, topic):
    with Probe(build, broker.address('sasl'), **sasl(sasl_username='nobody', **SOON)) as p:
        refused(p, topic, 'authentication')


def test_a_user_without_rights(build, broker, topic):
    with Probe(build, broker.address('sasl'), **sasl(sasl_username='reader')) as p:
        reply = p.send(topic, 'x')
    assert reply['kind'] == NEVER and f'topic {topic}' in reply['text'] and 'authorization failed' in reply['text']
    assert 'right to write' in reply['hint'] and 'kafka-probe' in reply['hint']
    assert '-' not in reply['states']


def test_no_log_in_where_one_is_asked_for(build, broker, topic):
    with Probe(build, broker.address('sasl'), **IMPATIENT) as p:
        hung_up_on(p, topic)


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost'])
def test_tls(build, broker, topic, host):
    with Probe(build, broker.address('ssl', host), security_protocol='SSL', ssl_ca_file=broker.certificates.ca) as p:
        delivered(broker, p, topic)


def test_certificate_of_another_authority(build, broker, topic):
    with Probe(build, broker.address('ssl'), security_protocol='SSL', ssl_ca_file=broker.certificates.other_ca,
               **SOON) as p:
        reply = refused(p, topic, 'certificate verify failed')
        assert 'kafka.ssl_ca_file' in reply['hint']
    with Probe(build, broker.address('ssl'), security_protocol='SSL', **SOON) as p:
        refused(p, topic, 'certificate verify failed')  # not among the system's
    assert broker.records(topic) == []


def test_certificate_of_another_host(build, broker, topic):
    with Probe(build, broker.address('wronghost'), security_protocol='SSL', ssl_ca_file=broker.certificates.ca,
               **SOON) as p:
        refused(p, topic, 'certificate verify failed')
    assert broker.records(topic) == []


def test_tls_to_a_listener_without(build, broker, topic):
    with Probe(build, broker.address('plain'), security_protocol='SSL', ssl_ca_file=broker.certificates.ca,
               request_timeout_ms=1000) as p:
        hung_up_on(p, topic)


def test_no_tls_to_a_listener_with(build, broker, topic):
    with Probe(build, broker.address('ssl'), **IMPATIENT) as p:
        hung_up_on(p, topic)


def test_our_own_certificate(build, broker, topic):
    tls = broker.certificates

    def settings(pair):
        return {'security_protocol': 'SSL', 'ssl_ca_file': tls.ca, 'ssl_certificate_file': pair[0], 'ssl_key_file': pair[1]}
    with Probe(build, broker.address('mtls'), **settings(tls.client)) as p:
        delivered(broker, p, topic)
    with Probe(build, broker.address('mtls'), **settings(tls.stranger), **IMPATIENT) as p:
        assert p.send(topic, 'x')['r'] < 0
        p.wait_states('-')
    with Probe(build, broker.address('mtls'), security_protocol='SSL', ssl_ca_file=tls.ca, **IMPATIENT) as p:
        assert p.send(topic, 'x')['r'] < 0
        p.wait_states('-')
    assert len(broker.records(topic)) == 1


def test_files_that_are_no_certificates(build, broker, tmp_path):
    empty = tmp_path / 'ca.pem'
    empty.write_text('no certificate\n')
    with Probe(build, broker.address('ssl'), security_protocol='SSL', ssl_ca_file=empty) as p:
        assert p.made['kind'] == NEVER and 'ssl.ca.location' in p.made['text'] and 'kafka.*' in p.made['hint']
    with Probe(build, broker.address('ssl'), security_protocol='SSL', ssl_ca_file=tmp_path / 'absent') as p:
        assert p.process.returncode == 78
        assert 'KAFKA_SSL_CA_FILE: cannot read' in p.process.stderr.read()
