"""The sample gives every task of ticks and leaderboards something to do."""
import pytest

import harness
from pnl_world import LATEST


@pytest.fixture
def sampled(build, postgres, migrated, redis, redis_server):
    name = postgres.create_database('sample_pnl_test', template=migrated)
    with harness.Deployment(build, postgres, name, redis_server) as d:
        done = d.run('roundtable-admin', 'sample', '--conf', d.conf, '--scale', '0.05')
        assert done.returncode == 0, done.stderr

        def run(task):
            done = d.run('roundtable-worker', '--run', task, '--no-lock', '--conf', d.conf)
            assert done.returncode == 0, done.stdout + done.stderr

        def sql(text):
            return postgres.execute(text, database=name)
        yield run, sql, redis
    postgres.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_ticks_are_due_for_all_and_ranks_can_be_made_of_them(sampled):
    run, sql, redis = sampled
    ((accounts, ticks, last),) = sql('SELECT (SELECT count(*) FROM subaccounts), count(*), max("blockTime") FROM pnl_ticks')
    assert (accounts, ticks) == (50, 28 * 50) and redis.hlen(LATEST) == 50
    assert sql('SELECT count(*) FROM vaults')[0][0] == 5
    # the foreign key was left out while they were made
    assert sql('SELECT count(*) FROM pnl_ticks WHERE "subaccountId" NOT IN (SELECT id FROM subaccounts)') == [(0,)]
    run('create_pnl_ticks')
    assert sql(f'SELECT count(*) FROM pnl_ticks WHERE "blockTime" > \'{last}\'') == [(50,)]
    # a block's time and height belong together
    assert sql('SELECT count(*) FROM pnl_ticks AS t JOIN blocks AS b USING ("blockHeight") WHERE b.time <> t."blockTime"') == [(0,)]
    for which, span in (('all_time', 'ALL_TIME'), ('daily', 'ONE_DAY'), ('weekly', 'SEVEN_DAYS'), ('monthly', 'THIRTY_DAYS'),
                        ('yearly', 'ONE_YEAR')):
        run(f'create_leaderboard_pnl_{which}')
        ((ranked, sum_of_pnl),) = sql(f'SELECT count(*), sum(pnl::numeric) FROM leaderboard_pnl WHERE "timeSpan" = \'{span}\'')
        assert ranked == 40 and sum_of_pnl != 0
    run('pnl_instrumentation')
