"""A real Apache Kafka broker for the tests: one node in KRaft mode, in a directory of its own on free ports.

Its jars are those of jars.txt, fetched once by Maven into ~/.cache/roundtable-tests and checked on each use. Where they
cannot be had Unavailable says why; a jar of another checksum is an error.

Listeners, by name: plain; sasl (PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 without TLS); ssl; mtls (asks for a client's
certificate); saslssl; wronghost (TLS with the certificate of another host); proxied, which is plain behind `proxy`. Users: `writer` may do everything, `reader`
nothing, both with password `secret`.
"""
import base64
import fcntl
import hashlib
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
import uuid

from servers import Server, ServerError, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'fault'))

import tcp_proxy  # noqa: E402

PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies'
LISTENERS = {'plain': 'PLAINTEXT', 'sasl': 'SASL_PLAINTEXT', 'ssl': 'SSL', 'mtls': 'SSL', 'saslssl': 'SASL_SSL',
             'wronghost': 'SSL', 'proxied': 'PLAINTEXT', 'controller': 'PLAINTEXT'}
FETCH_TIMEOUT = 300
START_DEADLINE = 240  # seconds; three where nobody else is busy
KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']


class Unavailable(Exception):
    """This machine cannot have a broker; the text says what is missing."""


def pinned():
    """File name -> checksum of jars.txt."""
    found = {}
    with open(os.path.join(HERE, 'jars.txt')) as f:
        for line in f:
            if not line.startswith('#'):
                coordinates, checksum = line.split()
                _, artifact, version = coordinates.split(':')
                found[f'{artifact}-{version}.jar'] = checksum
    return found


