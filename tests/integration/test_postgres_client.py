"""The PostgreSQL client when its server is frozen, stopped, replaced or cut off in the middle of a call.

postgres-probe does one call per line; what it answers is compared, and how long a call may take is bounded by its
deadline, the 2 s for a cancel request and the 5 s for a connection, far below what the kernel's own time-outs would be.
"""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading

import pytest

import servers

# generous: a loaded machine must not fail a test; without the bounds these calls would not return at all
BOUND = 30


class Probe:
    def __init__(self, build, **environment):
        self.process = subprocess.Popen([os.path.join(build, 'tests', 'unit', 'postgres-probe')], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
        self.thread = None

    def start(self, command):
        self.process.stdin.write(command + '\n')
        self.process.stdin.flush()

    def reply(self):
        answer = []
        thread = threading.Thread(target=lambda: answer.append(self.process.stdout.readline()), daemon=True)
        thread.start()
        thread.join(BOUND)
        if not answer:
            self.process.kill()
            raise AssertionError('the call did not return')
        return json.loads(answer[0])

    def __call__(self, command):
        self.start(command)
        return self.reply()

    def ok(self, command):
        answer = self(command)
        assert answer['r'] == 0, answer
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(BOUND) in (0, -9)


@pytest.fixture
def probe(build):
    probes = []

    def start(server, **changes):
        probes.append(Probe(build, **{**server.environment(), **changes}))
        return probes[-1]
    yield start
    for p in probes:
        p.close()


@pytest.fixture(params=['unix', 'tcp'])
def server(request):
    with servers.Postgres(tcp=request.param == 'tcp') as s:
        if s.tcp:
            environment = s.environment
            s.environment = lambda *a: {**environment(*a), 'DB_HOSTNAME': '127.0.0.1'}
        yield s
        s.thaw()


def running(server, text):
    return server.execute('SELECT count(*) FROM pg_stat_activity WHERE state = %s AND query LIKE %s',
                          ('active', text + '%'))[0][0]


def test_frozen_in_mid_query(server, probe):
    p = probe(server)
    p.ok('acquire 0')
    p.start('query 1500 SELECT pg_sleep(600)')
    servers.wait_until(lambda: running(server, 'SELECT pg_sleep(600)'), 'the query to run')
    server.freeze()
    answer = p.reply()
    assert answer['r'] == -110 and answer['broken'], answer
    assert 'deadline' in answer['text'] and 'given up' in answer['text']
    p.ok('rollback')
    answer = p.ok('release')
    assert answer['down'] == 1, 'the frozen server is news'
    assert answer['state'].endswith('the server does not answer'), answer
    server.thaw()
    p.ok('acquire 0')
    assert p.ok('query 0 SELECT 42')['value'] == '42'
    answer = p.ok('release')
    assert answer['up'] >= 2 and answer['state'] == 'up'


def test_frozen_before_connecting(server, probe):
    p = probe(server)
    server.freeze()
    answer = p('acquire 200')
    assert answer['r'] == -110 and answer['kind'] == 'cancelled', answer
    answer = p('acquire 0')
    assert answer['r'] == -110 and answer['kind'] == 'retry later', answer
    assert 'no answer within 5 s' in answer['text'] and answer['hint']
    server.thaw()
    p.ok('acquire 0')
    assert p.ok('query 0 SELECT 1')['value'] == '1'


def test_frozen_in_a_transaction(server, probe):
    p = probe(server)
    p.ok('acquire 0')
    p.ok('query 0 CREATE TABLE t (v int)')
    p.ok('begin 0')
    p.ok('query 0 INSERT INTO t VALUES (1)')
    server.freeze()
    answer = p('commit 200')
    assert answer['r'] == -110 and answer['kind'] == 'may have happened' and answer['broken'], answer
    p.ok('rollback')
    p.ok('release')
    server.thaw()
    p.ok('acquire 0')
    p.ok('begin 0')
    server.freeze()
    p.ok('rollback')
    p.ok('release')
    server.thaw()


def test_idle_connection_to_a_frozen_server(server, probe):
    p = probe(server)
    p.ok('acquire 0 one')
    p.ok('release')
    server.freeze()
    answer = p('acquire 0 another')
    assert answer['r'] == -110 and answer['kind'] == 'retry later', answer
    assert answer['down'] == 1
    server.thaw()
    p.ok('acquire 0 another')


def test_stopped_and_started(server, probe):
    p = probe(server)
    p.ok('acquire 0')
    p.ok('release')
    server.stop()
    answer = p('acquire 0')
    assert answer['r'] < 0 and answer['kind'] == 'retry later' and answer['down'] == 1, answer
    assert 'is the server running' in answer['hint'], answer
    server.start()
    p.ok('acquire 0')
    assert p.ok('query 0 SELECT 7')['value'] == '7'


def test_killed_in_mid_query(server, probe):
    p = probe(server)
    p.ok('acquire 0')
    p.ok('begin 0')
    p.start('query 0 SELECT pg_sleep(600)')
    servers.wait_until(lambda: running(server, 'SELECT pg_sleep(600)'), 'the query to run')
    server.kill()
    answer = p.reply()
    assert answer['kind'] == 'retry later' and answer['broken'], answer
    p.ok('rollback')
    p.ok('release')
    server.start()
    p.ok('acquire 0')
    # outside of a transaction nobody knows whether it happened
    p.start('query 0 SELECT pg_sleep(601)')
    servers.wait_until(lambda: running(server, 'SELECT pg_sleep(601)'), 'the query to run')
    server.kill()
    assert p.reply()['kind'] == 'may have happened'


def test_terminated_while_idle(server, probe):
    p = probe(server)
    p.ok('acquire 0')
    pid = p.ok('query 0 SELECT pg_backend_pid()')['value']
    p.ok('release')
    assert server.execute('SELECT pg_terminate_backend(%s, 10000)', (int(pid),)) == [(True,)]
    answer = p.ok('acquire 0')
    assert answer['down'] == 0
    assert p.ok('query 0 SELECT pg_backend_pid()')['value'] != pid


def test_wrong_password_and_missing_database(probe):
    with servers.Postgres(auth='scram-sha-256') as server:
        p = probe(server, DB_PASSWORD='wrong-and-secret')
        answer = p('acquire 0')
        assert answer['kind'] == 'never will work' and answer['sqlstate'] == '28P01', answer
        assert 'database.password' in answer['hint'] and 'wrong-and-secret' not in json.dumps(answer)
        answer = probe(server, DB_PASSWORD='')('acquire 0')
        assert answer['kind'] == 'never will work' and 'DB_PASSWORD' in answer['hint'], answer
        answer = probe(server, DB_NAME='nowhere')('acquire 0')
        assert answer['sqlstate'] == '3D000' and 'database.name' in answer['hint'], answer
        assert f'{server.host}:{server.port}/nowhere' in answer['text']
        probe(server).ok('acquire 0')


@pytest.fixture(scope='module')
def tls_server():
    """A server with a certificate for the name localhost, signed by itself."""
    with servers.Postgres(tcp=True) as server:
        certificate, key = (os.path.join(server.data, name) for name in ('server.crt', 'server.key'))
        server.authority, server.other = (os.path.join(server.directory, name) for name in ('ca.crt', 'other.crt'))
        for out in (server.other, certificate):
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj',
                            '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-out', out, '-keyout', key],
                           check=True, capture_output=True)
        shutil.copyfile(certificate, server.authority)
        for path in (certificate, key):
            os.chmod(path, 0o600)
            if os.geteuid() == 0:
                shutil.chown(path, server.os_user)
        server.options += ['ssl=on']
        server.stop()
        server.start()
        yield server


