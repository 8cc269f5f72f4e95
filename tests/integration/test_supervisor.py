"""The supervisor with a worker that misbehaves on request (tests/unit/supervisor/fake_worker.c)."""
import json
import os
import re
import signal
import subprocess

import pytest

import harness
from servers import die_with_parent, wait_until


class Fake:
    def __init__(self, build, families=('testing',)):
        self.deployment = harness.Deployment(build)
        self.word_file = os.path.join(self.deployment.directory, 'word')
        self.families = families
        self.say('ok')
        self.deployment.environment.update(
            ROUNDTABLE_TEST_WORKER=os.path.join(build, 'tests', 'unit', 'supervisor', 'fake-worker'),
            ROUNDTABLE_TEST_FAKE=self.word_file)

    def say(self, word):
        with open(self.word_file + '.new', 'w') as f:
            f.write(word)
        os.rename(self.word_file + '.new', self.word_file)

    def start(self, wait=True, **environment):
        arguments = [a for f in self.families for a in ('--family', f)]
        return self.deployment.supervisor(arguments, {f'ROUNDTABLE_TEST_{k}': v for k, v in environment.items()}, wait=wait)

    def verb(self, *arguments):
        return self.deployment.run('roundtable', *arguments, '--runtime-dir', self.deployment.runtime)

    def start_verb(self, *arguments):
        return subprocess.Popen([self.deployment.program_path('roundtable'), *arguments, '--runtime-dir',
                                 self.deployment.runtime], env=self.deployment.environment, preexec_fn=die_with_parent)

    def worker(self, family='testing'):
        reply = self.verb('status', '--json')
        if not reply.stdout:
            return {}
        return next(w for w in json.loads(reply.stdout)['workers'] if w['family'] == family)

    def handover(self):
        with open(self.word_file + '.handover') as f:
            return json.load(f)


@pytest.fixture
def fake(build):
    f = Fake(build)
    yield f
    f.deployment.close()


def ready(fake):
    return wait_until(lambda: (w := fake.worker()).get('state') == 'running' and w, 'worker ready')


def test_stops_with_code_0_and_leaves_no_worker(fake):
    s = fake.start()
    pid = ready(fake)['pid']
    s.process.terminate()
    assert s.process.wait(20) == 0
    assert not os.path.exists(f'/proc/{pid}')
    assert not os.path.exists(os.path.join(fake.deployment.runtime, 'control'))


def test_killed_worker_is_replaced_and_its_instance_handed_on(fake):
    fake.start()
    first = ready(fake)['pid']
    instance = fake.handover()['instance']
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: fake.worker().get('pid') not in (0, first) and fake.worker()['state'] == 'running', 'replacement')
    assert fake.worker()['restarts'] == 1
    assert instance in fake.handover()['dead_instances']
    assert fake.worker()['quarantined'] == {} and not fake.worker()['serial']


def delays(supervisor):
    """The announced waits before each restart, in microseconds; one that is none is not announced."""
    units = {'us': 1, 'ms': 1000, 's': 1000000, 'min': 60000000}
    found = []
    for record in supervisor.records(family='testing'):
        match = re.fullmatch(r'Worker testing is started again in (.*)', record['message'])
        if match:
            words = match.group(1).split()
            found.append(sum(float(n) * units[unit] for n, unit in zip(words[::2], words[1::2])))
    return found


def test_ten_crashes_back_off_ever_longer_until_it_is_healthy_again(fake):
    fake.say('crash-start')
    s = fake.start(wait=False, BACKOFF_FIRST_USEC='1000', HEALTHY_USEC='1')
    wait_until(lambda: fake.worker().get('failed_starts', 0) >= 10, 'ten crashes')
    fake.say('ok')
    first = ready(fake)['pid']
    waits = delays(s)
    assert len(waits) >= 10
    # doubling from 1 ms to 300 (in production from 100 ms to 30 s), with a random part of up to a quarter on top
    assert all(min(2 ** n, 300) * 1000 <= wait <= min(1.25 * 2 ** n, 300) * 1000 for n, wait in enumerate(waits)), waits
    assert fake.worker()['failed_starts'] == 0
    # back to nothing: healthy for a moment, it is replaced at once
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: fake.worker().get('pid') not in (0, first) and fake.worker()['state'] == 'running', 'replacement')
    assert delays(s) == waits


def test_what_is_left_of_the_start_delay_is_handed_on(fake):
    """Drawn once: a replacement's is never longer. Drawn anew each time, eight would come in falling order once in 40,000
    times, and that for each task."""
    fake.deployment.settings(None, start_delay={'enabled': True, 'max': '1 h'})
    fake.start(HEALTHY_USEC='1')
    handed = []
    for _ in range(8):
        pid = ready(fake)['pid']
        handed.append(fake.handover()['start_delay_usec'])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: fake.worker().get('pid') not in (0, pid), 'replacement')
    assert any(handed[0].values())
    for earlier, later in zip(handed, handed[1:]):
        assert all(later[name] <= earlier[name] for name in earlier), (earlier, later)