def _fetch(directory):
    try:
        done = subprocess.run(['mvn', '-B', '-q', '-f', os.path.join(HERE, 'pom.xml'), PLUGIN,
                               f'-DoutputDirectory={directory}'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=FETCH_TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Unavailable('requires kafka: its jars could not be fetched in time') from None
    if done.returncode != 0:
        reason = next((line for line in done.stdout.splitlines() if 'ERROR' in line), 'mvn failed')
        raise Unavailable(f'requires kafka: its jars cannot be fetched: {reason[:300]}')


def jars():
    """The directory of the jars, fetched if need be. Unavailable when there are none, ServerError when they are wrong."""
    for program, package in (('java', 'default-jre-headless'), ('mvn', 'maven')):
        if not shutil.which(program):
            raise Unavailable(f'requires kafka: {program} is not installed (package {package})')
    wanted = pinned()
    name = 'kafka-' + hashlib.sha256(repr(sorted(wanted.items())).encode()).hexdigest()[:16]
    cache = os.path.join(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'roundtable-tests')
    directory = os.path.join(cache, name)
    os.makedirs(cache, exist_ok=True)
    with open(os.path.join(cache, 'lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once
        if not os.path.isdir(directory):
            incoming = directory + '.new'
            shutil.rmtree(incoming, ignore_errors=True)
            _fetch(incoming)
            check_jars(incoming, wanted)
            os.rename(incoming, directory)
    check_jars(directory, wanted)
    return directory


def check_jars(directory, wanted):
    have = set(os.listdir(directory))
    if have != set(wanted):
        raise ServerError(f'{directory}: not the jars of jars.txt; too many: {sorted(have - set(wanted))}, '
                          f'missing: {sorted(set(wanted) - have)}')
    for name, checksum in wanted.items():
        with open(os.path.join(directory, name), 'rb') as f:
            found = hashlib.file_digest(f, 'sha256').hexdigest()
        if found != checksum:
            raise ServerError(f'{directory}/{name}: checksum {found}, not {checksum} as in jars.txt')


def unused_ports(n):
    """Different ports below those that the kernel gives to clients: they stay free over a restart, most likely."""
    with open('/proc/sys/net/ipv4/ip_local_port_range') as f:
        end = int(f.read().split()[0])
    found = []
    for port in random.sample(range(end - 12000, end), 12000):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(('127.0.0.1', port))
            except OSError:
                continue
        found.append(port)
        if len(found) == n:
            return found
    raise ServerError('no unused ports')


class Certificates:
    """A certificate authority and what it signed: PEM files in a directory."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.ca = self._authority('ca')
        self.other_ca = self._authority('other-ca')
        self.server = self._signed('server', 'localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
        self.wrong_host = self._signed('wronghost', 'elsewhere.example', 'subjectAltName=DNS:elsewhere.example')
        self.client = self._signed('client', 'writer')
        self.stranger = self._signed('stranger', 'writer', authority='other-ca')

    def path(self, name):
        return os.path.join(self.directory, name)

    def _openssl(self, *arguments):
        done = subprocess.run(['openssl', *arguments], cwd=self.directory, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise ServerError(f'openssl {arguments[0]}: {done.stderr}')

    def _authority(self, name):
        self._openssl('req', '-x509', *KEY, '-nodes', '-days', '2', '-subj', f'/CN={name}',
                      '-keyout', f'{name}.key', '-out', f'{name}.pem')
        return self.path(f'{name}.pem')

    def _signed(self, name, subject, extension=None, authority='ca'):
        """Returns (certificate, key); `name`.both holds both, as the broker wants them."""
        self._openssl('req', *KEY, '-nodes', '-subj', f'/CN={subject}', '-keyout', f'{name}.key',
                      '-out', f'{name}.csr')
        more = []
        if extension:
            with open(self.path(f'{name}.ext'), 'w') as f:
                f.write(extension + '\n')
            more = ['-extfile', f'{name}.ext']
        self._openssl('x509', '-req', '-in', f'{name}.csr', '-CA', f'{authority}.pem', '-CAkey', f'{authority}.key',
                      '-CAcreateserial', '-days', '2', '-out', f'{name}.pem', *more)
        with open(self.path(f'{name}.both'), 'w') as both:
            for part in (f'{name}.key', f'{name}.pem'):
                with open(self.path(part)) as f:
                    both.write(f.read())
        return self.path(f'{name}.pem'), self.path(f'{name}.key')


def _ends(consumer, partition):
    """First and next offset; just after a start or a thaw a partition may have no leader yet."""
    from confluent_kafka import KafkaException

    def ask():
        try:
            return consumer.get_watermark_offsets(partition, timeout=30)
        except KafkaException:
            return None
    return wait_until(ask, f'a leader of {partition}')


class KafkaBroker(Server):
    """start(), stop(), kill(), freeze(), thaw() as the other servers; data and ports survive a restart."""

    def __init__(self, directory=None, data=None, options=None):
        self.jars = jars()  # before anything that must be closed
        super().__init__(directory)
        self.data = data or os.path.join(self.directory, 'data')
        self.options = dict(options or {})
        self.certificates = Certificates(os.path.join(self.directory, 'tls'))
        self.ports = {}
        self.sharing = []
        self.proxy = tcp_proxy.TcpProxy(None)
        # the letter in front: kafka-storage takes an id that begins with a dash for an option
        self.cluster = 'A' + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip('=')[1:]

    def address(self, listener='plain', host='127.0.0.1'):
        return f'{host}:{self.proxy.port if listener == "proxied" else self.ports[listener]}'

    @property
    def bootstrap(self):
        return self.address()

    def _archive(self):
        """Where this Java keeps the broker's classes ready (AppCDS): a start takes half of its time."""
        java = os.path.realpath(shutil.which('java'))
        return f'{self.jars}-{hashlib.sha256(f"{java} {os.stat(java).st_mtime}".encode()).hexdigest()[:16]}.jsa'

    def _java(self, main, *arguments):
        return ['java', *self.sharing, '-Xmx256m', '-Xms64m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:+ExitOnOutOfMemoryError',
                '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.showDateTime=true',
                '-cp', os.path.join(self.jars, '*'), main, *arguments]

    def _properties(self):
        path = os.path.join(self.directory, 'server.properties')
        tls, listeners = self.certificates, [n for n in LISTENERS if n != 'controller']
        plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_writer="secret" user_reader="secret";'
        scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
        rows = {
            'process.roles': 'broker,controller', 'node.id': 1,
            'controller.quorum.voters': f'1@{self.address("controller")}', 'controller.listener.names': 'CONTROLLER',
            'listeners': ','.join(f'{n.upper()}://127.0.0.1:{self.ports[n]}' for n in LISTENERS),
            'advertised.listeners': ','.join(f'{n.upper()}://{self.address(n)}' for n in listeners),
            'listener.security.protocol.map': ','.join(f'{n.upper()}:{p}' for n, p in LISTENERS.items()),
            'inter.broker.listener.name': 'PLAIN',
            'log.dirs': self.data,
            'auto.create.topics.enable': 'false',
            'offsets.topic.replication.factor': 1, 'offsets.topic.num.partitions': 1,
            'transaction.state.log.replication.factor': 1, 'transaction.state.log.min.isr': 1,
            'group.initial.rebalance.delay.ms': 0,
            # a killed broker's registration ends with its session: its successor waits for that
            'broker.session.timeout.ms': 2000, 'broker.heartbeat.interval.ms': 500,
            # the failed log-ins of the tests shall be told at once
            'connection.failed.authentication.delay.ms': 0,
            'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
            'super.users': 'User:ANONYMOUS;User:writer;User:CN=writer',
            'ssl.truststore.type': 'PEM', 'ssl.truststore.location': tls.ca,
            'ssl.keystore.type': 'PEM', 'ssl.keystore.location': tls.path('server.both'),
            'listener.name.wronghost.ssl.keystore.type': 'PEM',
            'listener.name.wronghost.ssl.keystore.location': tls.path('wronghost.both'),
            'listener.name.mtls.ssl.client.auth': 'required',
        }
        for name in ('sasl', 'saslssl'):
            rows[f'listener.name.{name}.sasl.enabled.mechanisms'] = 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512'
            rows[f'listener.name.{name}.plain.sasl.jaas.config'] = plain
            for mechanism in ('scram-sha-256', 'scram-sha-512'):
                rows[f'listener.name.{name}.{mechanism}.sasl.jaas.config'] = scram
        rows.update(self.options)
        with open(path, 'w') as f:
            f.write(''.join(f'{k}={v}\n' for k, v in rows.items()))
        return path

    def _format(self, properties):
        argv = self._java('kafka.tools.StorageTool', 'format', '-t', self.cluster, '-c', properties)
        for mechanism in ('SCRAM-SHA-256', 'SCRAM-SHA-512'):
            for user in ('writer', 'reader'):
                argv += ['--add-scram', f'{mechanism}=[name={user},password=secret]']
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=self.directory)
        if done.returncode != 0:
            raise ServerError(f'the storage could not be formatted: {done.stdout}{done.stderr}')

    def start(self):
        for _ in range(5):
            fresh = not os.path.exists(os.path.join(self.data, 'meta.properties'))
            if fresh:
                self.ports = dict(zip(LISTENERS, unused_ports(len(LISTENERS))))
            self.proxy.target = ('127.0.0.1', self.ports['proxied'])
            properties = self._properties()
            if fresh:
                self._format(properties)
            logged = len(self.log()) if self.process else 0
            self._share()
            self.spawn(self._java('kafka.Kafka', properties), cwd=self.directory)
            try:
                wait_until(self._answers, f'Kafka in {self.directory}', START_DEADLINE, interval=0.1)
                return self
            except ServerError:
                if self.running() or not fresh or 'Address already in use' not in self.log()[logged:]:
                    raise
                shutil.rmtree(self.data)  # the ports are part of it
        raise ServerError('no free ports for Kafka')

    def _share(self):
        """Uses the archive, or has it written when the broker ends well."""
        if os.path.exists(self._archive()):
            self.sharing = [f'-XX:SharedArchiveFile={self._archive()}']
        else:
            self.sharing = [f'-XX:ArchiveClassesAtExit={os.path.join(self.directory, "new.jsa")}']

    def stop(self, **kwargs):
        super().stop(**kwargs)
        written = os.path.join(self.directory, 'new.jsa')
        if os.path.exists(written) and not self.running():
            incoming = f'{self._archive()}.{os.getpid()}'
            shutil.move(written, incoming)
            os.rename(incoming, self._archive())

    def _answers(self):
        if not self.running():
            raise ServerError(f'Kafka did not start: {self.log()[-4000:]}')
        try:
            return bool(self.admin().list_topics(timeout=1).brokers)
        except Exception:
            return False

    def admin(self, **settings):
        from confluent_kafka.admin import AdminClient
        return AdminClient({'bootstrap.servers': self.bootstrap, 'log_level': 0, **settings})

    def create_topic(self, name, partitions=1, **settings):
        """Returns the name once every partition has a leader."""
        from confluent_kafka.admin import NewTopic
        admin = self.admin()
        topic = NewTopic(name, partitions, 1, config={k.replace('_', '.'): str(v) for k, v in settings.items()})
        admin.create_topics([topic])[name].result(60)

        def led():
            listed = admin.list_topics(name, timeout=10).topics[name].partitions
            return len(listed) == partitions and all(p.leader == 1 for p in listed.values())
        wait_until(led, f'leaders of {name}')
        return name

    def delete_topic(self, name):
        """Returns once the broker has put its logs away: it may lose what is sent to a new topic of that name before."""
        admin = self.admin()  # must outlive its futures
        admin.delete_topics([name])[name].result(60)
        log = re.compile(re.escape(name) + r'-[0-9]+')  # then renamed to …-delete
        wait_until(lambda: not any(log.fullmatch(d) for d in os.listdir(self.data)), f'the end of {name}')

    def records(self, topic, partitions=None):
        """Everything in the topic now, in each partition's order: a list of confluent_kafka.Message."""
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({'bootstrap.servers': self.bootstrap, 'group.id': 'tests', 'log_level': 0,
                             'enable.auto.commit': 'false'})
        try:
            if partitions is None:
                partitions = sorted(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
            ends = {p: _ends(consumer, TopicPartition(topic, p)) for p in partitions}
            left = {p: high for p, (low, high) in ends.items() if high > low}
            consumer.assign([TopicPartition(topic, p, ends[p][0]) for p in left])
            found, end = [], time.monotonic() + 60
            while left:
                if time.monotonic() > end:
                    raise ServerError(f'{topic}: partitions {sorted(left)} were not read to their ends')
                for m in consumer.consume(1000, 0.5):
                    if m.error():
                        raise ServerError(str(m.error()))
                    found.append(m)
                    if left.get(m.partition()) == m.offset() + 1:
                        del left[m.partition()]
            return found
        finally:
            consumer.close()

    def close(self):
        super().close()
        self.proxy.close()
