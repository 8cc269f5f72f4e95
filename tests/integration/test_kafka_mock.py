"""The mock cluster's process: the command lines that README and `roundtable dev` show work against it."""
import os
import signal
import socket
import subprocess

import pytest

from servers import KafkaMock, free_port, short_directory, wait_until


@pytest.fixture
def program(build):
    return os.path.join(build, 'workers', 'roundtable-kafka-mock')


def kcat(*arguments, text=None):
    return subprocess.run(['kcat', *arguments], input=text, capture_output=True, text=True, timeout=60)


def control(path, command):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(path)
        s.sendall(command.encode() + b'\n')
        return s.makefile().readline().strip()


def test_kcat_reads_what_kcat_wrote(program):
    with KafkaMock(program) as mock:
        assert kcat('-P', '-b', mock.bootstrap, '-t', 'to-websockets-markets', text='{"a":1}').returncode == 0
        # the line that people paste, ended here by the first message
        done = kcat('-C', '-b', mock.bootstrap, '-t', 'to-websockets-markets', '-c', '1')
        assert done.stdout == '{"a":1}\n', done.stderr


def test_topics_of_the_deployment_are_there(program):
    with KafkaMock(program) as mock:
        listed = kcat('-L', '-b', mock.bootstrap).stdout
    for name, partitions in (('to-ender', 1), ('to-vulcan', 210), ('to-websockets-orderbooks', 1),
                             ('to-websockets-subaccounts', 3), ('to-websockets-trades', 1), ('to-websockets-markets', 1),
                             ('to-websockets-candles', 1), ('to-websockets-block-height', 1)):
        assert f'topic "{name}" with {partitions} partitions' in listed


def test_bootstrap_port_can_be_chosen_and_kept_over_a_restart(program):
    for _ in range(10):  # the port may be taken between choosing and binding
        port = free_port()
        mock = KafkaMock(program, ['--port', str(port)])
        try:
            mock.start()
            break
        except Exception:
            mock.close()
    assert mock.bootstrap == f'127.0.0.1:{port}'
    try:
        mock.kill()
        mock.start()
        assert mock.bootstrap == f'127.0.0.1:{port}'
        assert kcat('-L', '-b', mock.bootstrap).returncode == 0
    finally:
        mock.close()


def test_control_socket(program):
    directory = short_directory('km-')
    path = os.path.join(directory, 'control')
    with KafkaMock(program, ['--control', path]) as mock:
        assert control(path, 'topic new 7') == 'ok'
        assert control(path, 'topic new 7').startswith('error: ')
        assert control(path, 'nonsense').startswith('error: ')
        assert 'topic "new" with 7 partitions' in kcat('-L', '-b', mock.bootstrap).stdout
        assert control(path, 'down') == 'ok'
        assert kcat('-L', '-b', mock.bootstrap, '-m', '1').returncode != 0
        assert control(path, 'up') == 'ok'
        wait_until(lambda: kcat('-L', '-b', mock.bootstrap, '-m', '2').returncode == 0, 'the brokers to be back')


def test_sigterm_ends_it_well(program):
    with KafkaMock(program) as mock:
        mock.send_signal(signal.SIGTERM)
        assert mock.process.wait(30) == 0


def test_it_dies_with_its_parent(program):
    # the shell prints the mock's pid and is killed; the mock must follow
    shell = subprocess.Popen(['sh', '-c', f'{program} </dev/null >/dev/null 2>&1 & echo $!; wait'],
                             stdout=subprocess.PIPE, text=True)
    pid = int(shell.stdout.readline())

    def alive():
        try:
            with open(f'/proc/{pid}/stat') as f:
                return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
        except FileNotFoundError:
            return False
    # sh forked it: wait for the exec, before which the death of the parent is not noticed
    wait_until(lambda: os.path.realpath(f'/proc/{pid}/exe') == os.path.realpath(program), 'the mock')
    wait_until(lambda: len(os.listdir(f'/proc/{pid}/task')) > 1, 'its cluster')
    shell.kill()
    shell.wait()
    wait_until(lambda: not alive(), 'the end of the mock')


@pytest.mark.parametrize('arguments', [['--port', '99999'], ['--port', 'x'], ['--brokers', '0'], ['extra'], ['--what']])
def test_usage(program, arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    assert done.returncode == 2
    assert 'roundtable-kafka-mock' in done.stderr
