"""The installed service under a real systemd and journald (tests/systemd/with-systemd)."""
import json
import os
import re
import subprocess

import pytest

import servers
from conftest import ROOT

HERE = os.path.dirname(os.path.abspath(__file__))


def run_inside(build, script, options=(), **environment):
    r = subprocess.run([os.path.join(HERE, 'with-systemd'), '--timeout', '120', *options, '--bind', build, '--', 'bash', '-c',
                        f'. {HERE}/prepare\n{script}'], env=dict(os.environ, ROUNDTABLE_BUILD=build, **environment), cwd=build,
                       capture_output=True, text=True, timeout=180)
    if r.returncode == 77:
        pytest.skip('requires systemd: ' + r.stderr.strip())
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


@pytest.fixture
def inside(build):
    """With the test double of a worker."""
    return lambda script: run_inside(build, script)


@pytest.fixture(scope='module')
def families():
    """Of a test build."""
    with open(os.path.join(ROOT, 'workers', 'registry.def')) as f:
        found = re.findall(r'^FAMILY\((\w+)\)', f.read(), re.M)
    assert {'market', 'testing'} <= set(found)
    return found


def test_start_reload_stop(inside, families):
    out = inside(f'''
        systemctl start roundtable
        is "{len(families)} of {len(families)} workers ready" "$(property StatusText)"
        p=$(worker_pid market)
        systemctl reload roundtable
        is $p "$(worker_pid market)"
        systemctl stop roundtable
        is success "$(property Result)"
        [ -z "$(worker_pid market)" ]
        journalctl -u roundtable -x --no-pager''')
    assert 'A worker is ready' in out


def test_killed_worker_is_replaced_and_the_other_untouched(inside):
    inside('''
        systemctl start roundtable
        p=$(worker_pid market) other=$(worker_pid testing)
        kill -9 $p
        until_true '[ -n "$(worker_pid market)" ] && [ "$(worker_pid market)" != '$p' ]'
        is $other "$(worker_pid testing)"
        until_true 'journalctl --sync; journalctl -q -u roundtable FAMILY=market \
            MESSAGE_ID=8f3c5d1e0b7a4e62b1d94c6fa27e3003 -o cat | grep -q SIGKILL' ''')


def test_stopped_supervisor_is_restarted_and_no_orphan_survives(inside):
    inside('''
        systemctl start roundtable
        m=$(main_pid) p=$(worker_pid market)
        kill -STOP $m
        until_true '[ "$(main_pid)" != '$m' ] && [ "$(main_pid)" != 0 ] && systemctl -q is-active roundtable'
        [ ! -e /proc/$p ]''')


def test_killed_supervisor_takes_its_workers_along(inside):
    inside('''
        systemctl start roundtable
        m=$(main_pid) p=$(worker_pid market)
        kill -9 $m
        until_true '[ ! -e /proc/'$p' ]'
        until_true '[ "$(property NRestarts)" = 1 ] && systemctl -q is-active roundtable' ''')


@pytest.mark.parametrize('spoil', ['echo "nonsense = 1;" >$conf/roundtable.conf',
                                   'echo "statsd = { port = 99999; };" >$conf/roundtable.conf',
                                   'rm $conf/roundtable.conf; mkdir $conf/roundtable.conf',
                                   'echo exit78 >/srv/fake/word'],
                         ids=['unknown-key', 'range', 'unreadable', 'all-workers-refuse'])
def test_bad_settings_do_not_loop(inside, spoil):
    inside(f'''
        {spoil}
        if systemctl start roundtable; then fail "it started"; fi
        is 78 "$(property ExecMainStatus)"
        is failed "$(property ActiveState)"
        is 0 "$(property NRestarts)"''')


def test_bad_reload_fails_and_keeps_the_service(inside):
    out = inside('''
        systemctl start roundtable
        p=$(worker_pid market)
        echo 'nonsense = 1;' >$conf/roundtable.conf
        if systemctl reload roundtable; then fail "the reload succeeded"; fi
        systemctl -q is-active roundtable
        is $p "$(worker_pid market)"
        kill -HUP $(main_pid)
        until_true 'journalctl --sync; [ $(journalctl -q -u roundtable -o cat | grep -c "the old ones stay in force") = 2 ]'
        is $p "$(worker_pid market)"
        : >$conf/roundtable.conf
        systemctl reload roundtable
        of_id() { journalctl --sync; journalctl -q -u roundtable MESSAGE_ID=8f3c5d1e0b7a4e62b1d94c6fa27e3$1 -o cat; }
        is 2 $(of_id 009 | grep -c 'nonsense: unknown setting')
        is "" "$(of_id 013)"
        # good ones of which there is something to say are not among those that were refused
        echo 'log = { level = "info"; };' >$conf/roundtable.conf
        echo LOG_LEVEL=info >/etc/default/roundtable
        systemctl reload roundtable
        is 1 $(of_id 013 | grep -c 'log.level: warning: is overridden')
        systemctl restart roundtable
        is 2 $(of_id 013 | grep -c 'log.level: warning: is overridden')
        is 2 $(of_id 009 | grep -c 'the old ones stay in force')
        is "" "$(of_id 00a)"
        journalctl -x -u roundtable --no-pager''')
    # what ExecReload= prints, and what the service logs with its catalog text
    assert 'roundtable.conf:1: nonsense: unknown setting' in out


