"""One run in the foreground (`roundtable run`) with real PostgreSQL and Redis."""
import json
import os
import pty
import select
import signal
import subprocess

import pytest

import harness
from servers import die_with_parent, wait_until
from testing_family import TABLES

R = 'roundtable.loops.{}.task_timeouts'
E = 'roundtable.loops.{}.task_extended_timeouts'


@pytest.fixture
def deployment(build, postgres, database, redis, redis_server):
    postgres.execute(TABLES, database=database)
    redis.set('roundtable.control.epoch', '1')  # else everybody waits for owners of locks to show up
    with harness.Deployment(build, postgres, database, redis_server) as d:
        d.rows = lambda where='true': postgres.execute(
            f'SELECT run_id, event, at FROM testing_runs WHERE {where} ORDER BY id', database=database)
        yield d


def enable(deployment, interval='200 ms', task='testing_rows', **settings):
    deployment.settings('testing', tasks={task: {'enabled': True, 'interval': interval}}, **settings)


def run_once(deployment, *arguments):
    return deployment.run('roundtable', 'run', *arguments, '--conf', deployment.conf)


def start(deployment, *arguments):
    """The same in the background."""
    return subprocess.Popen([deployment.program_path('roundtable'), 'run', *arguments, '--conf', deployment.conf],
                            env=deployment.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)


def test_run_in_the_foreground(deployment, redis):
    enable(deployment, '1 h', rows_sleep='10 ms')
    p = run_once(deployment, 'testing_rows')
    assert p.returncode == 0 and 'testing_rows: done' in p.stdout, p
    assert [r[1] for r in deployment.rows()] == ['begin', 'end']
    assert redis.pttl('roundtable.loops.testing_rows.task_timeouts') > 3000000
    assert not redis.exists('roundtable.loops.testing_rows.task_extended_timeouts')
    assert run_once(deployment, 'testing_rows').returncode == 0, 'an R of ours is no reason to wait'


def test_run_waits_for_nobody_unless_told(deployment, redis):
    enable(deployment, '1 h', rows_sleep='10 ms')
    redis.set('roundtable.loops.testing_rows.task_timeouts', 'TIMEOUT NOT EXPIRED', px=3000)
    p = run_once(deployment, 'testing_rows')
    assert p.returncode == 75 and 'original?' in p.stderr, p
    assert run_once(deployment, 'testing_rows', '--wait').returncode == 0
    redis.set('roundtable.loops.testing_rows.task_extended_timeouts', 'TIMEOUT NOT EXPIRED other', px=600000)
    assert run_once(deployment, 'testing_rows', '--force').returncode == 75
    assert run_once(deployment, 'testing_rows', '--no-lock').returncode == 0


def test_dry_run_changes_nothing(deployment, redis):
    enable(deployment, '1 h', rows_sleep='10 ms')
    p = run_once(deployment, 'testing_rows', '--dry-run')
    assert p.returncode == 0 and 'previewed' in p.stdout, p
    assert deployment.rows() == [] and [k for k in redis.keys() if not k.startswith((b'roundtable.loops.', b'roundtable.control.'))] == []
    p = run_once(deployment, 'testing_kafka', '--dry-run')
    assert p.returncode == 0 and 'to-websockets-markets' in p.stdout, p


def test_a_preview_costs_no_interval_and_is_no_success(deployment, redis):
    enable(deployment, '1 h', rows_sleep='10 ms')
    hash_key = 'roundtable.control.testing_rows.run'
    assert run_once(deployment, 'testing_rows', '--dry-run').returncode == 0
    assert not redis.exists(R.format('testing_rows')) and not redis.exists(E.format('testing_rows'))
    assert redis.hget(hash_key, 'last_success') is None and redis.hget(hash_key, 'last_result') == b'previewed'
    # what is left of the interval after a real run is left by a preview too
    assert run_once(deployment, 'testing_rows').returncode == 0
    success, expires = redis.hget(hash_key, 'last_success'), int(redis.hget(hash_key, 'r_expires'))
    assert run_once(deployment, 'testing_rows', '--dry-run').returncode == 0
    assert redis.hget(hash_key, 'last_success') == success is not None
    assert redis.pttl(R.format('testing_rows')) > 0 and abs(int(redis.hget(hash_key, 'r_expires')) - expires) < 1000000


