"""Rows of the bench for funding payments, hourly PnL and trading rewards, and a backfill of 10,000 heights."""
import json
import time

import harness
from rows import Row, Sql, array, bind

FAMILY = 'pnl'
HOUR_BEFORE, LAST = 10017280, 10018000  # heights with funding updates in the sample
PERIODS = {'daily': ('DAILY', 'day'), 'weekly': ('WEEKLY', 'week'), 'monthly': ('MONTHLY', 'month')}
HEIGHTS, ACCOUNTS, MARKETS = 10000, 200, 3


def run_once(bench, task):
    done = bench.deployment.run('roundtable-worker', '--run', task, '--no-lock', '--conf', bench.deployment.conf, timeout=600)
    assert done.returncode == 0, (done.stdout, done.stderr)


def prepare(*tasks):
    return lambda bench: [run_once(bench, task) for task in tasks]


def due_again(table, key):
    def reset(bench):
        """The last hour is due; vacuumed, since every run leaves as many dead rows."""
        bench.sql(f'DELETE FROM {table} WHERE "createdAtHeight" > %s', (HOUR_BEFORE,))
        bench.sql('UPDATE persistent_cache SET value = %s WHERE key = %s', (HOUR_BEFORE, key))
        bench.sql(f'VACUUM ANALYZE {table}')
        bench.sql('CHECKPOINT')
    return reset


def heights_floor(task, read, write, *parameters):
    def floor(bench):
        """The statements of a run: the backlog, then a transaction with one height."""
        heights = bench.statement('pnl', read)
        return [Sql('\n'.join([
            bind(heights, 1000000000) + ';', 'BEGIN;', bind(bench.statement('pnl', 'lock_task'), f'roundtable/{task}') + ';',
            bind(heights, 1) + ';', bind(bench.statement('pnl', write), HOUR_BEFORE, array([LAST]), *parameters) + ';',
            'COMMIT;']))]
    return floor


def one_height(bench, record):
    assert record['heights'] == 1 and record['rows'] > 0, record


def hour(bench):
    """Start and end of the last hour of rewards, as far as it lies within the last day."""
    return bench.sql('''SELECT to_char(greatest(latest - interval '1 hour', date_trunc('day', latest)), f), to_char(latest, f)
                          FROM (SELECT date_trunc('minute', max(time)) AS latest, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"' AS f
                                  FROM blocks) AS b''')[0]


def rewards_due_again(which):
    period, _ = PERIODS[which]

    def reset(bench):
        bench.sql("SET timezone = 'UTC'")
        bench.redis.set(f'v4/aggregate_trading_rewards_processed/{period}', hour(bench)[0])
        bench.sql('DELETE FROM persistent_cache WHERE key = %s', (f'aggregateTradingRewardsProcessed/{period}',))
        bench.sql('VACUUM ANALYZE trading_reward_aggregations')
    return reset


def rewards_floor(which):
    period, unit = PERIODS[which]

    def floor(bench):
        start, end = hour(bench)
        cache = f'aggregateTradingRewardsProcessed/{period}'
        interval = bind(bench.statement('pnl', 'read_rewards_interval'), start, cache, unit, 3600000, 'NULL', 'NULL')
        interval = interval.replace("'NULL'", 'NULL')
        (height,) = bench.sql('''SELECT "blockHeight" FROM blocks WHERE time >= date_trunc(%s, %s::timestamptz)
                                 ORDER BY time LIMIT 1''', (unit, start))[0]
        rewards = bind(bench.statement('pnl', 'read_rewards'), start, end)
        addresses, amounts = [array(c) for c in zip(*bench.sql(rewards))]
        ids = array(row[0] for row in bench.sql('''SELECT id FROM trading_reward_aggregations
            WHERE period = %s AND "startedAtHeight" = %s AND address = ANY (%s::text[])''', (period, height, addresses)))
        return [Sql('\n'.join([
            "SET timezone = 'UTC';", 'BEGIN;',
            bind(bench.statement('pnl', 'lock_task'), f'roundtable/aggregate_trading_rewards_{which}') + ';', interval + ';',
            rewards + ';', bind(bench.statement('pnl', 'read_aggregations'), addresses, amounts, period, height) + ';',
            bind(bench.statement('pnl', 'update_aggregations'), ids, amounts) + ';',
            bind(bench.statement('pnl', 'write_cache'), cache, end) + ';', 'COMMIT;']))]
    return floor


def one_interval(bench, record):
    assert record['intervals'] == 1 and record['addresses'] > 0, record


