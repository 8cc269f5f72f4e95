"""Throw-away PostgreSQL, Redis and Kafka-mock servers for the tests.

Each is a direct child of the test (no pg_ctl, no service manager), in a directory of its own, on a unix socket or on a
port the kernel chose. start() returns when the server answers; stop(), kill(), freeze() and thaw() do to it what the
fault tests need. PostgreSQL refuses root: as root it is run as user postgres.
"""
import atexit
import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

DEADLINE = 60.0


class ServerError(Exception):
    pass


def wait_until(condition, what, deadline=DEADLINE, interval=0.02):
    """Polls until condition() is true (its value is returned); raises ServerError naming `what` after the deadline."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise ServerError(f'timed out waiting for {what}')
        time.sleep(interval)


def free_port():
    """A port nobody uses at this moment; whoever binds it must cope with losing it (start() tries again)."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def short_directory(prefix):
    """A new directory with a short path: socket paths are limited to 107 bytes."""
    path = tempfile.mkdtemp(prefix=prefix, dir='/tmp')
    os.chmod(path, 0o755)
    return path


def postgres_binary(name):
    found = shutil.which(name)
    candidates = sorted(glob.glob(f'/usr/lib/postgresql/*/bin/{name}'), reverse=True)
    if candidates:
        return candidates[0]
    if found:
        return found
    raise ServerError(f'{name} is not installed (package postgresql)')


def die_with_parent():
    """In the child: SIGKILL when the test dies, so that nothing survives a killed test run."""
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def enter_network(path):
    """In the child, as root: goes into the network namespace at `path` (/run/netns/NAME)."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if libc.setns(fd, 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), f'setns {path}')
    os.close(fd)


def _stopped(pid):
    """Whether every thread of a process has stopped, or has ended."""
    try:
        for thread in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{thread}/stat') as f:
                if f.read().rpartition(')')[2].split()[0] not in 'TtZX':
                    return False
    except (FileNotFoundError, ProcessLookupError):
        pass
    return True


class Server:
    """A child process in a directory of its own."""

    def __init__(self, directory=None):
        self.own_directory = directory is None
        self.directory = directory or short_directory('rt-')
        self.process = None
        self.network = None  # path of a network namespace to start in
        atexit.register(self.close)

    @property
    def pid(self):
        return self.process.pid

    def spawn(self, argv, user=None, **kwargs):
        def prepare():
            os.setpgid(0, 0)
            if self.network:
                enter_network(self.network)
            if user and os.geteuid() == 0:
                entry = pwd.getpwnam(user)
                os.initgroups(user, entry.pw_gid)
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
            die_with_parent()
        log = open(os.path.join(self.directory, 'server.log'), 'ab')
        kwargs.setdefault('stdout', log)
        kwargs.setdefault('stderr', log)
        kwargs.setdefault('stdin', subprocess.DEVNULL)
        with log:
            self.process = subprocess.Popen(argv, preexec_fn=prepare, **kwargs)

    def log(self):
        with open(os.path.join(self.directory, 'server.log'), errors='replace') as f:
            return f.read()

    def running(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def _family(self):
        """The server's process and its children (PostgreSQL's backends)."""
        pids = [self.process.pid]
        try:
            with open(f'/proc/{self.process.pid}/task/{self.process.pid}/children') as f:
                pids += [int(p) for p in f.read().split()]
        except FileNotFoundError:
            pass
        return pids

    def freeze(self):
        """SIGSTOP to the server and its children: it neither answers nor closes anything from the return on."""
        family = self._family()
        for pid in family:
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                pass
        # kill() returns while other processors still run the threads: one more answer could come
        wait_until(lambda: all(_stopped(pid) for pid in family), 'stopped threads')

    def thaw(self):
        for pid in self._family():
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def stop(self, number=signal.SIGTERM, deadline=DEADLINE):
        if not self.running():
            return
        self.thaw()
        self.send_signal(number)
        try:
            self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        if self.running():
            self.thaw()
            for pid in reversed(self._family()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait(DEADLINE)

    def close(self):
        atexit.unregister(self.close)
        if self.process is not None:
            self.kill()
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.close()


class Postgres(Server):
    """A PostgreSQL server: `host` is its socket directory; with tcp=True it also listens on 127.0.0.1:`port`.

    auth is pg_hba's method ("trust" or "scram-sha-256"); the superuser is `user` with `password`.
    """

    user = 'postgres'
    password = 'secret'
    os_user = 'postgres'

    def __init__(self, directory=None, tcp=False, auth='trust', listen='127.0.0.1', initdb_options=(), options=()):
        super().__init__(directory)
        self.data = os.path.join(self.directory, 'data')
        self.host = self.directory
        self.tcp = tcp
        self.listen = listen
        self.auth = auth
        self.port = 5432
        self.initdb_options = list(initdb_options)
        self.options = list(options)

    def _initdb(self):
        if os.geteuid() == 0:
            entry = pwd.getpwnam(self.os_user)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
        password_file = os.path.join(self.directory, 'password')
        with open(password_file, 'w') as f:
            f.write(self.password + '\n')
        os.chmod(password_file, 0o644)
        argv = [postgres_binary('initdb'), '-D', self.data, '--no-sync', '-E', 'UTF8', '--no-instructions',
                '-U', self.user, '-A', self.auth, f'--pwfile={password_file}'] + self.initdb_options
        if any('locale' in o for o in self.initdb_options):
            pass
        elif os.environ.get('ROUNDTABLE_TEST_ICU'):
            # sorts, and writes numbers, as nobody who relies on C expects; messages are read by tests
            argv += ['--locale-provider=icu', '--icu-locale=de-DE', '--locale=de_DE.UTF-8', '--lc-messages=C']
        else:
            argv.append('--no-locale')
        if os.geteuid() == 0:
            argv = ['setpriv', f'--reuid={self.os_user}', f'--regid={self.os_user}', '--init-groups'] + argv
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd='/')
        if done.returncode != 0:
            raise ServerError(f'initdb failed: {done.stdout}')

    def start(self):
        if not os.path.exists(os.path.join(self.data, 'PG_VERSION')):
            self._initdb()
            if self.tcp:
                self.port = free_port()
        argv = [postgres_binary('postgres'), '-D', self.data, '-k', self.directory, '-p', str(self.port),
                '-c', f'listen_addresses={self.listen if self.tcp else ""}',
                # commits wait for their write, not for the disk: they outlast kill -9, as tests expect, not a power cut
                '-c', 'fsync=off', '-c', 'synchronous_commit=on', '-c', 'full_page_writes=off',
                '-c', 'wal_level=minimal', '-c', 'max_wal_senders=0', '-c', 'shared_buffers=64MB',
                '-c', 'max_connections=200', '-c', 'unix_socket_permissions=0777']
        for option in self.options:
            argv += ['-c', option]
        self.spawn(argv, user=self.os_user, cwd='/')
        wait_until(self._answers, f'PostgreSQL in {self.directory}')
        return self

    def _answers(self):
        if not self.running():
            raise ServerError(f'PostgreSQL did not start: {self.log()}')
        try:
            self.connect().close()
            return True
        except Exception:
            return False

    def connect(self, database='postgres', **kwargs):
        """A psycopg2 connection in autocommit mode."""
        import psycopg2
        c = psycopg2.connect(host=self.host, port=self.port, user=self.user, password=self.password,
                             dbname=database, connect_timeout=5, **kwargs)
        c.autocommit = True
        return c

    def execute(self, sql, parameters=None, database='postgres'):
        """Runs one statement and returns its rows, or None when it has none."""
        # psycopg2's own `with connection` would begin a transaction, and not close anything
        with contextlib.closing(self.connect(database)) as c, c.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else None

    def create_database(self, name, template=None):
        self.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ''))
        return name

    def stop(self, number=signal.SIGINT, deadline=DEADLINE):
        super().stop(number, deadline)

    def environment(self, database='postgres'):
        """The original's variables for this server."""
        return {'DB_HOSTNAME': self.host, 'DB_READONLY_HOSTNAME': self.host, 'DB_PORT': str(self.port),
                'DB_NAME': database, 'DB_USERNAME': self.user, 'DB_PASSWORD': self.password}


