"""`roundtable dev` as a person uses it: the printed lines work, a market message arrives, Ctrl-C leaves nothing behind."""
import os
import pwd
import re
import shutil
import signal
import subprocess

import pytest

from market_world import contents
from servers import die_with_parent, short_directory, wait_until

USER = 'postgres' if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def processes_of(state):
    """Command lines of all processes that run from, or with files of, the state directory."""
    found = {}
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                line = f.read().replace(b'\0', b' ').decode(errors='replace')
            directory = os.readlink(f'/proc/{pid}/cwd')
            program = os.readlink(f'/proc/{pid}/exe')
            with open(f'/proc/{pid}/stat') as f:
                if f.read().rsplit(')', 1)[1].split()[0] == 'Z':
                    continue
        except OSError:
            continue
        if any(text.startswith(state) for text in (directory, program)) or f'{state}/' in line:
            found[int(pid)] = line
    found.pop(os.getpid(), None)
    return found


class Dev:
    def __init__(self, command, state, *arguments, cwd=None, **environment):
        self.state = state
        self.log_path = state + '.log'
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(
                [*command, '--state', state, *arguments], cwd=cwd,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent, start_new_session=True,
                env=dict({k: v for k, v in os.environ.items() if k != 'SUDO_UID'}, **environment))

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def wait_for(self, pattern):
        def check():
            found = re.search(pattern, self.log(), re.M)
            assert found or self.process.poll() is None, f'dev ended with {self.process.returncode}\n{self.log()}'
            return found
        return wait_until(check, f'{pattern!r} from roundtable dev', 120)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


@pytest.fixture
def dev(build):
    parent = short_directory('rdev-')
    os.chmod(parent, 0o777)
    started = []

    def start(*arguments, command=(os.path.join(build, 'supervisor', 'roundtable'), 'dev'), **options):
        started.append(Dev(command, f'{parent}/s', *arguments, **options))
        return started[-1]
    yield start
    for d in started:
        if d.process.poll() is None:
            d.process.kill()
            d.process.wait(30)
    shutil.rmtree(parent, ignore_errors=True)


def printed(d, program):
    """The arguments of a line to paste."""
    return d.wait_for(rf'^  ({program} .*)$').group(1).split()


def first_message(d):
    """What a person sees who pastes the kcat line, ended here by the first record."""
    done = subprocess.run(printed(d, 'kcat') + ['-q', '-o', 'beginning', '-c', '1', '-f', '%s'], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_message_arrives_and_nothing_is_left(dev):
    d = dev('--scale', 'small')
    assert '"trading":{"' in contents(first_message(d))
    d.wait_for(r'^  market_updater .* runs [1-9][0-9]* +failures 0 .* last ok')
    # what happens, in words
    d.wait_for(r'^  [0-9:]{8} message: \S+: (price|volume) .* and 49 more markets$')
    d.wait_for(r'^  [0-9:]{8} book of \S+ is crossed: best bid [0-9.]+, best ask [0-9.]+$')
    d.wait_for(r'^  [0-9:]{8} book of \S+ is whole again after ')
    said = d.log().splitlines()
    assert not [line for line in said if ' message: ' in line and re.search(r'[0-9]e[-+]?[0-9]', line)]
    # one below the other, however long the longest name is
    tasks = [re.match(r'  (\S+) +\S+ +(?=runs )', line) for line in said]
    tasks = [m for m in tasks if m][-20:]
    assert max(len(m.group(1)) for m in tasks) > 28 and len({m.end() for m in tasks}) == 1, [m.group() for m in tasks]
    as_user = ['setpriv', f'--reuid={USER}', '--clear-groups'] if os.geteuid() == 0 else []
    rows = subprocess.run(as_user + printed(d, 'psql') + ['-Atc', 'SELECT count(*) FROM perpetual_markets'],
                          capture_output=True, text=True, timeout=30, cwd='/')
    assert (rows.stdout, rows.stderr) == ('50\n', '')
    keys = subprocess.run(as_user + printed(d, 'redis-cli') + ['EXISTS', 'v4/nextFunding/BTC-USD'], capture_output=True,
                          text=True, timeout=30, cwd='/')
    assert keys.stdout == '1\n'
    assert any('roundtable-worker' in line for line in processes_of(d.state).values())
    assert d.interrupt() == 0, d.log()
    assert wait_until(lambda: not processes_of(d.state), 'all processes to end', 30), processes_of(d.state)

    # a second start keeps the data and goes on
    d = dev('--scale', 'small')
    assert '"trading":{"' in contents(first_message(d))
    assert 'making' not in d.log()
    assert d.interrupt() == 0, d.log()
    assert wait_until(lambda: not processes_of(d.state), 'all processes to end', 30), processes_of(d.state)


def test_a_second_dev_of_the_same_directory_is_refused(dev):
    first = dev('--scale', 'small')
    first.wait_for(r'^  kcat ')
    log = first.log_path
    second = subprocess.run(first.process.args, capture_output=True, text=True, timeout=60)
    assert second.returncode == 75 and 'another `roundtable dev` uses' in second.stderr
    assert first.process.poll() is None and os.path.exists(log)
    assert first.interrupt() == 0


def test_killed_dev_leaves_no_process_and_starts_again(dev):
    d = dev('--scale', 'small')
    d.wait_for(r'^  kcat ')
    d.process.kill()
    d.process.wait(30)
    wait_until(lambda: not processes_of(d.state), 'all processes to end', 30)
    again = dev('--scale', 'small')
    again.wait_for(r'^  kcat ')
    assert again.interrupt() == 0, again.log()


def test_dev_run_from_a_clone_nobody_else_may_enter(dev, release):
    """README's first command, in a clone such as one below /root: as root the programs run from a copy of their own."""
    d = dev('--scale', 'small', command=('./dev', 'run'), cwd=release)
    assert '"trading":{"' in contents(first_message(d))
    if os.geteuid() == 0:
        d.wait_for(rf'^dev: running as user postgres from {d.state}/bin$')
        uid = pwd.getpwnam('postgres').pw_uid
        running = processes_of(d.state)
        assert any('roundtable-worker' in line for line in running.values())
        assert {os.stat(f'/proc/{pid}').st_uid for pid, line in running.items() if 'worker' in line or 'postgres' in line} <= {uid, 0}
        assert os.stat(d.state).st_uid == uid
        # nothing runs from the clone, which postgres cannot enter
        assert not [line for line in running.values() if str(release) in line and ' run ' not in line]
    assert d.interrupt() == 0, d.log()
    assert wait_until(lambda: not processes_of(d.state), 'all processes to end', 30), processes_of(d.state)


@pytest.mark.skipif(os.geteuid() != 0, reason='requires root: changes of user')
def test_as_root_of_sudo_it_is_the_user_who_asked(dev):
    user = pwd.getpwnam('daemon')
    d = dev('--scale', 'small', '--no-sample', SUDO_UID=str(user.pw_uid))
    d.wait_for(rf'^dev: running as user daemon from {d.state}/bin$')
    assert printed(d, 'psql')[-2:] == ['daemon', 'postgres']
    workers = wait_until(lambda: [pid for pid, line in processes_of(d.state).items() if 'roundtable-worker' in line], 'workers')
    assert {os.stat(f'/proc/{pid}/status').st_uid for pid in workers} <= {user.pw_uid, 0}
    with open(f'/proc/{workers[0]}/status') as f:
        assert re.search(rf'^Uid:\t{user.pw_uid}\t', f.read(), re.M)
    assert d.interrupt() == 0, d.log()
    assert wait_until(lambda: not processes_of(d.state), 'all processes to end', 30), processes_of(d.state)

