"""roundtable-admin migrate on real databases: what it makes, column by column, and what it refuses.

schema_listing.txt is a second source: it was not made from the migration. One line per object, sorted.
"""
import contextlib
import json
import os
import re
import subprocess

import pytest

import servers

HERE = os.path.dirname(os.path.abspath(__file__))
EXACTLY_ONE = {'good_til_block_or_good_til_block_time_non_null', 'recipient_non_null', 'sender_non_null'}
N_ORIGINAL = 113


@pytest.fixture
def conf(tmp_path):
    (tmp_path / 'workers').mkdir()
    (tmp_path / 'roundtable.conf').write_text('')
    os.chmod(tmp_path, 0o755)
    return str(tmp_path)


@pytest.fixture
def start_migrate(build, conf):
    """Starts `roundtable-admin migrate` on a server's database."""
    program = os.path.join(build, 'workers', 'roundtable-admin')

    def start(server, database, *arguments, **environment):
        return subprocess.Popen([program, 'migrate', '--conf', conf, *arguments], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True,
                                env={**os.environ, **server.environment(database), **environment})
    return start


@pytest.fixture
def migrate(start_migrate):
    """Runs it and returns (exit status, stdout, stderr)."""
    def run(server, database, *arguments, **environment):
        process = start_migrate(server, database, *arguments, **environment)
        out, err = process.communicate(timeout=servers.DEADLINE)
        return process.returncode, out, err
    return run


def exactly_one(server, database, table, definition, not_valid):
    """Puts a check over two columns into words, if it holds for exactly the right combinations of NULLs."""
    expression = definition[len('CHECK '):]
    columns = list(dict.fromkeys(re.findall(r'"(\w+)"', expression)))
    assert len(columns) == 2, definition
    for a in (False, True):
        for b in (False, True):
            row = ', '.join(f'({"id" if given else "NULL"}) AS "{name}"' for name, given in zip(columns, (a, b)))
            held = server.execute(f"SELECT ({expression}) FROM (SELECT {row} FROM (SELECT 1 AS id) AS one) AS t",
                                  database=database)
            assert held[0][0] is (a != b), f'{table}: {definition} with {a}, {b}'
    return 'exactly one of ' + ', '.join(columns)


def introspect(server, database):
    """The database in the words of schema_listing.txt."""
    lines = []
    with contextlib.closing(server.connect(database)) as c, c.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'")

        def rows(sql):
            cursor.execute(sql)
            return cursor.fetchall()
        for kind, name in rows("""SELECT relkind, relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
                                  AND relkind NOT IN ('i', 'S')"""):
            lines.append({'r': 'table', 'm': 'materialized view'}.get(kind, f'relation of kind {kind}') + ' ' + name)
        for table, number, name, kind, not_null, default in rows("""
                SELECT c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                    pg_get_expr(d.adbin, d.adrelid)
                FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
                    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
                WHERE c.relnamespace = 'public'::regnamespace AND c.relkind NOT IN ('i', 'S')"""):
            lines.append(f'column {table} {number} {name}: {kind}' + (' not null' if not_null else '') +
                         (f' default {default}' if default else ''))
        for table, name, definition, deferrable in rows("""
                SELECT c.relname, n.conname, pg_get_constraintdef(n.oid), n.condeferrable
                FROM pg_constraint n JOIN pg_class c ON c.oid = n.conrelid
                WHERE c.relnamespace = 'public'::regnamespace"""):
            assert not deferrable, name
            if name in EXACTLY_ONE:
                definition = exactly_one(server, database, table, definition, False)
            lines.append(f'constraint {table}.{name}: {definition}')
        for table, name, unique, definition, valid in rows("""
                SELECT t.relname, i.relname, x.indisunique, pg_get_indexdef(x.indexrelid), x.indisvalid
                FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
                WHERE i.relnamespace = 'public'::regnamespace"""):
            assert valid, name
            lines.append(f'index {table}.{name}: {"unique " if unique else ""}{definition.split(" USING ", 1)[1]}')
        for row in rows("""
                SELECT s.relname, format_type(q.seqtypid, NULL), q.seqstart, q.seqincrement, t.relname, a.attname
                FROM pg_sequence q JOIN pg_class s ON s.oid = q.seqrelid
                    LEFT JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'a'
                    LEFT JOIN pg_class t ON t.oid = d.refobjid
                    LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
                WHERE s.relnamespace = 'public'::regnamespace"""):
            lines.append('sequence {}: {} start {} increment {} owned by {}.{}'.format(*row))
        for name, in rows("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"):
            lines.append('function ' + name)
        for name, in rows("""SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"""):
            lines.append('trigger ' + name)
        for name, in rows("""SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')"""):
            lines.append('type ' + name)
    return sorted(lines)


