"""Network namespaces in which packets can be made to vanish: two joined by a veth pair, or one with a loopback.

    with NetworkNamespaces() as net:
        subprocess.Popen(net.inside('server', ['redis-server', '--bind', net.server_address, ...]))
        subprocess.Popen(net.inside('client', [...]))
        net.cut()      # packets vanish: no reset, no unreachable message
        net.join()

Needs root and the right to make namespaces; require() skips the test with the reason otherwise. Everything is removed
by close(), also when making it failed half way.
"""
import contextlib
import itertools
import os
import subprocess

import pytest

_serial = itertools.count(1)


class NetworkError(Exception):
    pass


def _ip(*arguments):
    done = subprocess.run(['ip', *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise NetworkError(f'ip {" ".join(arguments)}: {done.stderr.strip()}')


class LoopbackNamespace:
    """One namespace with nothing but lo, for servers that listen on 127.0.0.1 alone and their clients.

    cut() makes every packet vanish in a queue of length 0: neither side sees more than silence. What goes over unix
    sockets is not touched by it.
    """

    def __init__(self):
        self.name = f'rt{os.getpid()}-{next(_serial)}l'
        _ip('netns', 'add', self.name)
        try:
            _ip('-n', self.name, 'link', 'set', 'lo', 'up')
            self.cut()  # the kernel may lack what it takes
            self.join()
        except BaseException:
            self.close()
            raise

    @property
    def path(self):
        return f'/run/netns/{self.name}'

    def inside(self, argv):
        """The command that runs argv in the namespace; its pid is that of argv."""
        return ['ip', 'netns', 'exec', self.name, *argv]

    def _queue(self, *arguments):
        done = subprocess.run(['tc', '-n', self.name, 'qdisc', *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise NetworkError(f'tc qdisc {" ".join(arguments)}: {done.stderr.strip()}')

    def cut(self):
        self._queue('add', 'dev', 'lo', 'root', 'pfifo', 'limit', '0')

    def join(self):
        self._queue('del', 'dev', 'lo', 'root')

    def close(self):
        with contextlib.suppress(NetworkError):
            _ip('netns', 'delete', self.name)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class NetworkNamespaces:
    def __init__(self):
        tag = f'rt{os.getpid()}-{next(_serial)}'
        self.names = {'client': f'{tag}c', 'server': f'{tag}s'}
        self.client_address, self.server_address = '192.0.2.1', '192.0.2.2'
        self._made = []
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self):
        for name in self.names.values():
            _ip('netns', 'add', name)
            self._made.append(name)
            _ip('-n', name, 'link', 'set', 'lo', 'up')
        client, server = self.names['client'], self.names['server']
        _ip('-n', client, 'link', 'add', 'veth0', 'type', 'veth', 'peer', 'name', 'veth1', 'netns', server)
        _ip('-n', client, 'address', 'add', self.client_address + '/30', 'dev', 'veth0')
        _ip('-n', server, 'address', 'add', self.server_address + '/30', 'dev', 'veth1')
        self.join()

    def inside(self, side, argv):
        """The command that runs argv in the namespace of `side`, 'client' or 'server'; its pid is that of argv."""
        return ['ip', 'netns', 'exec', self.names[side], *argv]

    def cut(self):
        """The server's end goes down: the client's address and route stay, so that its packets go out and vanish."""
        _ip('-n', self.names['server'], 'link', 'set', 'veth1', 'down')

    def join(self):
        _ip('-n', self.names['client'], 'link', 'set', 'veth0', 'up')
        _ip('-n', self.names['server'], 'link', 'set', 'veth1', 'up')

    def close(self):
        """Removing a namespace removes its end of the pair and with it the other end."""
        made, self._made = self._made, []
        for name in made:
            _ip('netns', 'delete', name)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def require(kind=NetworkNamespaces):
    """NetworkNamespaces or LoopbackNamespace, or a skip that says why there are none."""
    try:
        return kind()
    except (NetworkError, FileNotFoundError) as e:
        pytest.skip(f'requires netns: {e}')