def test_settings_are_not_in_the_environment(fake):
    fake.start()
    pid = ready(fake)['pid']
    with open(f'/proc/{pid}/environ') as f:
        names = {item.split('=')[0] for item in f.read().split('\0') if item}
    assert {n for n in names if not n.startswith(('ROUNDTABLE_TEST_', 'ASAN_', 'UBSAN_', 'LSAN_', 'TSAN_'))} <= {
        'PATH', 'LANG', 'LC_ALL', 'TZ', 'JOURNAL_STREAM', 'NOTIFY_SOCKET', 'WATCHDOG_USEC'}
    # only the standard ones, the hand-over and nothing of the supervisor's
    assert os.path.exists(f'/proc/{pid}/fd/3')
    assert os.getpgid(pid) == pid


def test_stopped_worker_is_noticed_by_the_watchdog(fake):
    fake.deployment.settings('testing', watchdog='1 s')
    fake.start()
    first = ready(fake)['pid']
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: fake.worker().get('pid') not in (0, first) and fake.worker()['state'] == 'running', 'replacement')
    assert 'watchdog' in fake.worker()['last_exit']


@pytest.mark.parametrize('word', ['no-hello', 'no-ready'])
def test_worker_that_never_gets_ready_is_killed_and_counted(fake, word):
    fake.say(word)
    fake.start(wait=False, READY_TIMEOUT_USEC='200000')
    wait_until(lambda: fake.worker().get('failed_starts', 0) >= 3, 'third failed start')
    fake.say('ok')
    assert ready(fake)['failed_starts'] == 0


def test_a_worker_of_another_version_is_given_nothing_and_replaced(fake):
    """As in the middle of an upgrade: the files change under a running supervisor."""
    fake.say('other-version')
    s = fake.start(wait=False)
    s.wait_for(lambda: len([r for r in s.records() if 'another version?' in r['message']]) > 1, 'two attempts')
    assert not os.path.exists(fake.word_file + '.handover'), 'no settings for whoever does not speak the protocol'
    fake.say('ok')
    assert ready(fake)['failed_starts'] == 0


def test_exit_78_waits_for_a_reload(fake):
    fake.families = ('testing', 'market')
    fake.start()
    ready(fake)
    fake.say('exit78')
    pid = fake.worker()['pid']
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: fake.worker()['state'] == 'refused its settings', 'refusal')
    market = fake.worker('market')['pid']
    fake.say('ok')
    assert fake.verb('reload').returncode == 0
    assert fake.worker()['state'] == 'running'
    assert fake.worker('market')['pid'] == market


def test_all_refused_ends_the_service_with_78(fake):
    fake.say('exit78')
    s = fake.start(wait=False)
    assert s.process.wait(20) == 78


def test_exit_75_is_shown_and_looked_at_again(fake):
    fake.say('exit75')
    fake.start(wait=False, OWN_UNIT_USEC='300000')
    wait_until(lambda: fake.worker().get('state') == 'run by its own unit', 'own unit')
    fake.say('ok')
    ready(fake)


def test_three_faults_make_it_serial_first(fake):
    fake.say('segv')
    fake.start(wait=False)
    wait_until(lambda: fake.worker().get('serial'), 'serial mode')
    fake.say('ok')
    ready(fake)
    assert fake.handover()['serial'] is True


def test_reload_restarts_only_what_changed(fake):
    fake.families = ('testing', 'market')
    fake.start()
    wait_until(lambda: fake.worker().get('state') == fake.worker('market').get('state') == 'running', 'both ready')
    testing, market = fake.worker()['pid'], fake.worker('market')['pid']
    fake.deployment.settings('testing', watchdog='19 s')
    dry = fake.verb('reload', '--dry-run')
    assert dry.returncode == 0 and 'testing' in dry.stdout and 'market' not in dry.stdout
    assert fake.worker()['pid'] == testing
    assert fake.verb('reload').returncode == 0
    assert fake.worker()['state'] == 'running'
    assert fake.worker()['pid'] != testing and fake.worker('market')['pid'] == market


