"""cancel_stale_orders against real PostgreSQL. Expected values: orders specification, section 5."""
import concurrent.futures
import contextlib
import random
import signal

from campaign import Campaign
from orders_world import finished, kafka_mock, world  # noqa: F401
from servers import wait_until

TASK = 'cancel_stale_orders'


def status(w, id):
    return w.sql('SELECT status FROM orders WHERE id = %s', (id,))[0][0]


def test_worked_example(world):
    world.block(499)
    world.block(500)
    rows = {
        'a': world.order(499), 'b': world.order(500), 'c': world.order(12),
        'd': world.order(12, status='BEST_EFFORT_CANCELED'), 'f': world.order(300, status='FILLED'),
        'e': world.order(None, flags=64, good_til_block_time='2020-01-01T00:00:00Z'),
        'untriggered': world.order(12, status='UNTRIGGERED'), 'conditional': world.order(12, flags=32),
        'long term by block': world.order(12, flags=64), 'twap': world.order(12, flags=128),
        'future': world.order(1 << 40),
    }
    before = world.sql('SELECT to_jsonb(o) FROM orders o ORDER BY id')
    world.run(TASK)
    assert [n for n, id in rows.items() if status(world, id) == 'CANCELED'] == ['a', 'c']
    # nothing but the status of these two has changed
    expected = [dict(o, status='CANCELED') if o['id'] in (rows['a'], rows['c']) else o for (o,) in before]
    assert [o for (o,) in world.sql('SELECT to_jsonb(o) FROM orders o ORDER BY id')] == expected
    metrics = world.agent.take()
    assert metrics['num_stale_orders.count|g'] == metrics['num_stale_orders_canceled.count|g'] == [2]
    assert len(metrics['cancel_stale_orders.query.timing|ms']) == len(metrics['cancel_stale_orders.update.timing|ms']) == 1
    # no message, no key
    assert world.removals() == [] and world.redis.keys() == []


def test_nothing_stale(world):
    world.block(500)
    world.order(500)
    world.run(TASK)
    assert world.agent.take()['num_stale_orders.count|g'] == [0]


def test_without_a_block_it_fails(world):
    id = world.order(1)
    done = world.run(TASK, expect=1)
    assert 'table blocks is empty' in done.stdout and 'HINT' in done.stdout
    assert status(world, id) == 'OPEN'
    assert world.agent.take() == {}


def stale(w, n, blocks=7):
    w.sql('''INSERT INTO orders (id, "subaccountId", "clientId", "clobPairId", side, size, "totalFilled", price, type, status,
                 "timeInForce", "reduceOnly", "orderFlags", "goodTilBlock", "clientMetadata")
             SELECT gen_random_uuid(), gen_random_uuid(), i, 1, 'BUY', 1, 0, 1, 'LIMIT', 'OPEN', 'GTT', false, 0, i %% %s, 0
               FROM generate_series(1, %s) i''', (blocks, n))


def cancelled(w):
    return w.sql("SELECT count(*) FROM orders WHERE status = 'CANCELED'")[0][0]


def test_a_backlog_is_worked_off_in_one_run_in_bounded_statements(world):
    world.block(1000)
    stale(world, 95)
    world.order(1000)
    world.deployment.settings('orders', stale_batch_size=10)
    world.sql('''CREATE TABLE statements (i serial, n bigint, oldest bigint, newest bigint);
                 CREATE FUNCTION count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN INSERT INTO statements (n, oldest, newest)
                       SELECT count(*), min("goodTilBlock"), max("goodTilBlock") FROM changed; RETURN NULL; END $$;
                 CREATE TRIGGER t AFTER UPDATE ON orders REFERENCING NEW TABLE AS changed
                 FOR EACH STATEMENT EXECUTE FUNCTION count_rows()''')
    world.run(TASK)
    assert cancelled(world) == 95
    statements = world.sql('SELECT n, oldest, newest FROM statements ORDER BY i')
    assert [n for n, _, _ in statements] == 9 * [10] + [5]
    # the oldest first
    assert statements[0][1] == 0 and statements[-1][2] == 6
    assert all(before[2] <= after[1] for before, after in zip(statements, statements[1:])), statements
    metrics = world.agent.take()
    assert metrics['num_stale_orders.count|g'] == metrics['num_stale_orders_canceled.count|g'] == [95]


def test_a_long_run_gives_way_between_slices(world):
    world.block(1000)
    stale(world, 95)
    # every batch takes longer than a slice
    world.sql('''CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(0.002); RETURN NULL; END $$;
                 CREATE TRIGGER t AFTER UPDATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION dawdle()''')
    worker = world.worker(TASK, stale_batch_size=10, slice='1 ms')
    worker.wait_for(lambda: finished(worker), 'the end of the run')
    (record,) = finished(worker)
    assert record['result'] == 'ok' and record['orders'] == 95 and record['slices'] == 10, record
    assert worker.stop() == 0
    assert cancelled(world) == 95
    assert world.agent.take()['num_stale_orders.count|g'] == [95]