@pytest.mark.parametrize('mode, host, authority, encrypted', [
    (None, 'localhost', None, 'f'), ('disable', 'localhost', None, 'f'), ('require', '127.0.0.1', None, 't'),
    ('no-verify', 'localhost', 'other', 't'), ('verify-ca', '127.0.0.1', 'authority', 't'),
    ('verify-full', 'localhost', 'authority', 't'), ('verify-full', '127.0.0.1', 'authority', None),
    ('verify-ca', 'localhost', 'other', None), ('verify-ca', 'localhost', None, None)])
def test_tls(tls_server, probe, mode, host, authority, encrypted):
    changes = {'DB_HOSTNAME': host}
    if mode:
        changes['PGSSLMODE'] = mode
    if authority:
        changes['PGSSLROOTCERT'] = getattr(tls_server, authority)
    p = probe(tls_server, **changes)
    answer = p('acquire 0')
    if encrypted is None:
        assert answer['kind'] == 'never will work' and 'database.sslmode' in answer['hint'], answer
        return
    assert answer['r'] == 0, answer
    assert p.ok('query 0 SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')['value'] == encrypted
    # large answers, and a cancel request, over TLS
    assert len(p.ok("query 0 SELECT repeat('x', 1000000)")['value']) == 1000000
    assert p('query 100 SELECT pg_sleep(600)')['kind'] == 'cancelled'
    p.ok('query 0 SELECT 1')