def test_one_that_runs_is_named_and_waited_for(deployment, redis):
    enable(deployment, '1 h', rows_sleep='1500 ms')
    first = start(deployment, 'testing_rows')
    wait_until(lambda: deployment.rows(), 'its first row')
    refused = run_once(deployment, 'testing_rows', '--force')
    host = os.uname().nodename
    assert refused.returncode == 75 and f'is being run by {host}' in refused.stderr and '--wait' in refused.stderr, refused
    waited = start(deployment, 'testing_rows', '--wait')
    out, err = first.communicate(timeout=30)
    assert first.returncode == 0, err
    out, err = waited.communicate(timeout=30)
    assert waited.returncode == 0 and f'is being run by {host}' in err, err
    assert [r[1] for r in deployment.rows()] == ['begin', 'end'] * 2, 'one after the other'


@pytest.mark.parametrize('arguments', [[], ['--json']])
def test_a_pause_ends_a_long_run_between_its_slices(deployment, redis, arguments):
    enable(deployment, '1 h', task='testing_more', more_slices=1000000)
    p = start(deployment, 'testing_more', *arguments)
    wait_until(lambda: len(deployment.rows()) > 2, 'its slices')
    redis.hset('roundtable.control.testing_more.paused', mapping={'who': 'ann', 'reason': 'repair', 'host': 'db1'})
    out, err = p.communicate(timeout=30)
    said = err if arguments else out
    assert p.returncode == 75 and 'paused by ann on db1: repair' in said and 'HINT: run it again' in said, (out, err)
    n = len(deployment.rows())
    if arguments:
        record = json.loads(out)
        assert record['result'] == 'cancelled' and record['slices'] == n, record
    assert redis.hget('roundtable.control.testing_more.run', 'last_result') == b'cancelled'
    assert not redis.exists(E.format('testing_more')) and redis.pttl(R.format('testing_more')) > 0, 'originals stay away'
    assert run_once(deployment, 'testing_more').returncode == 75 and len(deployment.rows()) == n
    enable(deployment, '1 h', task='testing_more', more_slices=2)
    redis.delete('roundtable.control.testing_more.paused')
    assert run_once(deployment, 'testing_more', *arguments).returncode == 0 and len(deployment.rows()) == n + 2


def test_force_goes_past_the_interval_only(deployment, redis):
    enable(deployment, '1 h', rows_sleep='0 s')
    redis.set(R.format('testing_rows'), 'TIMEOUT NOT EXPIRED', px=3600000)
    assert run_once(deployment, 'testing_rows').returncode == 75
    assert run_once(deployment, 'testing_rows', '--force').returncode == 0
    assert redis.pttl(R.format('testing_rows')) > 3500000


def test_a_pause_names_who_and_is_waited_for(deployment, redis):
    enable(deployment, '1 h', rows_sleep='0 s')
    redis.hset('roundtable.control.testing_rows.paused', mapping={'who': 'ann', 'reason': 'repair', 'host': 'db1'})
    refused = run_once(deployment, 'testing_rows', '--force')
    assert refused.returncode == 75 and 'testing_rows: is paused by ann on db1: repair' in refused.stderr, refused
    waited = start(deployment, 'testing_rows', '--wait')
    assert select.select([waited.stderr], [], [], 30)[0]
    assert 'is paused by' in waited.stderr.readline()
    assert waited.poll() is None and deployment.rows() == []
    redis.delete('roundtable.control.testing_rows.paused')
    waited.communicate(timeout=30)
    assert waited.returncode == 0 and len(deployment.rows()) == 2


def test_giving_up_waiting(deployment, redis):
    enable(deployment, '1 h')
    redis.set(R.format('testing_rows'), 'TIMEOUT NOT EXPIRED', px=3600000)
    waited = start(deployment, 'testing_rows', '--wait')
    assert 'its interval is held by' in waited.stderr.readline()
    waited.send_signal(signal.SIGINT)
    _, err = waited.communicate(timeout=30)
    assert waited.returncode == 75 and 'gave up waiting' in err and deployment.rows() == []


def test_no_lock_leaves_the_keys_alone(deployment, redis):
    enable(deployment, '1 h', rows_sleep='0 s')
    before = sorted(redis.keys())
    assert run_once(deployment, 'testing_rows', '--no-lock').returncode == 0
    assert sorted(redis.keys()) == before and len(deployment.rows()) == 2


