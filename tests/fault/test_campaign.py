"""The campaigns of tests/campaign.py find what they are for: one that passes everything would pass for the wrong reason."""
import collections
import os

import pytest

import harness
import servers
from campaign import Campaign, State, last_value_of_each_key
from testing_family import TABLES

TOPIC = 'to-websockets-markets'
VOLATILE = {'testing_runs': ['id', 'run_id', 'xid', 'at'], 'testing_published': ['id', 'run_id']}


@pytest.fixture
def make(build, postgres, database, redis, redis_server):
    postgres.execute(TABLES, database=database)
    mock = servers.KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock'))
    mock.start()
    with harness.Deployment(build, postgres, database, redis_server, mock) as d:
        yield lambda task, **more: Campaign(d, 'testing', task, postgres, database, redis, mock, volatile=VOLATILE, **more)
    mock.close()


def test_a_task_that_publishes_before_its_commit_fails(make, postgres, database):
    def phantoms(records):
        stored = {row[0] for row in postgres.execute('SELECT id FROM testing_published', database=database)}
        return {int(r.value) for r in records} - stored

    campaign = make('testing_publish_first', topics={TOPIC: phantoms})
    failures = campaign.failures()
    # killed between the broker and the COMMIT, consumers have an id that the database has not
    between = [p for p in campaign.points if 'kafka' in p and not p.endswith(':before#1')] + \
        [p for p in campaign.points if 'commit' in p and p.endswith(':before#1')]
    assert len(between) >= 2, campaign.points
    for point in between:
        assert any(line.startswith('Kafka topic') for line in failures[point]), (point, failures.get(point))
        assert not any(line.startswith('table') for line in failures[point]), failures[point]
    # and what was killed before anything left is made good
    assert [p for p in campaign.points if 'insert_published' in p] and \
        not any('insert_published' in p for p in failures), failures
    with pytest.raises(AssertionError, match='points:\n'):
        campaign.kill_everywhere()


def test_a_task_that_does_its_work_twice_fails(make):
    campaign = make('testing_rows', settings={'rows_sleep': '1 ms'})
    failures = campaign.failures()
    assert any('table testing_runs has also' in line for lines in failures.values() for line in lines)
    with pytest.raises(AssertionError, match='testing_runs'):
        campaign.two_hosts(intervals=3)


def test_the_world_is_reset(make, postgres, database, redis):
    postgres.execute("INSERT INTO testing_published VALUES (7, 'seven'); SELECT nextval('testing_runs_id_seq')",
                     database=database)
    redis.hset('h', mapping={'a': '1'})
    redis.set('s', 'text', ex=1000)
    campaign = make('testing_rows')
    campaign.reset()
    first = campaign.state()
    assert first.keys == {'h': ('hash', {b'a': b'1'}, False), 's': ('string', b'text', True)}
    postgres.execute("UPDATE testing_published SET run_id = 'x'; INSERT INTO testing_runs (task) VALUES ('x')",
                     database=database)
    redis.delete('h')
    redis.rpush('l', '1')
    changed = first.differences(campaign.state())
    assert any('Redis key h' in d for d in changed) and any('Redis key l' in d for d in changed)
    assert any('testing_runs has also' in d for d in changed)
    campaign.reset()
    assert first.differences(campaign.state()) == []
    assert postgres.execute("SELECT run_id FROM testing_published", database=database) == [('seven',)]
    assert postgres.execute("INSERT INTO testing_runs (task) VALUES ('x') RETURNING id", database=database) == [(2,)]


def test_every_kind_of_difference_is_named():
    def state(**different):
        values = dict(tables={'t': collections.Counter(['row'])}, keys={'k': ('string', b'v', False)}, pending=set(),
                      kafka={'topic': {b'k': b'v'}}, locks=[])
        return State(**dict(values, **different))
    assert state().differences(state()) == []
    for different, named in (({'tables': {'t': collections.Counter()}}, 'table t lacks row'),
                             ({'tables': {'t': collections.Counter(['row', 'row'])}}, 'table t has also row'),
                             ({'keys': {}}, 'Redis key k'),
                             ({'keys': {'k': ('string', b'v', True)}}, 'Redis key k'),
                             ({'pending': {b'4:volume24H'}}, 'names to publish'),
                             ({'kafka': {'topic': {b'k': b'w'}}}, 'Kafka topic topic'),
                             ({'locks': ['lock x is left']}, 'lock x is left')):
        (line,) = state().differences(state(**different))
        assert named in line


def test_a_lock_that_is_left_is_named(make, redis):
    campaign = make('testing_rows')
    campaign.reset()
    redis.set('roundtable.loops.testing_rows.task_extended_timeouts', 'x', px=60000)
    redis.set('roundtable.loops.testing_rows.task_timeouts', 'x')
    assert sorted(campaign.state().locks) == ['lock roundtable.loops.testing_rows.task_extended_timeouts is left',
                                              'lock roundtable.loops.testing_rows.task_timeouts would never expire']


def test_last_value_of_each_key(make):
    from campaign import Record
    assert last_value_of_each_key([Record('t', 0, 0, b'a', b'1'), Record('t', 0, 1, None, b'2'),
                                   Record('t', 0, 2, b'a', None)]) == {b'a': None, None: b'2'}
