"""Fixtures every Python test can use: one PostgreSQL and one Redis per session, a fresh database per test."""
import itertools
import os
import re
import shutil
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402
import servers  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_serial = itertools.count(1)


@pytest.fixture(scope='session')
def build():
    """The build directory under test: $ROUNDTABLE_BUILD, as `./dev test` sets it."""
    path = os.environ.get('ROUNDTABLE_BUILD')
    if not path:
        pytest.fail('ROUNDTABLE_BUILD is not set; run ./dev test, or point it at a meson build with -Dtesting=true')
    return path


@pytest.fixture(scope='session')
def postgres():
    with servers.Postgres() as server:
        yield server


@pytest.fixture
def database(postgres):
    """The name of a new, empty database."""
    name = postgres.create_database(f'test_{os.getpid()}_{next(_serial)}')
    yield name
    postgres.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s', (name,))
    postgres.execute(f'DROP DATABASE IF EXISTS "{name}"')


@pytest.fixture(scope='session')
def migrated(build, postgres):
    """The name of a database with all tables and no rows, to be copied (create_database's template)."""
    name = postgres.create_database('migrated_template')
    with harness.Deployment(build, postgres, name) as d:
        done = d.run('roundtable-admin', 'migrate', '--conf', d.conf)
        assert done.returncode == 0, (done.stdout, done.stderr)
    return name


@pytest.fixture(scope='session')
def redis_server():
    with servers.Redis() as server:
        yield server


@pytest.fixture
def redis(redis_server):
    """A client of an emptied Redis."""
    client = redis_server.client()
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope='session')
def release(tmp_path_factory):
    """A copy of the sources in a directory that only its owner may enter, as a clone below /root is, built there with
    README's first command to install."""
    parent = tmp_path_factory.mktemp('clone')
    parent.chmod(0o700)
    copy = parent / 'roundtable'
    copy.mkdir()
    subprocess.run(f'git -C {ROOT} ls-files -z | tar -C {ROOT} --null -T - -c | tar -x -C {copy}', shell=True, check=True)
    with open(os.path.join(ROOT, 'README.md'), encoding='utf-8') as f:
        command = re.search(r'^(meson setup build) (--.*)$', f.read(), re.M)
    # where ./dev run looks for its build: one is enough for both
    for line in (f'meson setup build/run {command.group(2)}', 'ninja -C build/run'):
        done = subprocess.run(line, shell=True, cwd=copy, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return copy


@pytest.fixture(autouse=True)
def sanitizer_reports(monkeypatch):
    """Programs under test write sanitizer reports to files; any report fails the test that caused it."""
    directory = servers.short_directory('san-')
    os.chmod(directory, 0o777)  # programs under test may run as another user
    for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'TSAN_OPTIONS'):
        kept = os.environ.get(name)
        monkeypatch.setenv(name, (kept + ':' if kept else '') + f'log_path={directory}/report')
    yield
    reports = []
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), errors='replace') as f:
            reports.append(f.read()[:6000])
    shutil.rmtree(directory)
    if reports:
        pytest.fail('sanitizer report:\n' + '\n'.join(reports))