def test_a_dry_run_changes_nothing(world):
    world.block(1000)
    stale(world, 25)
    world.deployment.settings('orders', stale_batch_size=10)
    done = world.run(TASK, arguments=['--dry-run'])
    assert 'orders 25' in done.stdout
    assert cancelled(world) == 0 and world.agent.take() == {}


@contextlib.contextmanager
def run_beside(w):
    """A run while the block's statements are; it must have ended well when the block has."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(w.run, TASK)
        yield running
        running.result()


def wait_for_lock(w, running):
    """Until a statement waits for a lock, or the run has ended."""
    wait_until(lambda: running.done() or w.sql(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"),
        'the run to end or to wait')


def test_rows_in_use_are_left_for_later_and_replaced_orders_live(world):
    """Ender holds rows while the task runs: one order is replaced, one is filled, one is let go unchanged."""
    world.block(500)
    replaced, filled, untouched, free = (world.order(400) for _ in range(4))
    with contextlib.closing(world.postgres.connect(world.database)) as other, other.cursor() as cursor:
        other.autocommit = False
        cursor.execute('UPDATE orders SET "goodTilBlock" = 600 WHERE id = %s', (replaced,))
        cursor.execute("UPDATE orders SET status = 'FILLED' WHERE id = %s", (filled,))
        cursor.execute('SELECT FROM orders WHERE id = %s FOR UPDATE', (untouched,))
        with run_beside(world) as running:
            wait_for_lock(world, running)
            waits = not running.done()
            other.commit()
    assert [status(world, id) for id in (replaced, filled, untouched, free)] == ['OPEN', 'FILLED', 'OPEN', 'CANCELED']
    assert not waits
    assert world.agent.take()['num_stale_orders.count|g'] == [1]
    world.run(TASK)
    assert [status(world, id) for id in (replaced, filled, untouched)] == ['OPEN', 'FILLED', 'CANCELED']


def test_what_changes_while_the_statement_is_at_another_row_is_looked_at_again(world):
    """The statement has begun, and so sees the rows as they were, and stops at the oldest: then Ender changes the others."""
    world.block(500)
    oldest, replaced, filled, partly, ended = (world.order(400 + i) for i in range(5))
    world.sql(f"""CREATE FUNCTION wait_at_the_oldest() RETURNS trigger LANGUAGE plpgsql AS $$
                  BEGIN IF NEW.id = '{oldest}' THEN PERFORM pg_advisory_xact_lock(77); END IF; RETURN NEW; END $$;
                  CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION wait_at_the_oldest()""")
    # row after row; other plans lock all rows before the first is changed
    world.sql(f'ALTER DATABASE "{world.database}" SET enable_hashjoin = off')
    world.sql(f'ALTER DATABASE "{world.database}" SET enable_mergejoin = off')
    with contextlib.closing(world.postgres.connect(world.database)) as ender, ender.cursor() as cursor:
        cursor.execute("SET lock_timeout = '10 s'")
        cursor.execute('SELECT pg_advisory_lock(77)')
        with run_beside(world) as running:
            wait_for_lock(world, running)
            try:
                cursor.execute('UPDATE orders SET "goodTilBlock" = 600 WHERE id = %s', (replaced,))
                cursor.execute("UPDATE orders SET status = 'FILLED' WHERE id = %s", (filled,))
                cursor.execute('UPDATE orders SET "totalFilled" = 0.75 WHERE id = %s', (partly,))
                cursor.execute("UPDATE orders SET status = 'BEST_EFFORT_CANCELED' WHERE id = %s", (ended,))
                assert not running.done()
            finally:
                cursor.execute('SELECT pg_advisory_unlock(77)')
    assert [status(world, id) for id in (oldest, replaced, filled, partly, ended)] == \
        ['CANCELED', 'OPEN', 'FILLED', 'CANCELED', 'BEST_EFFORT_CANCELED']
    assert world.sql('SELECT "totalFilled"::text FROM orders WHERE id = %s', (partly,)) == [('0.75',)]
    assert world.agent.take()['num_stale_orders_canceled.count|g'] == [2]


def test_what_a_batch_leaves_because_an_order_was_replaced_meanwhile_is_done_by_the_next_run(world):
    """Replaced by one that is stale, too, with a later block: the batch ends there, and the next one begins behind it."""
    world.block(500)
    ids = [world.order(400 + i) for i in range(10)]
    world.sql(f"""CREATE FUNCTION wait_at_the_oldest() RETURNS trigger LANGUAGE plpgsql AS $$
                  BEGIN IF NEW.id = '{ids[0]}' THEN PERFORM pg_advisory_xact_lock(77); END IF; RETURN NEW; END $$;
                  CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION wait_at_the_oldest()""")
    world.sql(f'ALTER DATABASE "{world.database}" SET enable_hashjoin = off')
    world.sql(f'ALTER DATABASE "{world.database}" SET enable_mergejoin = off')
    world.deployment.settings('orders', stale_batch_size=3)
    with contextlib.closing(world.postgres.connect(world.database)) as ender, ender.cursor() as cursor:
        cursor.execute('SELECT pg_advisory_lock(77)')
        with run_beside(world) as running:
            wait_for_lock(world, running)
            try:
                cursor.execute('UPDATE orders SET "goodTilBlock" = 450 WHERE id = %s', (ids[1],))
            finally:
                cursor.execute('SELECT pg_advisory_unlock(77)')
    assert [status(world, id) for id in ids] == ['CANCELED'] * 3 + ['OPEN'] * 7
    assert world.sql('SELECT "goodTilBlock" FROM orders WHERE id = %s', (ids[1],)) == [(450,)]
    world.run(TASK)
    assert cancelled(world) == 10
    assert world.agent.take()['num_stale_orders.count|g'] == [3, 7]


def test_without_a_replica_the_primary_answers(world):
    world.block(500)
    id = world.order(499)
    world.run(TASK, environment={'IS_USING_DB_READONLY': 'false'})
    assert status(world, id) == 'CANCELED'


def test_no_live_order_is_cancelled_while_ender_places_replaces_and_fills(world):
    """Orders that live beyond the last height, or are filled, are never cancelled, however the statements meet."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    first, last = 400, 1000
    world.block(first)
    ids = [world.order(rng.randrange(first, last)) for _ in range(800)]
    lives, filled = set(), set()
    worker = world.worker(TASK, interval='30 ms', stale_batch_size=5)
    worker.wait_for(lambda: finished(worker), 'a first run')

    with contextlib.closing(world.postgres.connect(world.database)) as ender, ender.cursor() as cursor:
        for i, id in enumerate(rng.sample(ids, len(ids))):
            kind = rng.randrange(4)
            if kind == 0:  # replaced, if it is still open
                cursor.execute('UPDATE orders SET "goodTilBlock" = %s WHERE id = %s AND status = %s RETURNING id',
                               (last + rng.randrange(2), id, 'OPEN'))
                lives.update(cursor.fetchall())
            elif kind == 1:
                cursor.execute("UPDATE orders SET status = 'FILLED' WHERE id = %s", (id,))
                filled.add((id,))
            elif kind == 2:
                cursor.execute('UPDATE orders SET "totalFilled" = "totalFilled" + 1 WHERE id = %s', (id,))
            if i % 4 == 3:
                cursor.execute('INSERT INTO blocks VALUES (%s, now())', (first + 1 + i * (last - first - 2) // len(ids),))
            if i % 100 == 99:  # Ender may be done before a worker on a busy machine has looked twice
                runs = len(finished(worker))
                worker.wait_for(lambda: len(finished(worker)) > runs, 'a run in the midst')
    world.block(last)
    runs = len(finished(worker))
    worker.wait_for(lambda: len(finished(worker)) > runs + 1, 'runs after the last block')
    assert worker.stop() == 0
    records = finished(worker)
    assert [r for r in records if r['result'] == 'failed'] == []
    assert sum(r['orders'] > 0 for r in records[:runs]) > 2, f'seed {seed}: they did not meet'
    assert len(lives) > 10 and len(filled) > 10, seed
    found = dict(world.sql('SELECT id::text, status FROM orders'))
    expected = {id: 'OPEN' if (id,) in lives else 'FILLED' if (id,) in filled else 'CANCELED' for id in ids}
    assert found == expected, seed


def test_killed_anywhere_and_on_two_hosts(world, postgres, redis):
    world.block(1000)
    stale(world, 25)
    world.order(1000)
    campaign = Campaign(world.deployment, 'orders', TASK, postgres, world.database, redis, world.kafka,
                        settings={'stale_batch_size': 10}, topics={'to-vulcan': len})
    points = campaign.kill_everywhere()
    assert sum('cancel_stale_orders:postgres.cancel_stale_orders:sent' in p for p in points) == 3, points
    campaign.two_hosts(intervals=4)


def test_killed_while_a_statement_is_under_way(world):
    """SIGKILL during the update: the server ends the statement or undoes it, and the next run does the rest."""
    world.block(1000)
    stale(world, 25)
    world.run(TASK, expect=-signal.SIGKILL, environment={
        'ROUNDTABLE_FAILPOINT_KILL': f'{TASK}:postgres.cancel_stale_orders:sent#1'})
    assert cancelled(world) in (0, 25)
    world.run(TASK)
    assert cancelled(world) == 25
