"""The installed service under a real systemd and journald (tests/systemd/with-systemd)."""
import os
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def inside(build):
    def run(script):
        r = subprocess.run([os.path.join(HERE, 'with-systemd'), '--timeout', '120', '--bind', build, '--', 'bash', '-c',
                            f'. {HERE}/prepare\n{script}'], env=dict(os.environ, ROUNDTABLE_BUILD=build), cwd=build,
                           capture_output=True, text=True, timeout=180)
        if r.returncode == 77:
            pytest.skip('requires systemd: ' + r.stderr.strip())
        assert r.returncode == 0, r.stdout + r.stderr
        return r.stdout
    return run


def test_start_reload_stop(inside):
    out = inside('''
        systemctl start roundtable
        [ "$(systemctl show -P StatusText roundtable)" = "2 of 2 workers ready" ]
        p=$(worker_pid market)
        systemctl reload roundtable
        [ "$(worker_pid market)" = "$p" ]
        systemctl stop roundtable
        [ "$(systemctl show -P Result roundtable)" = success ]
        journalctl -u roundtable -x --no-pager''')
    assert 'A worker is ready' in out


def test_killed_worker_is_replaced_and_the_other_untouched(inside):
    inside('''
        systemctl start roundtable
        p=$(worker_pid market) other=$(worker_pid testing)
        kill -9 $p
        until_true '[ -n "$(worker_pid market)" ] && [ "$(worker_pid market)" != '$p' ]'
        [ "$(worker_pid testing)" = "$other" ]
        until_true 'journalctl --sync; journalctl -q -u roundtable FAMILY=market \
            MESSAGE_ID=8f3c5d1e0b7a4e62b1d94c6fa27e3003 -o cat | grep -q SIGKILL' ''')


def test_stopped_supervisor_is_restarted_and_no_orphan_survives(inside):
    inside('''
        systemctl start roundtable
        m=$(main_pid) p=$(worker_pid market)
        kill -STOP $m
        until_true '[ "$(main_pid)" != '$m' ] && [ "$(main_pid)" != 0 ] && systemctl -q is-active roundtable'
        [ ! -e /proc/$p ]''')


def test_bad_settings_do_not_loop(inside):
    inside('''
        echo 'nonsense = 1;' >$conf/roundtable.conf
        if systemctl start roundtable; then exit 1; fi
        [ "$(systemctl show -P ExecMainStatus roundtable)" = 78 ]
        [ "$(systemctl show -P ActiveState roundtable)" = failed ]
        [ "$(systemctl show -P NRestarts roundtable)" = 0 ]''')


def test_bad_reload_fails_and_keeps_the_service(inside):
    inside('''
        systemctl start roundtable
        p=$(worker_pid market)
        echo 'nonsense = 1;' >$conf/roundtable.conf
        if systemctl reload roundtable; then exit 1; fi
        systemctl -q is-active roundtable
        [ "$(worker_pid market)" = "$p" ]''')