class CommitEater:
    """A TCP proxy that passes everything on, until the client sends COMMIT: then the server's answer is dropped and the
    connection closed, when the server has committed."""

    def __init__(self, server):
        self.server = server
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.eaten = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(f'{self.server.host}/.s.PGSQL.{self.server.port}')
        threading.Thread(target=self.answers, args=(upstream, client), daemon=True).start()
        with upstream, client:
            while data := client.recv(65536):
                if b'COMMIT' in data:
                    self.eating = client
                upstream.sendall(data)

    eating = None

    def answers(self, upstream, client):
        while True:
            try:
                data = upstream.recv(65536)
                if not data:
                    break
                if self.eating is client:
                    self.eaten += 1
                    break
                client.sendall(data)
            except OSError:
                return
        try:
            client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        self.listener.close()


def test_the_answer_to_commit_is_lost(postgres, database, probe):
    eater = CommitEater(postgres)
    try:
        p = probe(postgres, DB_HOSTNAME='127.0.0.1', DB_PORT=str(eater.port), DB_NAME=database)
        p.ok('acquire 0')
        p.ok('query 0 CREATE TABLE t (v int)')
        p.ok('begin 0')
        p.ok('query 0 INSERT INTO t VALUES (1)')
        answer = p('commit 0')
        assert answer['kind'] == 'may have happened' and answer['broken'], answer
        assert eater.eaten == 1
        p.ok('rollback')
        p.ok('release')
        assert postgres.execute('SELECT v FROM t', database=database) == [(1,)]
    finally:
        eater.close()


def test_the_databases_own_isolation_is_not_that_of_the_tasks(postgres, database, probe):
    """Tasks are written for READ COMMITTED: what waited for a row or an advisory lock sees what its holder committed."""
    postgres.execute(f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'")
    with contextlib.closing(postgres.connect(database)) as c, c.cursor() as cursor:
        cursor.execute('SHOW transaction_isolation')
        assert cursor.fetchone() == ('serializable',)
    p = probe(postgres, DB_NAME=database)
    p.ok('acquire 0')
    p.ok('query 0 CREATE TABLE t (v int)')
    p.ok('begin 0')
    assert p.ok('query 0 SELECT count(*) FROM t')['value'] == '0'
    postgres.execute('INSERT INTO t VALUES (1)', database=database)
    assert p.ok('query 0 SELECT count(*) FROM t')['value'] == '1'
    p.ok('commit 0')
    # whoever wants a snapshot for several statements still gets it
    p.ok('query 0 BEGIN ISOLATION LEVEL REPEATABLE READ')
    assert p.ok('query 0 SELECT count(*) FROM t')['value'] == '1'
    postgres.execute('INSERT INTO t VALUES (2)', database=database)
    assert p.ok('query 0 SELECT count(*) FROM t')['value'] == '1'
    p.ok('commit 0')
    p.ok('release')


class BlackHole:
    """The kernel accepts for it, and nobody ever answers."""

    def __enter__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        return self.listener.getsockname()[1]

    def __exit__(self, *unused):
        self.listener.close()


def test_a_listener_that_never_answers(postgres, probe):
    with BlackHole() as port:
        p = probe(postgres, DB_HOSTNAME='127.0.0.1', DB_PORT=str(port))
        answer = p('acquire 100')
        assert answer['r'] == -110 and answer['kind'] == 'cancelled', answer
        answer = p('acquire 0')
        assert answer['r'] == -110 and 'no answer within 5 s' in answer['text'], answer
