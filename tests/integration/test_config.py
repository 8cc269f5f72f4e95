"""The verbs config and list of the real program: exit codes, every problem, masks, warnings; also in another locale."""

import json
import os
import pty
import stat
import subprocess

import pytest

import harness

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


def test_problems_as_json(conf, roundtable):
    (conf / 'roundtable.conf').write_bytes(TEXT.encode() + b'database = { port = 5432; };\nhost = "\xff";\n\xfe\n')
    done = roundtable('config', 'check', '--json', DB_PORT='abc')
    assert done.returncode == 78 and json.loads(done.stdout)['valid'] is False and json.loads(done.stdout)['problems']
    (conf / 'roundtable.conf').write_text(TEXT)
    done = roundtable('config', 'check', '--json', DB_PORT='abc')
    found = json.loads(done.stdout)
    assert done.returncode == 78 and found['valid'] is False and done.stderr == ''
    (unknown,) = [p for p in found['problems'] if p['key'] == 'service_nam']
    assert unknown == {'file': f'{conf}/roundtable.conf', 'line': 1, 'key': 'service_nam', 'text': 'unknown setting',
                       'hint': 'did you mean service_name?', 'warning': False}
    assert {p['line'] for p in found['problems'] if p['file'] == f'{conf}/roundtable.conf'} == {1, 2, 3, 4}
    assert [p['key'] for p in found['problems'] if p['file'] == 'environment'] == ['DB_PORT']
    (conf / 'roundtable.conf').write_text('database = { port = 5432; };\n')
    done = roundtable('config', 'check', '--json', DB_PORT='5433')
    (warning,) = json.loads(done.stdout)['problems']
    assert done.returncode == 0 and json.loads(done.stdout)['valid'] is True and warning['warning'] is True


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


def test_nothing_is_asked_of_services_that_are_not_used(conf, roundtable):
    """The original demands these in production, whatever it runs: there they are neither needed nor in the way."""
    needed = {'NODE_ENV': 'production', 'KAFKA_BROKER_URLS': 'kafka:9092'}
    unused = {'BUGSNAG_KEY': 'k', 'SEND_BUGSNAG_ERRORS': 'true', 'AWS_ACCOUNT_ID': '1', 'AWS_REGION': 'us-east-1',
              'S3_BUCKET_ARN': 'a', 'ECS_TASK_ROLE_ARN': 'a', 'KMS_KEY_ARN': 'a', 'RDS_INSTANCE_NAME': 'n'}
    without, given = roundtable('config', 'show', **needed), roundtable('config', 'show', **needed, **unused)
    assert without.returncode == given.returncode == 0, without.stderr + given.stderr
    assert without.stdout == given.stdout and 'node_env = production' in without.stdout


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