def test_pages_of_a_preview(deployment):
    enable(deployment, '1 h', task='testing_more', more_slices=3)
    for arguments, stops in (((), True), (('--pages', '2'), True), (('--pages', '3'), False), (('--pages', '9'), False)):
        p = run_once(deployment, 'testing_more', '--dry-run', '--no-lock', *arguments)
        assert p.returncode == 0 and ('the preview stops here' in p.stdout) == stops, (arguments, p)
    assert deployment.rows() == []
    p = run_once(deployment, 'testing_more')
    assert p.returncode == 0 and [r[1] for r in deployment.rows()] == ['slice'] * 3, p


def test_the_record_is_that_of_the_service(deployment):
    """--json: the same record that a worker writes."""
    enable(deployment, '200 ms', rows_sleep='0 s')
    p = run_once(deployment, 'testing_rows', '--json')
    mine = json.loads(p.stdout)
    assert p.returncode == 0 and mine['message'].startswith('task finished: testing_rows ok in '), p
    w = deployment.worker('testing')
    record = w.wait_for(lambda: [r for r in w.records(taskName='testing_rows') if 'task finished' in r['message']], 'a record')[0]
    w.stop()
    # a worker has a name; the rest is the same
    assert set(record) - {'worker'} == set(mine) - {'worker'}
    for key in ('at', 'level', 'result', 'slices', 'roundTrips', 'itemsFailed', 'family'):
        assert record.get(key) == mine.get(key), key
    assert deployment.rows(f"run_id = '{mine['runId']}'")

    p = run_once(deployment, 'testing_more', '--json')
    assert json.loads(p.stdout)['slices'] == 3


def test_a_failed_run(deployment, database, postgres):
    enable(deployment, '1 h')
    postgres.execute('DROP TABLE testing_runs', database=database)
    p = run_once(deployment, 'testing_rows', '--json')
    records = [json.loads(line) for line in p.stdout.splitlines()]
    assert p.returncode == 1 and [r['level'] for r in records] == ['error', 'notice'], p
    assert records[0]['message'].startswith('uncaught error in an individual loop') and records[1]['result'] == 'failed'
    p = run_once(deployment, 'testing_rows')
    assert p.returncode == 1 and 'testing_runs' in p.stdout and 'testing_rows: failed after' in p.stdout, p


def test_bad_words_and_bad_settings(deployment):
    for words in (('testing_rows', '--pages', '2'), ('testing_rows', '--dry-run', '--pages', '0'), (), ('a', 'b'),
                  ('testing_rows', '--no-lock', '--wait'), ('testing_rows', '--no-lock', '--force'), ('no_such_task',),
                  ('testing_rows', '--json', '--dry-run'), ('testing_rows', '--nonsense')):
        p = run_once(deployment, *words)
        assert p.returncode == 2 and p.stderr, (words, p)
    deployment.settings('testing', tasks={'testing_rows': {'interval': 'soon'}}, rows_sleep=3)
    p = run_once(deployment, 'testing_rows')
    assert p.returncode == 78, p
    assert 'testing.conf:3: testing.tasks.testing_rows.interval' in p.stderr, p.stderr
    assert 'rows_sleep' in p.stderr and p.stderr.count('HINT') == 2


def test_it_confines_itself(deployment):
    enable(deployment, '1 h', rows_sleep='20 s', open_files=200)
    p = start(deployment, 'testing_rows')
    wait_until(lambda: deployment.rows(), 'its first row')
    with open(f'/proc/{p.pid}/status') as f:
        process = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
    with open(f'/proc/{p.pid}/limits') as f:
        limits = f.read()
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=30)
    assert p.returncode == 1 and 'cancelled after' in out
    assert (process['Seccomp'], process['NoNewPrivs']) == ('2', '1')
    assert 'Max open files            200 ' in limits


def test_a_bar_on_a_terminal_and_only_there(deployment):
    enable(deployment, '1 h', task='testing_more', more_slices=4)
    master, slave = pty.openpty()
    with subprocess.Popen([deployment.program_path('roundtable'), 'run', 'testing_more', '--conf', deployment.conf],
                          env=deployment.environment, stdin=slave, stdout=slave, stderr=slave, close_fds=True,
                          preexec_fn=die_with_parent) as p:
        os.close(slave)
        shown = b''
        while True:
            try:
                chunk = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            shown += chunk
    os.close(master)
    text = shown.decode()
    assert p.returncode == 0, text
    assert 'testing_more [##########' in text and '1 of 4 slices' in text and '4 of 4 slices' in text
    assert text.index('4 of 4 slices') < text.index('testing_more: done')
    p = run_once(deployment, 'testing_more')
    assert p.returncode == 0 and 'of 4 slices' not in p.stdout + p.stderr
