"""`migrate --with-indexes` against a real PostgreSQL."""
import contextlib
import glob
import json
import os
import subprocess

import pytest

import servers
from pnl_world import template

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NAMES = sorted(os.path.basename(p)[:-len('.sql')] for p in glob.glob(os.path.join(ROOT, 'sql', 'indexes', '*.sql')))


@pytest.fixture
def migrated(build, postgres):
    name = postgres.create_database('indexes_test', template=template(build, postgres))
    yield name
    postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def start(build, postgres, tmp_path):
    (tmp_path / 'workers').mkdir()
    (tmp_path / 'roundtable.conf').write_text('')

    def run(database, *arguments, **environment):
        return subprocess.Popen([os.path.join(build, 'workers', 'roundtable-admin'), 'migrate', '--conf', str(tmp_path),
                                 *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **postgres.environment(database), **environment})
    return run


@pytest.fixture
def migrate(start):
    def run(database, *arguments, **environment):
        p = start(database, *arguments, **environment)
        out, err = p.communicate(timeout=servers.DEADLINE)
        return p.returncode, out, err
    return run


def indexes(postgres, database):
    """name -> (oid, valid)"""
    return {n: (oid, valid) for n, oid, valid in postgres.execute(
        "SELECT c.relname, c.oid, i.indisvalid FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid "
        "WHERE c.relname LIKE 'roundtable\\_%%' AND c.relname <> 'roundtable_migrations_pkey'", (), database)}


def test_they_are_optional(postgres, migrated, migrate):
    assert migrate(migrated)[0] == 0
    assert indexes(postgres, migrated) == {}


def test_they_are_built_once(postgres, migrated, migrate):
    assert NAMES
    status, out, err = migrate(migrated, '--with-indexes', '--json')
    assert status == 0, err
    assert json.loads(out)['indexes'] == {n: 'built' for n in NAMES}
    before = indexes(postgres, migrated)
    assert sorted(before) == NAMES and all(valid for _, valid in before.values())
    status, out, err = migrate(migrated, '--with-indexes')
    assert status == 0 and all(f'index {n}: present' in out for n in NAMES), (out, err)
    assert indexes(postgres, migrated) == before
    # the next migration finds nothing strange
    assert migrate(migrated)[0] == 0


def test_an_empty_database_gets_both(postgres, database, migrate):
    status, out, err = migrate(database, '--with-indexes')
    assert status == 0 and 'was empty' in out and sorted(indexes(postgres, database)) == NAMES, err


def test_what_an_interrupted_build_left_is_built_anew(postgres, migrated, migrate):
    migrate(migrated, '--with-indexes')
    before = indexes(postgres, migrated)
    postgres.execute('UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s', (before[NAMES[0]][0],), migrated)
    status, out, err = migrate(migrated, '--with-indexes', '--json')
    assert status == 0, err
    assert json.loads(out)['indexes'] == {n: 'rebuilt' if n == NAMES[0] else 'present' for n in NAMES}
    after = indexes(postgres, migrated)
    assert after[NAMES[0]][0] != before[NAMES[0]][0] and after[NAMES[0]][1]


def test_killed_while_building_the_next_one_finishes(postgres, migrated, migrate, start):
    """A transaction that has written to the table keeps the build waiting."""
    with contextlib.closing(postgres.connect(migrated)) as c, c.cursor() as cursor:
        cursor.execute('BEGIN; LOCK TABLE transfers IN ROW EXCLUSIVE MODE')
        p = start(migrated, '--with-indexes')
        servers.wait_until(lambda: indexes(postgres, migrated), 'the first index to appear')
        # meanwhile another one has nothing to do here
        status, _, err = migrate(migrated, '--with-indexes')
        assert status == 75 and 'another process is building' in err
        p.kill()
        p.communicate()
        assert not all(valid for _, valid in indexes(postgres, migrated).values())
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND "
                         "application_name LIKE 'roundtable/admin%%'", (migrated,))
        cursor.execute('ROLLBACK')
    servers.wait_until(lambda: not postgres.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'roundtable/admin%%'", (migrated,)),
        'the backends to end')
    status, out, err = migrate(migrated, '--with-indexes', '--json')
    assert status == 0, err
    assert 'rebuilt' in json.loads(out)['indexes'].values()
    assert sorted(indexes(postgres, migrated)) == NAMES and all(v for _, v in indexes(postgres, migrated).values())


def test_an_error_is_told_and_what_was_built_stays(postgres, migrated, migrate):
    postgres.execute('DROP TABLE transfers CASCADE', (), migrated)
    status, out, err = migrate(migrated, '--with-indexes')
    assert status == 1 and 'transfers' in err and 'roundtable_transfers_height' in err