# Every kind of bad setting, alone: what is written where, and what must be said of it.
BAD = {
    'unknown key': ({'roundtable.conf': '\nservice_nam = "x";\n'}, {}, r'{conf}/roundtable.conf:2: service_nam: unknown setting',
                    'did you mean service_name?'),
    'unknown family key': ({'workers/market.conf': 'pg_pol_max = 3;\n'}, {}, '{conf}/workers/market.conf:1: pg_pol_max: unknown setting',
                           'did you mean pg_pool_max?'),
    'unknown task': ({'workers/market.conf': 'tasks = { market_updatr = { enabled = false; }; };\n'}, {},
                     '{conf}/workers/market.conf:1: tasks.market_updatr: unknown setting',
                     'did you mean tasks.market_updater?'),
    'file of no family': ({'workers/markte.conf': ''}, {}, '{conf}/workers/markte.conf: there is no family of this name', 'rename or remove'),
    'wrong type': ({'roundtable.conf': 'statsd = { port = "8125"; };\n'}, {},
                   '{conf}/roundtable.conf:1: statsd.port: is a string, which is the wrong type', 'without quotes'),
    'range': ({'roundtable.conf': 'statsd = { port = 70000; };\n'}, {}, '{conf}/roundtable.conf:1: statsd.port: is too large', 'from 1 to 65535'),
    'range of a variable': ({}, {'PG_POOL_MAX': '0'}, 'environment: PG_POOL_MAX: is too small', 'from 1 to 100'),
    'variable of a wrong type': ({}, {'DB_PORT': 'abc'}, 'environment: DB_PORT: invalid integer', 'an integer'),
    'unit': ({'workers/market.conf': 'tasks = { market_updater = { interval = "5 parsecs"; }; };\n'}, {},
             '{conf}/workers/market.conf:1: market.tasks.market_updater.interval: "5 parsecs" is not a duration', '"30 s"'),
    'unreadable file': ({'roundtable.conf': None}, {}, '{conf}/roundtable.conf: cannot read the file: Is a directory', 'check the path'),
    'bad URL': ({'roundtable.conf': '\n\nredis = { url = "localhost:6379"; };\n'}, {}, '{conf}/roundtable.conf:3: redis.url: is not a URL',
                'redis://'),
    'bad URL in a variable': ({}, {'REDIS_URL': 'http://h'}, 'environment: REDIS_URL: has an unknown scheme', 'redis://'),
    'URL of a socket with a password': ({}, {'REDIS_URL': 'unix://:pw@/run/redis.sock'}, 'environment: REDIS_URL: names no socket', 'unix:///path'),
    'URL that asks for TLS': ({}, {'REDIS_URL': 'rediss://h'}, 'environment: REDIS_URL: asks for TLS', 'stunnel'),
    'wrapped integer': ({'roundtable.conf': 'kafka = { max_batch_size = 9999999999; };\n'}, {},
                        '{conf}/roundtable.conf:1: the integer does not fit into 32 bits', 'append L'),
    'missing secret file': ({'roundtable.conf': 'database = { password_file = "/nonexistent/pw"; };\n'}, {},
                            '{conf}/roundtable.conf:1: database.password_file: cannot read /nonexistent/pw', 'make it readable'),
    'missing in production': ({}, {'NODE_ENV': 'production'}, 'KAFKA_BROKER_URLS: kafka.brokers must be set when node_env is production',
                              'set it in'),
    'environment file': ({'roundtable.conf': 'environment_file = "/nonexistent/env";\n'}, {}, '/nonexistent/env: cannot read the environment file',
                         'check environment_file'),
    'syntax': ({'roundtable.conf': 'statsd = {\n  port = 1\n  host = "x" };\n}\n'}, {}, '{conf}/roundtable.conf:', 'write name = value'),
    'cross check': ({'workers/market.conf': 'pg_pool_min = 9;\n'}, {}, 'pg_pool_min is above pg_pool_max', 'lower pg_pool_min'),
}


def write_bad(conf, files):
    for name, text in files.items():
        path = os.path.join(conf, name)
        if text is None:
            if os.path.exists(path):
                os.unlink(path)
            os.mkdir(path)
        else:
            with open(path, 'w') as f:
                f.write(text)


@pytest.mark.parametrize('kind', BAD)
def test_a_bad_setting_is_named_with_file_line_key_and_remedy(conf, roundtable, kind):
    files, environment, said, hint = BAD[kind]
    write_bad(str(conf), files)
    done = roundtable('config', 'check', **environment)
    assert done.returncode == 78, done
    lines = done.stderr.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith(said.format(conf=conf)) or said in line), None)
    assert at is not None, done.stderr
    assert lines[at + 1].startswith('  HINT: ') and hint in lines[at + 1], done.stderr


MANY = {'roundtable.conf': 'service_nam = "x";\nstatsd = { port = 70000; host = 5; };\nredis = { url = "localhost:6379"; };\n'
                           'database = { password_file = "/nonexistent/pw"; };\nlog = { level = "loud"; };\n',
        'workers/market.conf': 'pg_pol_max = 3;\npg_pool_min = 9;\ntasks = { market_updater = { interval = "5 parsecs"; }; };\n',
        'workers/markte.conf': ''}


def test_start_and_reload_refuse_with_the_same_list(build):
    """Start: exit 78 with every problem in the log. Reload: the same list, exit 78, nothing changes."""
    with harness.Deployment(build) as d:
        word = os.path.join(d.directory, 'word')
        with open(word, 'w') as f:
            f.write('ok')
        s = d.supervisor(environment={'ROUNDTABLE_TEST_WORKER': os.path.join(build, 'tests', 'unit', 'supervisor', 'fake-worker'),
                                      'ROUNDTABLE_TEST_FAKE': word})
        before = s.control('status')
        for name, text in MANY.items():
            with open(os.path.join(d.conf, name), 'a') as f:
                f.write(text)
        checked = d.run('roundtable', 'config', 'check', '--conf', d.conf)
        refused = d.run('roundtable', 'reload', '--runtime-dir', d.runtime)
        dry = d.run('roundtable', 'reload', '--dry-run', '--runtime-dir', d.runtime)
        started = d.run('roundtable', 'supervise', '--conf', d.conf, '--runtime-dir', d.state, '--state-dir', d.state)
        assert [p.returncode for p in (checked, refused, dry, started)] == [78] * 4
        assert checked.stderr.count('HINT') == 10, checked.stderr
        logged = json.loads(started.stdout.splitlines()[0])['message']
        for line in checked.stderr.splitlines():
            assert line in refused.stderr and line in dry.stderr and line in logged, line
        after = s.control('status')
        assert [w['pid'] for w in before['workers']] == [w['pid'] for w in after['workers']]
        assert [r['level'] for r in s.records() if 'the old ones stay in force' in r['message']] == ['error'], 'a dry run logs nothing'
        assert s.stop() == 0


