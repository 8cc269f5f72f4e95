"""A deployment of Roundtable in a directory of its own: configuration, workers and supervisors as child processes.

    d = Deployment(build, postgres, 'dbname', redis_server, kafka=None)
    d.settings('market', tasks={'market_updater': {'interval': '200 ms'}})
    w = d.worker('market')            # a stand-alone worker
    s = d.supervisor()                # or the whole service
    reply = w.control('status')       # the control protocol (common/control.h)
    records = w.records(TASK='market_updater')
    d.close()                         # nothing is left

Programs log JSON lines, which are read back here as dictionaries.
"""
import json
import os
import shutil
import signal
import socket
import subprocess

from servers import DEADLINE, ServerError, die_with_parent, short_directory, wait_until

PROTOCOL = 1


def control(path, verb, timeout=DEADLINE, **fields):
    """One request over a control socket; returns the reply. OSError when nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(json.dumps(dict(fields, protocol=PROTOCOL, verb=verb)).encode() + b'\n')
        data = b''
        while not data.endswith(b'\n'):
            chunk = s.recv(65536)
            if not chunk:
                raise ServerError(f'{path}: closed without a reply to {verb}')
            data += chunk
        return json.loads(data)


def libconfig(value, indent=0):
    """Python values as libconfig text."""
    pad = '  ' * indent
    if isinstance(value, dict):
        body = ''.join(f'{pad}  {k} = {libconfig(v, indent + 1)};\n' for k, v in value.items())
        return '{\n' + body + pad + '}'
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, str):
        return json.dumps(value)
    return str(value)


class Program:
    """A child process whose JSON lines are kept in a file."""

    def __init__(self, deployment, name, argv, environment, socket_path, user=None):
        self.log_path = os.path.join(deployment.directory, f'{name}.log')
        self.socket = socket_path
        self.argv = argv
        with open(self.log_path, 'ab') as log:
            self.process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=die_with_parent, cwd=deployment.directory)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def log(self):
        with open(self.log_path, errors='replace') as f:
            return f.read()

    def records(self, **wanted):
        """Log records as dictionaries; wanted: fields that must be equal, by their JSON names."""
        found = []
        for line in self.log().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and all(record.get(k) == v for k, v in wanted.items()):
                found.append(record)
        return found

    def control(self, verb, timeout=DEADLINE, **fields):
        return control(self.socket, verb, timeout, **fields)

    def wait_for(self, condition, what, deadline=DEADLINE):
        """Waits for condition(), failing at once with the log when the program ends."""
        def check():
            value = condition()
            if not value and not self.running():
                raise ServerError(f'{self.argv} ended with {self.process.returncode} before {what}\n{self.log()[-4000:]}')
            return value
        try:
            return wait_until(check, what, deadline)
        except ServerError as e:
            raise ServerError(f'{e}\n{self.log()[-4000:]}') from None

    def wait_ready(self):
        def listens():
            try:
                return self.control('status').get('ok')
            except OSError:
                return False
        self.wait_for(listens, 'its control socket')
        return self

    def signal(self, number):
        os.kill(self.process.pid, number)

    def wait(self, deadline=DEADLINE):
        """Waits for the exit and returns the status (negative: the signal)."""
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise ServerError(f'{self.argv} did not end\n{self.log()[-4000:]}') from None

    def stop(self, deadline=DEADLINE):
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        return self.wait(deadline)

    def kill(self):
        if self.running():
            self.process.kill()
        self.process.wait(DEADLINE)


class Deployment:
    def __init__(self, build, postgres=None, database='postgres', redis=None, kafka=None, service=None, environment=None):
        self.build = build
        self.directory = short_directory('rtd-')
        self.conf = os.path.join(self.directory, 'conf')
        self.runtime = os.path.join(self.directory, 'run')
        self.state = os.path.join(self.directory, 'state')
        for path in (self.conf, os.path.join(self.conf, 'workers'), self.runtime, self.state):
            os.mkdir(path)
        self.common = {'environment_file': os.path.join(self.directory, 'environment'), 'start_delay': {'enabled': False},
                       'supervisor': {'runtime_dir': self.runtime, 'state_dir': self.state}}
        if service:
            self.common['service_name'] = service
        if postgres:
            self.common['database'] = {'host': postgres.host, 'replica_host': postgres.host, 'port': postgres.port,
                                       'name': database, 'user': postgres.user, 'password': postgres.password}
        if redis:
            self.common['redis'] = {'url': redis.url}
        if kafka:
            self.common['kafka'] = {'brokers': kafka if isinstance(kafka, str) else kafka.bootstrap}
        self.families = {}
        self.environment = {k: v for k, v in os.environ.items() if k in ('PATH', 'LANG', 'LC_ALL', 'TZ', 'HOME') or
                            k.startswith(('ASAN_', 'UBSAN_', 'TSAN_', 'LSAN_'))}
        self.environment.update(environment or {})
        self.programs = []
        self.prefix = []  # a command that runs what follows it, in a network namespace for example
        self.write()

    def settings(self, family=None, **values):
        """Replaces a family's file (or, with family None, updates the common one) and writes the configuration."""
        if family is None:
            self.common.update(values)
        else:
            self.families[family] = values
        self.write()

    def write(self):
        def body(values):
            return ''.join(f'{k} = {libconfig(v)};\n' for k, v in values.items())
        open(self.common['environment_file'], 'a').close()
        with open(os.path.join(self.conf, 'roundtable.conf'), 'w') as f:
            f.write(body(self.common))
        for family, values in self.families.items():
            with open(os.path.join(self.conf, 'workers', f'{family}.conf'), 'w') as f:
                f.write(body(values))

    def program_path(self, name):
        for folder in ('supervisor', 'workers'):
            path = os.path.join(self.build, folder, name)
            if os.path.exists(path):
                return path
        raise ServerError(f'{name} is not in {self.build}')

    def _start(self, name, argv, socket_path, environment=None):
        program = Program(self, f'{name}-{len(self.programs)}', self.prefix + argv, dict(self.environment, **(environment or {})),
                          socket_path)
        self.programs.append(program)
        return program

    def worker(self, family, arguments=(), environment=None, wait=True):
        """A stand-alone worker."""
        w = self._start(f'worker-{family}', [self.program_path('roundtable-worker'), '--family', family, '--conf',
                                             self.conf] + list(arguments),
                        os.path.join(self.runtime, f'worker-{family}.sock'), environment)
        return w.wait_ready() if wait else w

    def supervisor(self, arguments=(), environment=None, wait=True):
        s = self._start('supervisor', [self.program_path('roundtable'), 'supervise', '--conf', self.conf] + list(arguments),
                        os.path.join(self.runtime, 'control'), environment)
        return s.wait_ready() if wait else s

    def run(self, program, *arguments, environment=None, timeout=DEADLINE):
        """Runs a program to its end and returns the CompletedProcess (text)."""
        return subprocess.run([self.program_path(program), *arguments], env=dict(self.environment, **(environment or {})),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
                              cwd=self.directory, preexec_fn=die_with_parent)

    def peak_of(self, task, environment=None):
        """Greatest resident size of one run in the foreground, in KiB."""
        code = ('import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True); '
                'print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.stderr.write(done.stdout)')
        # AddressSanitizer keeps what was freed for a while
        sanitizer = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=1:thread_local_quarantine_size_kb=64'
        done = subprocess.run(['/usr/bin/python3', '-c', code, self.program_path('roundtable-worker'), '--run', task,
                               '--no-lock', '--conf', self.conf], capture_output=True, text=True, timeout=180,
                              env=dict(self.environment, ASAN_OPTIONS=sanitizer, **(environment or {})))
        status, peak = map(int, done.stdout.split())
        assert status == 0, done.stderr
        return peak

    def close(self):
        for program in self.programs:
            program.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
