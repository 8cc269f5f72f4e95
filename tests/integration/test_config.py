"""The verbs config and list of the real program: exit codes, every problem, masks, warnings; also in another locale."""

import json
import os
import subprocess

import pytest

TEXT = '''service_nam = "x";
statsd = { port = 70000; };
kafka = { max_batch_size = 9999999999; };
redis = { url = "localhost:6379"; };
'''


@pytest.fixture
def conf(tmp_path):
    (tmp_path / 'workers').mkdir()
    (tmp_path / 'roundtable.conf').write_text('')
    return tmp_path


@pytest.fixture(params=['C', 'de_DE.UTF-8'])
def roundtable(request, conf, build):
    program = os.path.join(build, 'supervisor', 'roundtable')

    def run(*arguments, **environment):
        return subprocess.run([program, *arguments, '--conf', str(conf)], capture_output=True, text=True, timeout=30,
                              env={'PATH': '/usr/bin:/bin', 'LC_ALL': request.param, **environment})
    return run


def test_every_problem_is_listed_and_the_exit_code_is_78(conf, roundtable):
    (conf / 'roundtable.conf').write_text(TEXT)
    (conf / 'workers' / 'market.conf').write_text('pg_pol_max = 3;\n')
    done = roundtable('config', 'check', DB_PORT='abc')
    assert done.returncode == 78
    for line in [f'{conf}/roundtable.conf:1: service_nam: unknown setting', f'{conf}/roundtable.conf:2: statsd.port: is too large',
                 f'{conf}/roundtable.conf:3: the integer does not fit into 32 bits', f'{conf}/roundtable.conf:4: redis.url: is not a URL',
                 f'{conf}/workers/market.conf:1: pg_pol_max: unknown setting', 'environment: DB_PORT: invalid integer',
                 'HINT: did you mean service_name?', 'HINT: did you mean pg_pool_max?']:
        assert line in done.stderr
    assert done.stderr.count('HINT: ') == len([s for s in done.stderr.splitlines() if not s.startswith('  HINT')])


def test_show_masks_secrets_and_names_origins(conf, roundtable):
    (conf / 'roundtable.conf').write_text('jitter_fraction = 0.25;\nredis = { url = "redis://u:hunter2@h:1/0"; };\n')
    done = roundtable('config', 'show', '--json', DB_PASSWORD='hunter2')
    assert done.returncode == 0
    assert 'hunter2' not in done.stdout + done.stderr
    rows = {row['name']: row for row in json.loads(done.stdout)}
    assert rows['jitter_fraction'] == {'name': 'jitter_fraction', 'value': '0.25', 'origin': f'{conf}/roundtable.conf:1', 'secret': False}
    assert rows['database.password']['value'] == '********'
    assert rows['database.password']['origin'] == 'environment DB_PASSWORD'
    assert rows['redis.url']['value'] == 'redis://u:********@h:1/0'


def test_an_overriding_variable_is_a_warning(conf, roundtable):
    (conf / 'roundtable.conf').write_text('database = { port = 5432; };\n')
    done = roundtable('config', 'check', DB_PORT='5433')
    assert done.returncode == 0
    assert f'{conf}/roundtable.conf:1: database.port: warning: is overridden by the environment variable DB_PORT' in done.stderr


def test_env_dir_is_read_only_when_asked_for(conf, roundtable):
    (conf / '.env').write_text('DB_PORT=7000\n')
    assert 'database.port = 5435' in roundtable('config', 'show').stdout
    assert 'database.port = 7000' in roundtable('config', 'show', '--env-dir', str(conf)).stdout


def test_list_gives_tasks_and_origins(conf, roundtable):
    (conf / 'workers' / 'market.conf').write_text('tasks = { market_updater = { enabled = false; }; };\n')
    done = roundtable('list', '--json', LOOPS_INTERVAL_MS_MARKET_UPDATER='1500')
    assert done.returncode == 0
    task = next(t for t in json.loads(done.stdout) if t['task'] == 'market_updater')
    assert task['enabled'] == {'value': 'false', 'origin': f'{conf}/workers/market.conf:1'}
    assert task['interval'] == {'value': '1500 ms', 'origin': 'environment LOOPS_INTERVAL_MS_MARKET_UPDATER'}


@pytest.mark.parametrize('text', ['x = 1;\n' * 1000000, ''.join(f'k{i} = 1;\n' for i in range(15000)), 'a = { ' * 40000, '(' * 200000, '"' + 'x' * 200000,
                                  bytes(range(256)).decode('latin-1') * 500], ids=['million', 'keys', 'groups', 'lists', 'string', 'binary'])
def test_garbage_is_a_problem_and_not_a_crash(conf, roundtable, text):
    (conf / 'roundtable.conf').write_text(text)
    done = roundtable('config', 'check')
    assert done.returncode == 78
    assert 'roundtable.conf' in done.stderr and 'HINT: ' in done.stderr