def listing():
    with open(os.path.join(HERE, 'schema_listing.txt'), encoding='utf-8') as f:
        return f.read().splitlines()


def assert_like_listing(server, database):
    found, expected = set(introspect(server, database)), set(listing())
    assert sorted(found - expected) == [] and sorted(expected - found) == []


def names(server, database):
    return [n for n, in server.execute('SELECT name FROM knex_migrations ORDER BY id', database=database)]


def relations(server, database):
    return server.execute("""SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
                             AND relkind IN ('r', 'm') ORDER BY 1""", database=database)


def migrated(migrate, server, database):
    status, out, err = migrate(server, database)
    assert (status, err) == (0, ''), err
    return out


def test_an_empty_database_becomes_the_listing(postgres, database, migrate):
    out = migrated(migrate, postgres, database)
    assert out.count('\n') == 1 and 'was empty' in out and database in out
    assert_like_listing(postgres, database)


def test_the_original_sees_a_migrated_database(postgres, database, migrate):
    migrated(migrate, postgres, database)
    rows = postgres.execute('SELECT id, name, batch, migration_time IS NOT NULL FROM knex_migrations ORDER BY id',
                            database=database)
    assert [r[0] for r in rows] == list(range(1, N_ORIGINAL + 1))
    assert [r[1] for r in rows] == sorted(r[1] for r in rows)
    assert all(r[1].endswith('.js') and r[2] == 1 and r[3] for r in rows)
    assert [i for i, r in enumerate(rows, 1) if r[1].endswith('.ts.js')] == [16, 22]
    assert rows[0][1] == '20220719024035_create_block_table.js'
    assert rows[-1][1] == '20260302120000_add_created_at_to_orders.js'
    assert postgres.execute('SELECT * FROM knex_migrations_lock', database=database) == [(1, 0)]
    assert postgres.execute('SELECT version, name FROM roundtable_migrations', database=database) == [(1, 'baseline')]


def test_every_table_and_column_has_a_comment(postgres, database, migrate):
    migrated(migrate, postgres, database)
    assert postgres.execute("""
        SELECT c.relname, a.attname FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
            AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)""",
                            database=database) == []


def test_twice_changes_nothing(postgres, database, migrate):
    migrated(migrate, postgres, database)
    before = introspect(postgres, database), names(postgres, database)
    status, out, _ = migrate(postgres, database, '--json')
    assert status == 0
    assert json.loads(out) == {'applied': 0, 'database': database, 'found': 'ours', 'version': 1}
    assert (introspect(postgres, database), names(postgres, database)) == before


def test_from_two_hosts_at_once(postgres, start_migrate):
    for attempt in range(5):
        database = postgres.create_database(f'race_{os.getpid()}_{attempt}')
        both = [start_migrate(postgres, database, '--json') for _ in range(2)]
        replies = [p.communicate(timeout=servers.DEADLINE) for p in both]
        assert [p.returncode for p in both] == [0, 0], replies
        assert sorted(json.loads(out)['applied'] for out, _ in replies) == [0, 1]
        assert len(names(postgres, database)) == N_ORIGINAL
        postgres.execute(f'DROP DATABASE "{database}"')