def fill_backlog(connection):
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica; SET timezone = 'UTC'")
        cursor.execute("INSERT INTO markets SELECT i, 'pair ' || i, -9, 1000, NULL FROM generate_series(0, %s) AS i",
                       (MARKETS - 1,))
        cursor.execute('''INSERT INTO perpetual_markets (id, "clobPairId", ticker, "marketId", status, "priceChange24H",
                              "volume24H", "trades24H", "nextFundingRate", "openInterest", "quantumConversionExponent",
                              "atomicResolution", "subticksPerTick", "stepBaseQuantums")
                          SELECT i, i, 'M' || i || '-USD', i, 'ACTIVE', 0, 0, 0, 0, 0, -9, -7, 100000, 1000000
                            FROM generate_series(0, %s) AS i''', (MARKETS - 1,))
        cursor.execute("INSERT INTO subaccounts SELECT md5('s' || i)::uuid, 'a' || i, 0, now(), 1 FROM generate_series(0, %s) AS i",
                       (ACCOUNTS - 1,))
        cursor.execute('''INSERT INTO funding_index_updates
                          SELECT md5(h || ' ' || m)::uuid, m, '\\x00', 0.0000125, 60000.5, h * 0.125 + m,
                                 '2023-11-01'::timestamptz + h * interval '1 hour', 700 * h
                            FROM generate_series(1, %s) AS h, generate_series(0, %s) AS m''', (HEIGHTS, MARKETS - 1))
        # each account opens each market in the first hour, and trades 70 times an hour in all
        cursor.execute('''INSERT INTO fills (id, "subaccountId", side, liquidity, type, "clobPairId", size, price, "quoteAmount",
                              "eventId", "transactionHash", "createdAt", "createdAtHeight", fee)
                          SELECT md5('f' || k)::uuid, md5('s' || k %% %(a)s)::uuid, CASE WHEN k %% 7 < 3 THEN 'SELL' ELSE 'BUY' END,
                                 'TAKER', 'LIMIT', k / %(a)s %% %(m)s, 0.5 + k %% 1000 / 1000.0, 1, 100 + k %% 977 / 7.0, '\\x00', '',
                                 now(), greatest((k - %(a)s * %(m)s) * 10, 1), round((k %% 97) / 7.0, 6)::text
                            FROM generate_series(0, %(n)s) AS k''', {'a': ACCOUNTS, 'm': MARKETS, 'n': HEIGHTS * 70})
        cursor.execute('''INSERT INTO transfers (id, "recipientSubaccountId", "senderWalletAddress", "assetId", size, "eventId",
                              "transactionHash", "createdAt", "createdAtHeight")
                          SELECT md5('t' || k)::uuid, md5('s' || k %% %s)::uuid, 'w', '0', 1000 + k, '\\x00', '', now(), 1 + k * 350
                            FROM generate_series(0, 19999) AS k''', (ACCOUNTS,))
        cursor.execute('VACUUM ANALYZE')


def backfill(build, servers, template):
    """Both tasks from the first height on, in a worker that is killed once in the midst of each."""
    postgres = servers['postgres']
    database = postgres.create_database('bench_backfill', template=template)
    connection = postgres.connect(database)
    fill_backlog(connection)
    lines = []
    with harness.Deployment(build, postgres, database, servers['redis'], servers['kafka']) as d:
        listed = json.loads(d.run('roundtable', 'list', '--json', '--conf', d.conf).stdout)
        names = [entry['task'] for entry in listed if entry['family'] == FAMILY]
        for task, table in (('update-funding-payments', 'funding_payments'), ('update-pnl', 'pnl')):
            servers['redis'].client().flushall()
            # an interval whose locks are soon over when their owner is killed
            d.settings(FAMILY, tasks={name: {'enabled': name == task, 'interval': '2 s'} for name in names})
            start = time.monotonic()
            worker = d.worker(FAMILY)

            def progress():
                (found,) = [t for t in worker.control('status')['worker']['tasks'] if t['name'] == task]
                return found
            worker.wait_for(lambda: (progress()['run'] or {}).get('done', 0) > HEIGHTS / 2, 'half of the heights', 1800)
            worker.kill()
            worker = d.worker(FAMILY)
            worker.wait_for(lambda: progress()['runs'] > 0, 'the end of the backfill', 1800)
            took = time.monotonic() - start
            (record,) = [r for r in worker.records(taskName=task) if 'roundTrips' in r][:1]
            with open(f'/proc/{worker.pid}/status') as f:
                peak = [int(line.split()[1]) for line in f if line.startswith('VmHWM')][0]
            worker.stop()
            with connection.cursor() as cursor:
                cursor.execute(f'SELECT count(*), count(DISTINCT "createdAtHeight") FROM {table}')
                rows, heights = cursor.fetchone()
            assert heights == HEIGHTS and record['result'] == 'ok', (heights, record)
            lines.append(f'Backfill of {heights:,} heights by `{task}` ({ACCOUNTS} accounts, {MARKETS} markets), killed at half '
                         f'of them: {rows:,} rows in {took:.0f} s, {rows / took:,.0f} a second; second half: '
                         f'{record["slices"]} slices, {record["roundTrips"]} round trips, peak {peak / 1024:.0f} MiB.')
    connection.close()
    postgres.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
    return '\n\n'.join(lines)


ROWS = [
    Row('update-funding-payments', title='update-funding-payments, one hour', prepare=prepare('update-funding-payments'),
        reset=due_again('funding_payments', 'fundingPaymentsLastProcessedHeight'),
        floor=heights_floor('update-funding-payments', 'read_funding_heights', 'write_funding_payments', 'false'),
        check=one_height),
    Row('update-pnl', title='update-pnl, one hour', prepare=prepare('update-funding-payments', 'update-pnl'),
        reset=due_again('pnl', 'pnlLastProcessedHeight'),
        floor=heights_floor('update-pnl', 'read_pnl_heights', 'write_pnl'), check=one_height),
    *(Row(f'aggregate_trading_rewards_{which}', title=f'aggregate_trading_rewards_{which}, one hour',
          prepare=prepare(f'aggregate_trading_rewards_{which}'), reset=rewards_due_again(which), floor=rewards_floor(which),
          check=one_interval)
      for which in PERIODS),
]

MORE = [('update-funding-payments', backfill)]