class Redis(Server):
    """A Redis server on a unix socket; with tcp=True on 127.0.0.1:`port` too."""

    def __init__(self, directory=None, tcp=False, password=None, listen='127.0.0.1', options=()):
        super().__init__(directory)
        self.socket = os.path.join(self.directory, 'redis.sock')
        self.tcp = tcp
        self.listen = listen
        self.port = None
        self.password = password
        self.options = list(options)

    def start(self):
        for _ in range(10):
            if self.tcp and self.port is None:
                self.port = free_port()
            argv = ['redis-server', '--port', str(self.port or 0), '--bind', self.listen, '--unixsocket', self.socket,
                    '--unixsocketperm', '777', '--save', '', '--appendonly', 'no', '--dir', self.directory,
                    '--daemonize', 'no', '--protected-mode', 'no']
            if self.password:
                argv += ['--requirepass', self.password]
            self.spawn(argv + self.options)
            try:
                wait_until(self._answers, f'Redis in {self.directory}')
                return self
            except ServerError:
                if self.running() or 'Address already in use' not in self.log():
                    raise
                self.port = None
        raise ServerError('no free port for Redis')

    def _answers(self):
        if not self.running():
            raise ServerError(f'Redis did not start: {self.log()}')
        try:
            return self.client().ping()
        except Exception:
            return False

    def client(self, **kwargs):
        """A redis-py client over the unix socket."""
        import redis
        return redis.Redis(unix_socket_path=self.socket, password=self.password, **kwargs)

    @property
    def url(self):
        if self.tcp:
            secret = f':{self.password}@' if self.password else ''
            return f'redis://{secret}127.0.0.1:{self.port}'
        return f'unix://{self.socket}'


class KafkaMock(Server):
    """librdkafka's mock cluster in the project's own host process."""

    def __init__(self, program, arguments=(), directory=None):
        super().__init__(directory)
        self.program = program
        self.arguments = list(arguments)
        self.bootstrap = None

    def start(self):
        self.spawn([self.program] + self.arguments, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith('bootstrap '):
            raise ServerError(f'kafka mock: {line!r} {self.log()}')
        self.bootstrap = line.split()[1]
        return self
