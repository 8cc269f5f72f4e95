"""What a worker under the supervisor gives up, and that its settings decide about it before it has a secret."""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import harness
from servers import Postgres, wait_until
from test_supervisor import Fake, ready
from test_worker import TABLES


@pytest.fixture
def deployment(build):
    with harness.Deployment(build) as d:
        yield d


def worker_of(d, s):
    """The running worker's entry in the status, and its /proc/PID/status as a dictionary."""
    def running():
        workers = s.control('status')['workers']
        return next((w for w in workers if w['family'] == 'testing' and w['state'] == 'running'), None)
    entry = s.wait_for(running, 'the worker')
    with open(f'/proc/{entry["pid"]}/status') as f:
        return entry, dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


def open_files(pid):
    with open(f'/proc/{pid}/limits') as f:
        return re.search(r'^Max open files\s+(\d+)\s+(\d+)', f.read(), re.M).groups()


def test_the_first_packet_says_how_and_nothing_secret(build):
    fake = Fake(build)
    try:
        ca = os.path.join(fake.deployment.directory, 'ca.pem')
        fake.deployment.settings(database={'password': 'hunter2', 'ssl_root_cert': ca},
                                 worker={'sandbox': 'off', 'open_files': 333})
        fake.start()
        ready(fake)
        with open(fake.word_file + '.sandbox') as f:
            packet = json.load(f)
        assert packet == {'protocol': 2, 'sandbox': 'off', 'open_files': 333, 'read_paths': [ca],
                          'write_paths': [fake.deployment.runtime]}
        assert fake.handover()['settings']['values']['database.password'] == 'hunter2'
    finally:
        fake.deployment.close()


def test_auto_takes_what_there_is_and_off_leaves_it(deployment):
    s = deployment.supervisor(['--family', 'testing'])
    entry, process = worker_of(deployment, s)
    assert process['Seccomp'] == '2' and process['NoNewPrivs'] == '1'
    assert entry['landlock'] > 0
    assert open_files(entry['pid']) == ('1024', '1024')

    # the family's file wins; a reload is enough
    deployment.settings('testing', sandbox='off', open_files=222)
    assert s.control('reload')['ok']
    entry, process = worker_of(deployment, s)
    assert process['Seccomp'] == '0' and process['NoNewPrivs'] == '1'
    assert entry['landlock'] == 0
    assert open_files(entry['pid']) == ('222', '222')
    shown = deployment.run('roundtable', 'status', '--runtime-dir', deployment.runtime).stdout
    assert 'secrets are not separated' in shown, shown


def test_required_that_cannot_be_had_is_told_and_not_repeated(deployment):
    deployment.settings('testing', sandbox='required')
    s = deployment.supervisor(['--family', 'testing'], environment={'ROUNDTABLE_TEST_NO_LANDLOCK': '1'}, wait=False)
    assert s.wait() == 78
    assert 'Landlock is required but not available' in s.log() and 'worker.sandbox' in s.log()
    deployment.settings('testing', sandbox='auto')
    entry, _ = worker_of(deployment, deployment.supervisor(['--family', 'testing'], environment={'ROUNDTABLE_TEST_NO_LANDLOCK': '1'}))
    assert entry['landlock'] == 0


def test_a_ca_file_in_an_odd_place_is_readable(build, redis_server, redis):
    """A run over verified TLS, its CA file in a directory that no sandbox leaves open by itself."""
    redis.set('roundtable.control.epoch', 1)
    server = Postgres(tcp=True)
    d = None
    try:
        server.start()
        server.stop(signal.SIGINT)
        key, certificate = (os.path.join(server.data, n) for n in ('server.key', 'server.crt'))
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1',
                        '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate],
                       check=True, capture_output=True)
        os.chmod(key, 0o600)
        if os.geteuid() == 0:
            for path in (key, certificate):
                shutil.chown(path, server.os_user, server.os_user)
        server.options += ['ssl=on']
        server.start()
        server.execute(TABLES)

        d = harness.Deployment(build, server, 'postgres', redis_server)
        place = os.path.join(d.directory, 'odd', 'place')
        os.makedirs(place)
        shutil.copy(certificate, os.path.join(place, 'ca.pem'))
        shutil.copy(certificate, os.path.join(place, 'other.pem'))
        d.settings(database=dict(d.common['database'], host='127.0.0.1', replica_host='127.0.0.1', sslmode='verify-full',
                                 ssl_root_cert=os.path.join(place, 'ca.pem')))
        d.settings('testing', sandbox='required', rows_sleep='0 s', tasks={'testing_rows': {'enabled': True}})
        s = d.supervisor(['--family', 'testing'])
        entry, process = worker_of(d, s)
        assert process['Seccomp'] == '2' and entry['landlock'] > 0
        wait_until(lambda: server.execute('SELECT count(*) FROM testing_runs')[0][0] > 0, f'a run\n{s.log()[-3000:]}')
    finally:
        if d:
            d.close()
        server.close()