def test_a_drain_may_last_as_long_as_the_settings_say(inside):
    """Longer than TimeoutStopSec=, and in a reload longer than TimeoutStartSec=: systemd is told."""
    inside('''
        echo slow-stop >/srv/fake/word
        systemctl start roundtable
        p=$(worker_pid market)
        drop_in Service TimeoutStopSec=1 TimeoutStartSec=1
        echo 'watchdog = "19 s";' >$conf/workers/market.conf
        systemctl reload roundtable
        [ "$(worker_pid market)" != $p ] || fail "the reload did not replace the worker"
        systemctl stop roundtable
        is success "$(property Result)"
        is 0 "$(property ExecMainStatus)"''')


@pytest.fixture(scope='module')
def world(build, families, tmp_path_factory):
    """Servers on ports of the host, a migrated database with a market in it, and the conf to use them."""
    admin = os.path.join(build, 'workers', 'roundtable-admin')
    with servers.Postgres(tcp=True) as postgres, servers.Redis(tcp=True) as redis, \
            servers.KafkaMock(os.path.join(build, 'workers', 'roundtable-kafka-mock')) as kafka:
        redis.client().set('roundtable.control.epoch', 1)
        directory = tmp_path_factory.mktemp('conf')
        (directory / 'roundtable.conf').write_text('')
        done = subprocess.run([admin, 'migrate', '--conf', str(directory)], env=dict(os.environ, **dict(
            postgres.environment(), DB_HOSTNAME='127.0.0.1')), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        conf = (f'database = {{ host = "127.0.0.1"; replica_host = "127.0.0.1"; port = {postgres.port}; name = "postgres"; '
                f'user = "{postgres.user}"; password = "{postgres.password}"; }}; redis = {{ url = "{redis.url}"; }}; '
                f'kafka = {{ brokers = "{kafka.bootstrap}"; }}; start_delay = {{ enabled = false; }};')
        yield lambda script: run_inside(build, script, ['--share-net'], live=conf, families=' '.join(families))


def test_the_journal_tells_of_each_run(world):
    """journalctl TASK=…, the catalog's text, and a run from a shell beside the service's."""
    out = world('''
        systemctl start roundtable
        until_true 'journalctl --sync; [ $(journalctl -q -u roundtable TASK=market_updater -o cat | grep -c "task finished") -ge 2 ]'
        is "" "$(journalctl -q -u roundtable TASK=another -o cat)"
        systemctl stop roundtable
        run_id=$(roundtable run market_updater --force --json | sed 's/.*"runId":"\\([^"]*\\)".*/\\1/')
        until_true 'journalctl --sync; journalctl -q TASK=market_updater RUN_ID='$run_id' -o cat | grep -q "task finished"'
        echo ==; journalctl -q -u roundtable TASK=market_updater -o json -n 1
        echo ==; journalctl -q -x -u roundtable TASK=market_updater -n 1
        echo ==; journalctl -q TASK=market_updater RUN_ID=$run_id -o json -n 1''')
    service, explained, shell = out.split('==\n')[1:]
    service, shell = json.loads(service), json.loads(shell)
    for record in (service, shell):
        assert record['MESSAGE'].startswith('task finished: market_updater ok in '), record
        assert record['MESSAGE_ID'] and record['PRIORITY'] == '6' and record['FAMILY'] == 'market' and record['RESULT'] == 'ok'
        assert len(record['RUN_ID']) == 36 and int(record['DURATION_USEC']) > 0 and record['AT'] == 'worker#runTask'
    assert service['WORKER'] == 'market' and service['_SYSTEMD_UNIT'] == 'roundtable.service'
    assert shell['RUN_ID'] != service['RUN_ID'] and shell.get('_SYSTEMD_UNIT') != 'roundtable.service'
    assert re.search(r'^░░ ', explained, re.M) and 'task finished' in explained


def test_a_family_under_its_own_unit(world):
    out = world('''
        systemctl start roundtable-worker@market
        own=$(property MainPID roundtable-worker@market)
        systemctl start roundtable
        until_true 'roundtable status | grep -q "^market: run by its own unit"'
        is $own "$(pidof roundtable-worker)"
        # a second one of the family names the first and is not tried again
        if roundtable-worker --family market; then fail "two of a family"; else is 75 $?; fi
        systemctl stop roundtable
        is $own "$(property MainPID roundtable-worker@market)"
        until_true 'journalctl --sync; journalctl -q -u roundtable-worker@market TASK=market_updater -o cat | grep -q "task finished"'
        systemctl start roundtable
        systemctl stop roundtable-worker@market
        is success "$(property Result roundtable-worker@market)"
        until_true 'roundtable status | grep -q "^market: running"'
        # now the unit is the second one: refused, and not repeated
        systemctl start roundtable-worker@market && fail "two of a family"
        is 75 "$(property ExecMainStatus roundtable-worker@market)"
        is 0 "$(property NRestarts roundtable-worker@market)"
        journalctl -q -u roundtable-worker@market -o cat | tail -5''')
    assert re.search(r'another worker of family market runs: process \d+ roundtable\.service', out), out


def test_who_may_ask_what(world):
    """The control socket under its real groups: reading for two groups, changes for root and one of them, nothing for
    the service's own user, which workers have too."""
    world('''
        systemctl start roundtable
        allowed() { "$@" >/tmp/out 2>&1 || [ $? = 1 ] && ! grep -q "not allowed" /tmp/out || fail "refused: $* $(cat /tmp/out)"; }
        refused() { if "$@" >/tmp/out 2>&1; then fail "allowed: $*"; fi; grep -q "is not allowed to uid" /tmp/out || fail "$(cat /tmp/out)"; }
        allowed roundtable status
        allowed roundtable reload
        allowed as nobody roundtable roundtable status
        allowed as nobody roundtable-admin roundtable status
        allowed as nobody roundtable-admin roundtable reload
        refused as nobody nogroup roundtable status
        refused as nobody nogroup roundtable reload
        refused as nobody roundtable roundtable reload
        refused as roundtable roundtable roundtable reload
        allowed as roundtable roundtable roundtable status
        journalctl --sync
        # each change that was asked for and allowed is logged with the uid
        is 2 "$(journalctl -q -u roundtable -o cat | grep -c 'Asked by uid .* to reload')"
        journalctl -q -u roundtable -o cat | grep -q "Asked by uid $(id -u nobody) to reload"''')


def readme_commands():
    """The commands to install, and those of the table below them."""
    with open(os.path.join(ROOT, 'README.md'), encoding='utf-8') as f:
        text = f.read()
    block = re.search(r'^## Installing under systemd\n+```\n(.*?)```', text, re.S | re.M)
    table = re.search(r'^## Operating it\n(.*?)^## ', text, re.S | re.M).group(1)
    return block.group(1).splitlines(), re.findall(r'^\| [^|]+ \| `([^`]+)`', table, re.M)


def test_installing_as_readme_says(world, build, tmp_path_factory):
    """README's commands, one after the other, in a copy of the sources; the settings are what a person would write in
    between."""
    readme_block, operating = readme_commands()
    copy = tmp_path_factory.mktemp('source')
    subprocess.run(f'git -C {ROOT} ls-files -z | tar -C {ROOT} --null -T - -c | tar -x -C {copy}', shell=True, check=True)
    assert readme_block[0].startswith('meson setup') and 'roundtable config check' in readme_block
    subprocess.run(readme_block[0], shell=True, check=True, cwd=copy, stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '-C', 'build'], check=True, cwd=copy, stdout=subprocess.DEVNULL)
    lines = []
    for command in readme_block[1:]:
        if command == 'roundtable config check':
            lines += ['[ -f /etc/default/roundtable ]', 'printf "%s\\n" "$live" >/etc/roundtable/roundtable.conf']
        lines += [f'echo "+ {command}"', command]
    script = '\n'.join(lines)
    # 75: the service runs the task at this moment; 1: another family has nothing to do here
    operate = '\n'.join(f'echo "+ {c}"; {c} || {{ c=$?; [ $c = 75 -o "$c {c.split()[1]}" = "1 status" ] || fail "{c}: exit $c"; }}; '
                        f'echo "+"' for c in operating)
    assert {'roundtable status', 'roundtable run market_updater', 'systemctl reload roundtable'} <= set(operating), operating
    # `live` is what prepare wrote for another prefix; here the built-in one is in use
    out = world(f'''
        systemctl stop roundtable 2>/dev/null || true
        rm -rf /etc/systemd/system/roundtable* /usr/local/bin/roundtable* /usr/local/lib/sysusers.d /usr/local/lib/tmpfiles.d
        cd {copy}
        {script}
        is "$(command -v roundtable)" /usr/bin/roundtable
        is /usr/lib/systemd/system/roundtable.service "$(readlink -f "$(property FragmentPath)")"
        until_true 'roundtable status | grep -q "market_updater .*ok"'
        is active "$(property ActiveState)"
        is roundtable "$(ps -o user= -p $(main_pid))"
        journalctl --sync
        {operate}
        is success "$(property Result)"''')
    assert 'settings are valid' in out
    for command in operating:
        assert re.search(rf'^\+ {re.escape(command)}\n.', out, re.M) or command.startswith('systemctl'), f'{command} says nothing\n{out}'