def test_supervise_reads_the_originals_files_when_told_to(build):
    with harness.Deployment(build) as d:
        with open(os.path.join(d.directory, '.env'), 'w') as f:
            f.write('PG_POOL_MAX=0\n')
        refused = d.run('roundtable', 'supervise', '--conf', d.conf, '--env-dir', d.directory)
        assert refused.returncode == 78 and f'{d.directory}/.env:1: PG_POOL_MAX: is too small' in refused.stdout


ENV = {'.env.defaults': 'DB_NAME=lowest\nSTATSD_PORT=1\n', '.env': 'SERVICE_NAME=roundtable\nDB_NAME=base\nDB_PASSWORD="it\'s $a \\ b"\nBUGSNAG_KEY=k\n',
       '.env.local': 'DB_PORT=7001\n', '.env.production': 'DB_NAME=prod db\nKAFKA_BROKER_URLS=a:1,b:2\n',
       '.env.production.local': 'STATSD_PORT=\n'}


@pytest.fixture
def original(tmp_path):
    directory = tmp_path / 'original'
    directory.mkdir()
    for name, text in ENV.items():
        (directory / name).write_text(text)
    return str(directory)


def import_env(build, *arguments, **environment):
    return subprocess.run([os.path.join(build, 'supervisor', 'roundtable'), 'import-env', *arguments], capture_output=True,
                          text=True, timeout=30, env={'PATH': '/usr/bin:/bin', **environment})


def test_import_env_gives_what_the_files_gave(build, conf, roundtable, original, tmp_path):
    target = str(tmp_path / 'environment')
    done = import_env(build, original, '--output', target, NODE_ENV='production')
    assert done.returncode == 0 and '6 variables written' in done.stdout, done
    assert f'{original}/.env:4: BUGSNAG_KEY is left out' in done.stderr
    assert stat.S_IMODE(os.stat(target).st_mode) == 0o640
    read = roundtable('config', 'show', '--env-dir', original, NODE_ENV='production')
    (conf / 'roundtable.conf').write_text(f'environment_file = "{target}";\n')
    imported = roundtable('config', 'show')
    assert read.returncode == imported.returncode == 0, imported.stderr
    values = [[line.split('  # ')[0] for line in p.stdout.splitlines() if not line.startswith('environment_file')] for p in (read, imported)]
    assert values[0] == values[1]
    assert 'database.name = prod db' in imported.stdout and 'statsd.port = 8125' in imported.stdout
    with open(target) as f:
        assert 'DB_PASSWORD="it\'s \\$a \\\\ b"\n' in f.read()

    # nothing is overwritten by mistake
    again = import_env(build, original, '--output', target)
    assert again.returncode == 1 and '--force' in again.stderr
    assert import_env(build, original, '--output', target, '--force').returncode == 0
    with open(target) as f:
        text = f.read()
    assert 'DB_NAME=base\n' in text and 'NODE_ENV' not in text


def test_import_env_refuses_bad_values_and_other_places(build, original, tmp_path):
    with open(os.path.join(original, '.env.local'), 'a') as f:
        f.write('PG_POOL_MAX=many\n')
    done = import_env(build, original)
    assert done.returncode == 78 and done.stdout == '' and f'{original}/.env.local:2: PG_POOL_MAX: invalid integer' in done.stderr
    # not read in the environment "test"
    assert import_env(build, original, '--node-env', 'test').returncode == 0
    assert import_env(build, str(tmp_path / 'nowhere')).returncode == 1
    empty = import_env(build, str(tmp_path))
    assert empty.returncode == 1 and 'no .env file' in empty.stderr
    for words in ((), (original, original), (original, '--force'), (original, '--nonsense')):
        assert import_env(build, *words).returncode == 2, words


def test_import_env_shows_no_secret_on_a_terminal(build, original):
    master, slave = pty.openpty()
    done = subprocess.run([os.path.join(build, 'supervisor', 'roundtable'), 'import-env', original], stdout=slave,
                          stderr=subprocess.PIPE, text=True, timeout=30, env={'PATH': '/usr/bin:/bin'})
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0 and 'DB_PASSWORD="********"' in shown and 'secrets are not shown' in done.stderr
    assert "it's" in import_env(build, original).stdout, 'a pipe gets it'