def test_reloads_during_a_drain_coalesce(fake):
    """A worker that still stops is replaced once, by one with the newest settings, and every reload waits for that."""
    s = fake.start()
    pid = ready(fake)['pid']
    os.kill(pid, signal.SIGSTOP)  # it takes as long as we like to stop
    reloads = []
    try:
        for watchdog in ('19 s', '18 s', '17 s'):
            fake.deployment.settings('testing', watchdog=watchdog)
            reloads.append(fake.start_verb('reload'))
            s.wait_for(lambda: len([r for r in s.records(at='supervisor#reload') if r['level'] == 'info']) == len(reloads),
                       'the reload begun')
            assert fake.worker()['state'] == 'draining' and fake.worker()['pid'] == pid
        assert [p.poll() for p in reloads] == [None] * 3
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [p.wait(30) for p in reloads] == [0] * 3
    assert fake.worker()['state'] == 'running' and len(s.records(message='Worker testing is ready')) == 2
    assert fake.handover()['settings']['values']['testing.worker.watchdog'] == 17000000, fake.handover()


def test_reloads_that_wait_are_answered_when_the_service_stops(fake):
    s = fake.start()
    pid = ready(fake)['pid']
    os.kill(pid, signal.SIGSTOP)
    try:
        fake.deployment.settings('testing', watchdog='19 s')
        reloads = [fake.start_verb('reload') for _ in range(2)]
        s.wait_for(lambda: len([r for r in s.records(at='supervisor#reload') if r['level'] == 'info']) == len(reloads),
                   'the reloads begun')
        s.signal(signal.SIGTERM)
        assert [p.wait(30) for p in reloads] == [75] * 2, 'at once: its worker does not stop yet'
        assert s.running()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert s.wait() == 0


@pytest.mark.parametrize('word', ['late75', 'late78'])
def test_a_refusal_of_the_old_settings_does_not_keep_the_new_ones_from_starting(fake, word):
    fake.say(word)
    fake.start(wait=False)
    wait_until(lambda: os.path.exists(fake.word_file + '.handover'), 'hand-over')
    first = fake.worker()['pid']
    fake.say('ok')
    fake.deployment.settings('testing', watchdog='19 s')
    p = fake.verb('reload')
    assert p.returncode == 0, p
    assert fake.worker()['state'] == 'running' and fake.worker()['pid'] != first


def test_a_reload_tells_what_is_odd_about_good_settings(fake):
    s = fake.start()
    ready(fake)

    def logged():
        return [r['message'] for r in s.records(level='warning', at='supervisor#reload')]
    assert fake.verb('reload').stderr == '' and logged() == []
    with open(fake.deployment.common['environment_file'], 'a') as f:
        f.write('STATSD_PORT=8125\n')
    fake.deployment.settings(None, statsd={'port': 8126})
    for times, arguments in enumerate((['--dry-run'], [], ['--json'])):
        p = fake.verb('reload', *arguments)
        assert p.returncode == 0 and 'roundtable.conf:' in p.stderr and 'statsd.port' in p.stderr + p.stdout, p
        assert 'warning: ' in p.stderr and p.stderr.count('STATSD_PORT') == 1, p
        assert len(logged()) == times and all('STATSD_PORT' in m for m in logged()), 'a dry run changes nothing'
    assert 'STATSD_PORT' in json.loads(p.stdout)['warnings']
    s.signal(signal.SIGHUP)
    s.wait_for(lambda: len(logged()) == 3, 'the quiet form logs it too')


def test_bad_reload_keeps_everything_and_says_why(fake):
    fake.start()
    pid = ready(fake)['pid']
    fake.deployment.settings('testing', watchdog='nonsense')
    bad = fake.verb('reload')
    assert bad.returncode == 78
    assert 'watchdog' in bad.stderr
    assert fake.worker()['pid'] == pid


def test_bad_settings_at_start_exit_78(fake):
    fake.deployment.settings('testing', watchdog='nonsense')
    s = fake.start(wait=False)
    assert s.process.wait(20) == 78


def test_second_supervisor_of_a_directory_exits_75(fake):
    fake.start()
    ready(fake)
    other = fake.deployment.run('roundtable', 'supervise', '--conf', fake.deployment.conf, '--family', 'testing')
    assert other.returncode == 75
    assert fake.worker()['state'] == 'running'


def test_workers_die_with_the_supervisor(fake):
    s = fake.start()
    pid = ready(fake)['pid']
    s.process.kill()
    s.process.wait()
    wait_until(lambda: not os.path.exists(f'/proc/{pid}') or open(f'/proc/{pid}/stat').read().split()[2] == 'Z', 'death')


def test_usage_errors_exit_2(fake):
    for arguments in ([], ['nonsense'], ['status', '--nonsense'], ['reload', 'x'], ['supervise', '--family', 'nobody']):
        assert fake.deployment.run('roundtable', *arguments).returncode == 2, arguments


def test_supervisor_links_no_client_library(build):
    text = subprocess.run(['ldd', os.path.join(build, 'supervisor', 'roundtable')], capture_output=True, text=True).stdout
    assert 'libsystemd' in text
    for library in ('libpq', 'librdkafka', 'libhiredis', 'libcurl'):
        assert library not in text