def test_a_database_of_the_original_is_left_as_it_is(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute('DROP TABLE roundtable_migrations', database=database)
    before = introspect(postgres, database)
    status, out, _ = migrate(postgres, database, '--json')
    assert (status, json.loads(out)['found'], json.loads(out)['applied']) == (0, 'original', 0)
    assert introspect(postgres, database) == before
    assert 'original service' in migrated(migrate, postgres, database)


def test_names_recorded_from_sources_are_known_too(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute("UPDATE knex_migrations SET name = regexp_replace(name, '\\.js$', '.ts')", database=database)
    postgres.execute('DROP TABLE roundtable_migrations', database=database)
    assert 'original service' in migrated(migrate, postgres, database)


def test_empty_bookkeeping_of_the_original_is_an_empty_database(postgres, database, migrate):
    postgres.execute("""CREATE TABLE knex_migrations (id serial PRIMARY KEY, name varchar(255), batch integer,
                                                      migration_time timestamptz);
                        CREATE TABLE knex_migrations_lock (index serial PRIMARY KEY, is_locked integer);
                        INSERT INTO knex_migrations_lock (is_locked) VALUES (0)""", database=database)
    assert 'was empty' in migrated(migrate, postgres, database)
    assert_like_listing(postgres, database)


def refused(migrate, server, database, status, *words):
    """The migration is refused with a sentence that has all the words, a hint, and no change of the database."""
    before = introspect(server, database)
    code, out, err = migrate(server, database)
    assert code == status, (code, out, err)
    assert out == '' and 'HINT: ' in err, err
    for word in words:
        assert word in err, (word, err)
    assert introspect(server, database) == before


def test_a_part_of_the_original_is_refused_with_a_list(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute('DROP TABLE roundtable_migrations; DELETE FROM knex_migrations WHERE id > 110', database=database)
    refused(migrate, postgres, database, 1, '110 of 113', '20260112170004_create_long_open_interest_index',
            '20260115131341_create_index_oracle_prices_market_height_desc_inc_price',
            '20260302120000_add_created_at_to_orders', 'finish the migration with the original')
    postgres.execute('DELETE FROM knex_migrations WHERE id > 1', database=database)
    refused(migrate, postgres, database, 1, '1 of 113', 'and 92 more')


def test_unknown_names_are_refused_with_a_list(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute("INSERT INTO knex_migrations (name, batch) VALUES ('20990101000000_tomorrow.js', 2)", database=database)
    refused(migrate, postgres, database, 1, '20990101000000_tomorrow.js', 'upgrade roundtable')
    postgres.execute('DROP TABLE roundtable_migrations', database=database)
    refused(migrate, postgres, database, 1, '20990101000000_tomorrow.js')


def test_a_newer_database_is_refused(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute("INSERT INTO roundtable_migrations (version, name) VALUES (2, 'later')", database=database)
    refused(migrate, postgres, database, 1, 'newer than this program', '2 (later)', 'upgrade roundtable')


def test_a_changed_record_is_refused(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute("UPDATE roundtable_migrations SET name = 'other'", database=database)
    refused(migrate, postgres, database, 1, '1 (other)', '1 (baseline)')


def test_a_foreign_database_is_refused(postgres, database, migrate):
    postgres.execute('CREATE TABLE customers (id int); CREATE VIEW all_customers AS SELECT * FROM customers',
                     database=database)
    refused(migrate, postgres, database, 1, "not the indexer's", 'all_customers, customers', 'DB_NAME')


def test_a_database_rolled_back_by_the_original_is_refused(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute('DELETE FROM knex_migrations', database=database)
    refused(migrate, postgres, database, 1, 'knex_migrations is empty')


def test_an_extensions_views_do_not_make_a_database_foreign(postgres, database, migrate):
    if not postgres.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'"):
        pytest.skip('pg_stat_statements is not installed')
    postgres.execute('CREATE EXTENSION pg_stat_statements', database=database)
    assert 'was empty' in migrated(migrate, postgres, database)


def test_the_originals_lock_is_respected(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute('UPDATE knex_migrations_lock SET is_locked = 1', database=database)
    refused(migrate, postgres, database, 75, 'is_locked', 'SET is_locked = 0')
    postgres.execute('UPDATE knex_migrations_lock SET is_locked = 0', database=database)
    assert 'already' in migrated(migrate, postgres, database)
    assert postgres.execute('SELECT is_locked FROM knex_migrations_lock', database=database) == [(0,)]


def waiting_backends(server, database, event):
    return server.execute('SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event = %s',
                          (database, event))[0][0]


def test_another_migration_is_waited_for(postgres, database, start_migrate):
    with contextlib.closing(postgres.connect(database)) as c, c.cursor() as cursor:
        cursor.execute('BEGIN; SELECT pg_advisory_xact_lock(%d)' % int.from_bytes(b'roundtab', 'big'))
        process = start_migrate(postgres, database)
        servers.wait_until(lambda: waiting_backends(postgres, database, 'advisory'), 'the migration to wait')
        assert process.poll() is None
        cursor.execute('COMMIT')
    out, err = process.communicate(timeout=servers.DEADLINE)
    assert process.returncode == 0 and 'was empty' in out, err


def test_sigterm_ends_the_waiting(postgres, database, start_migrate):
    with contextlib.closing(postgres.connect(database)) as c, c.cursor() as cursor:
        cursor.execute('BEGIN; SELECT pg_advisory_xact_lock(%d)' % int.from_bytes(b'roundtab', 'big'))
        process = start_migrate(postgres, database)
        servers.wait_until(lambda: waiting_backends(postgres, database, 'advisory'), 'the migration to wait')
        process.terminate()
        _, err = process.communicate(timeout=servers.DEADLINE)
        assert process.returncode == 1 and 'cancelled on request' in err
        cursor.execute('ROLLBACK')
    assert relations(postgres, database) == []


def test_killed_at_every_failpoint(postgres, start_migrate, tmp_path):
    def run(name, **environment):
        process = start_migrate(postgres, name, **environment)
        process.communicate(timeout=servers.DEADLINE)
        return process.returncode

    recorded = tmp_path / 'points'
    database = postgres.create_database(f'points_{os.getpid()}')
    assert run(database, ROUNDTABLE_FAILPOINT_RECORD=str(recorded)) == 0
    postgres.execute(f'DROP DATABASE "{database}"')
    points = recorded.read_text().split('\n')[:-1]
    assert any('baseline' in p for p in points) and any('commit' in p for p in points), points
    for point in points:
        database = postgres.create_database(f'points_{os.getpid()}')
        assert run(database, ROUNDTABLE_FAILPOINT_KILL=point) == -9, point
        # the server notices the broken connection in its own time
        servers.wait_until(lambda: not postgres.execute('SELECT 1 FROM pg_stat_activity WHERE datname = %s', (database,)),
                           f'the backend to end after {point}')
        n = len(relations(postgres, database))
        committed = 'commit:sent' in point or 'commit:after' in point
        assert n == 39 if committed else n == 0, (point, n)
        assert run(database) == 0, point
        assert len(relations(postgres, database)) == 39
        assert len(names(postgres, database)) == N_ORIGINAL
        postgres.execute(f'DROP DATABASE "{database}"')


def test_errors_of_the_server_are_told(postgres, migrate, conf):
    status, out, err = migrate(postgres, 'no_such_database')
    assert (status, out) == (1, '') and 'no_such_database' in err and 'HINT: check database.name' in err
    status, out, err = migrate(postgres, 'no_such_database', '--json')
    assert status == 1 and json.loads(out)['sqlstate'] == '3D000'
    assert migrate(postgres, 'x', '--no-such-option')[0] == 2
    assert migrate(postgres, 'x', DB_PORT='abc')[0] == 78


def test_the_way_down_leaves_nothing(postgres, database, migrate):
    migrated(migrate, postgres, database)
    with open(os.path.join(os.path.dirname(os.path.dirname(HERE)), 'sql', 'migrations', '0001_baseline.down.sql'),
              encoding='utf-8') as f:
        postgres.execute(f.read(), database=database)
    assert introspect(postgres, database) == []
    assert 'was empty' in migrated(migrate, postgres, database)


VAULT_TICKS = """
INSERT INTO vaults (address, "clobPairId", status, "createdAt", "updatedAt")
    VALUES ('v1', 1, 'DEACTIVATED', now(), now());
INSERT INTO subaccounts (id, address, "subaccountNumber", "updatedAt", "updatedAtHeight")
    VALUES ('00000000-0000-0000-0000-000000000001', 'v1', 0, now(), 1), ('00000000-0000-0000-0000-000000000002', 'v1', 1, now(), 1),
        ('00000000-0000-0000-0000-000000000003', 'dydx18tkxrnrkqc2t0lr3zxr5g6a4hdvqksylxqje4r', 0, now(), 1),
        ('00000000-0000-0000-0000-000000000004', 'somebody', 0, now(), 1);
INSERT INTO pnl_ticks (id, "subaccountId", equity, "totalPnl", "netTransfers", "createdAt", "blockHeight", "blockTime")
    SELECT gen_random_uuid(), s.id, n, 0, 0, now(), 1, date_trunc('day', now(), 'UTC') - d * interval '1 day' + n * interval '20 minutes'
    FROM subaccounts s, generate_series(1, 100) d, generate_series(0, 5) n
"""


def test_the_views_keep_the_earliest_tick_of_each_hour_and_day(postgres, database, migrate):
    migrated(migrate, postgres, database)
    postgres.execute(VAULT_TICKS, database=database)
    for view, unit, days in (('vaults_hourly_pnl', 'hour', 7), ('vaults_daily_pnl', 'day', 90)):
        postgres.execute(f"SET timezone = 'UTC'; REFRESH MATERIALIZED VIEW CONCURRENTLY {view}", database=database)
        rows = postgres.execute(f"""SET timezone = 'UTC'; SELECT DISTINCT "subaccountId"::text FROM {view} ORDER BY 1""",
                                database=database)
        assert [r[0][-1] for r in rows] == ['1', '3']
        wrong = postgres.execute(f"""SET timezone = 'UTC';
            WITH kept AS (SELECT * FROM pnl_ticks WHERE "subaccountId"::text ~ '[13]$'
                          AND "blockTime" >= (SELECT min("blockTime") FROM {view})),
                earliest AS (SELECT "subaccountId", min("blockTime") FROM kept
                             GROUP BY "subaccountId", date_trunc('{unit}', "blockTime"))
            SELECT * FROM earliest EXCEPT SELECT "subaccountId", "blockTime" FROM {view}
            UNION ALL
            (SELECT "subaccountId", "blockTime" FROM {view} EXCEPT SELECT * FROM earliest)""", database=database)
        assert wrong == []
        oldest, = postgres.execute(f'SELECT now() - min("blockTime") FROM {view}', database=database)[0]
        assert days - 1 <= oldest.total_seconds() / 86400 <= days


@pytest.fixture(scope='module')
def icu_postgres():
    try:
        with servers.Postgres(initdb_options=['--locale-provider=icu', '--icu-locale=de-DE', '--locale=C.UTF-8'],
                              options=['timezone=Asia/Kathmandu', 'datestyle=German']) as server:
            yield server
    except servers.ServerError as e:
        pytest.fail(f'no server with ICU collation: {e}')


@pytest.mark.parametrize('environment', [{}, {'LC_ALL': 'de_DE.UTF-8', 'TZ': 'America/New_York'}])
def test_on_an_icu_collated_server(icu_postgres, migrate, environment):
    database = icu_postgres.create_database(f'icu_{os.getpid()}')
    try:
        status, out, err = migrate(icu_postgres, database, **environment)
        assert status == 0, err
        assert_like_listing(icu_postgres, database)
        assert 'already' in migrate(icu_postgres, database, **environment)[1]
    finally:
        icu_postgres.execute(f'DROP DATABASE "{database}"')
