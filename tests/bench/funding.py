"""Rows of the bench for funding payments, hourly PnL and trading rewards, and a backfill of 10,000 heights."""
import os
import sys

from rows import ROOT, Row, Sql, array, bind

sys.path.insert(0, os.path.join(ROOT, 'tests', 'fault'))
import backfill  # noqa: E402

FAMILY = 'pnl'
HOUR_BEFORE, LAST = 10017280, 10018000  # heights with funding updates in the sample
PERIODS = {'daily': ('DAILY', 'day'), 'weekly': ('WEEKLY', 'week'), 'monthly': ('MONTHLY', 'month')}


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


def backfill_lines(build, servers, template):
    """From the first height on. What a worker that is killed in the midst leaves behind is for ./dev soak --backfill."""
    return '\n\n'.join(backfill.compare(build, servers['postgres'], servers['redis'], template, kills=0,
                                        say=lambda text: None))


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

MORE = [('update-funding-payments', backfill_lines)]
