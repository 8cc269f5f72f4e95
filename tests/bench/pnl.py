"""Rows of the bench for ticks, leaderboards, the views of vaults and pnl_instrumentation."""
import hashlib
import json

from rows import Commands, Row, Sql, array, bind

LATEST = 'v4/latest-accounts-pnl-tick'
KEPT = 'bench-latest-ticks'
PENDING = 'roundtable.control.create_pnl_ticks.pending'
PAGE = 5000
HOUR_MSEC = 3600000
LIMIT = 65000
SPANS = {'all_time': ('ALL_TIME', None), 'daily': ('ONE_DAY', 1), 'weekly': ('SEVEN_DAYS', 7), 'monthly': ('THIRTY_DAYS', 30),
         'yearly': ('ONE_YEAR', 365)}


def literal(text, *values):
    """bind() whose None is NULL."""
    return bind(text, *('\0' if v is None else v for v in values)).replace("'\0'", 'NULL')


def keep_hash(bench):
    """The hash as the hour before left it."""
    bench.redis.copy(LATEST, KEPT, replace=True)


def ticks_due_again(bench):
    bench.redis.copy(KEPT, LATEST, replace=True)
    bench.redis.delete(PENDING)
    bench.sql("DELETE FROM persistent_cache WHERE key = 'createPnlTicksRest'")
    bench.sql('DELETE FROM pnl_ticks WHERE "blockHeight" = (SELECT max("blockHeight") FROM blocks)')
    bench.sql('VACUUM ANALYZE pnl_ticks')
    bench.sql('CHECKPOINT')


def ticks_floor(bench):
    """A run's statements with the ids of the run before, its COPY too; its reads and writes of Redis, in pages."""
    bench.sql("SET timezone = 'UTC'")
    entries = {k.decode(): json.loads(v) for k, v in bench.redis.hgetall(KEPT).items()}
    made = bench.sql('SELECT "subaccountId"::text, id::text, "createdAt"::text, "blockTime"::text FROM pnl_ticks '
                     'WHERE "blockHeight" = (SELECT max("blockHeight") FROM blocks)')
    ids, now, time = {s: i for s, i, _, _ in made}, made[0][2], made[0][3]
    rows = ''.join(f'{s}\t{e["blockHeight"]}\t{e["blockTime"]}\t{e["createdAt"]}\t{ids[s]}\n' for s, e in entries.items())

    def pnl(name):
        return bench.statement('pnl', name)
    script = '\n'.join([
        '\\o /dev/null',
        bind(pnl('read_tick_gate'), LIMIT) + ';', pnl('read_tick_rest') + ';',
        'BEGIN;', pnl('lock_ticks') + ';', pnl('create_cached_ticks') + ';',
        pnl('copy_cached_ticks') + ';\n' + rows + '\\.',
        pnl('create_due_ticks') + ';',
        literal(pnl('compute_due_ticks'), None, HOUR_MSEC, now, LIMIT, None, None, 14400, 0) + ';',
        pnl('count_due_ticks') + ';',
        bind(pnl('name_ticks'), '{}', '{}', 0, PAGE) + ';',
        bind(pnl('write_ticks'), 0, len(made)) + ';', bind(pnl('delete_tick_rest'), 0) + ';',
        'COMMIT;',
        'BEGIN;', pnl('lock_ticks') + ';', bind(pnl('read_latest_ticks'), '{"' + time + '"}') + ';', 'ROLLBACK;'])
    written = list(bench.redis.hgetall(LATEST).items())
    return [Sql(script), Commands([['HGETALL', KEPT]] + [
        ['HSET', LATEST, *(word for pair in written[i:i + PAGE] for word in pair)] for i in range(0, len(written), PAGE)])]


def all_have_ticks(bench, record):
    assert record['ticks'] == bench.sql('SELECT count(*) FROM subaccounts')[0][0], record


def rank_again(which):
    def reset(bench):
        bench.redis.delete(f'v4/leaderboard_pnl_processed/{SPANS[which][0]}')
        bench.sql('TRUNCATE leaderboard_pnl')
    return reset


def ranks_floor(which):
    def floor(bench):
        span, days = SPANS[which]
        excluded = array('dydx1' + hashlib.sha256(b'%d' % n).hexdigest()[:38] for n in range(1000))
        now = bench.sql("SELECT now()::text")[0][0]

        def pnl(name):
            return bench.statement('pnl', name)
        return [Sql('\n'.join([
            '\\o /dev/null', pnl('read_latest_tick_time') + ';', 'BEGIN;', bind(pnl('lock_leaderboard'), span) + ';',
            pnl('create_ranked') + ';', 'INSERT INTO pnl_ranked ' + literal(pnl('rank_accounts'), now, days, excluded) + ';',
            pnl('read_unranked') + ';', pnl('count_ranked') + ';', bind(pnl('write_ranked'), span, 0, 1000000000) + ';',
            'COMMIT;'])), Commands([['GET', 'bench'], ['SET', 'bench', 'x']])]
    return floor


def ranked_all(bench, record):
    assert record['ranked'] == record['written'] > 0, record


def ages_floor(bench):
    accounts = [row[0] for row in bench.sql('SELECT id::text FROM subaccounts ORDER BY id')]
    return [Sql('\\o /dev/null\n' + bench.statement('pnl', 'read_tick_ages') + ';'),
            Commands([['HMGET', LATEST, *accounts[i:i + PAGE]] for i in range(0, len(accounts), PAGE)])]


def whole_day(bench):
    """Both views are refreshed whatever the time is."""
    bench.deployment.environment['TIME_WINDOW_FOR_REFRESH_VAULT_PNL_MS'] = '86400000'


def views_floor(bench):
    return [Sql(';\n'.join(bench.statement('pnl', f'refresh_vaults_{v}') for v in ('hourly', 'daily')) + ';')]


def both_views(bench, record):
    assert record['hourly_view'] == record['daily_view'] == 1, record


ROWS = [
    Row('create_pnl_ticks', title='create_pnl_ticks, all accounts', prepare=keep_hash, reset=ticks_due_again, floor=ticks_floor,
        check=all_have_ticks),
    *(Row(f'create_leaderboard_pnl_{which}', reset=rank_again(which), floor=ranks_floor(which), check=ranked_all)
      for which in ('all_time', 'daily', 'weekly', 'monthly', 'yearly')),
    Row('pnl_instrumentation', floor=ages_floor),
    Row('refresh-vault-pnl', title='refresh-vault-pnl, both views', prepare=whole_day, floor=views_floor, check=both_views),
]
