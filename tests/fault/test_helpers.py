"""The fault helpers do what they say: a fault test over a helper that does nothing would pass for the wrong reason."""
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import netns  # noqa: E402
import tcp_proxy  # noqa: E402
from servers import Redis, short_directory, wait_until  # noqa: E402


@pytest.fixture
def echo():
    """The address of a server that sends back what it gets, in upper case."""
    listener = socket.socket()
    listener.bind(('127.0.0.1', 0))
    listener.listen(8)

    def serve(s):
        with s:
            while True:
                try:
                    data = s.recv(4096)
                except OSError:
                    return
                if not data:
                    return
                s.sendall(data.upper())

    def accept():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(s,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def connect(address):
    s = socket.create_connection(address, timeout=10)
    return s


def ask(s, text, timeout=10.0):
    s.settimeout(timeout)
    s.sendall(text)
    return s.recv(4096)


def test_passes_then_drops_replies_only(echo):
    with tcp_proxy.TcpProxy(echo) as proxy, connect(proxy.address) as s:
        assert ask(s, b'one') == b'ONE'
        proxy.mode = tcp_proxy.DROP_REPLIES
        with pytest.raises(socket.timeout):
            ask(s, b'two', 0.2)
        wait_until(lambda: proxy.requests == 6, 'the request to arrive')
        proxy.mode = tcp_proxy.PASS
        assert ask(s, b'three') == b'THREE'


def test_silence_loses_nothing_when_it_ends(echo):
    with tcp_proxy.TcpProxy(echo) as proxy, connect(proxy.address) as s:
        proxy.mode = tcp_proxy.SILENT
        with pytest.raises(socket.timeout):
            ask(s, b'late', 0.2)
        proxy.mode = tcp_proxy.PASS
        s.settimeout(10)
        assert s.recv(4096) == b'LATE'


def test_delay_is_at_least_what_was_asked(echo):
    with tcp_proxy.TcpProxy(echo) as proxy, connect(proxy.address) as s:
        proxy.delay = 0.2
        proxy.mode = tcp_proxy.DELAY
        begin = time.monotonic()
        assert ask(s, b'slow') == b'SLOW'
        assert time.monotonic() - begin >= 0.2


def test_refuses_new_connections_and_keeps_open_ones(echo):
    with tcp_proxy.TcpProxy(echo) as proxy, connect(proxy.address) as s:
        assert ask(s, b'one') == b'ONE'
        proxy.mode = tcp_proxy.REFUSE
        with pytest.raises((ConnectionError, AssertionError)), connect(proxy.address) as other:
            assert ask(other, b'x') == b'X'
        assert ask(s, b'two') == b'TWO'


def test_cut_resets(echo):
    with tcp_proxy.TcpProxy(echo) as proxy, connect(proxy.address) as s:
        assert ask(s, b'one') == b'ONE'
        proxy.cut()
        with pytest.raises((ConnectionError, AssertionError)):
            assert ask(s, b'two') == b'TWO'
        with connect(proxy.address) as other:
            assert ask(other, b'three') == b'THREE'


def test_unix_sockets():
    directory = short_directory('px-')
    path = os.path.join(directory, 'proxy.sock')
    with Redis() as redis, tcp_proxy.TcpProxy(redis.socket, listen=path):
        import redis as client
        assert client.Redis(unix_socket_path=path).ping()


def test_namespaces_are_cut_off_without_a_packet():
    with netns.require() as net:
        code = ('import socket\ns = socket.create_server(("192.0.2.2", 7)); print("up", flush=True)\n'
                'c, _ = s.accept()\nwhile True:\n d = c.recv(9)\n if not d: break\n c.sendall(d)\n')
        client_code = ('import socket, sys\ns = socket.create_connection(("192.0.2.2", 7), 10)\n'
                       'for line in sys.stdin:\n s.settimeout(10 if line.strip() != "cut" else 0.5)\n'
                       ' try:\n  s.sendall(line.encode()[:3]); r = len(s.recv(9)) > 0\n'
                       ' except socket.timeout: r = "silence"\n except OSError as e: r = repr(e)\n print(r, flush=True)\n')
        python = '/usr/bin/python3'
        server = subprocess.Popen(net.inside('server', [python, '-c', code]), stdout=subprocess.PIPE, text=True)
        client = None
        try:
            assert server.stdout.readline() == 'up\n'
            client = subprocess.Popen(net.inside('client', [python, '-c', client_code]), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)

            def say(word):
                client.stdin.write(word + '\n')
                client.stdin.flush()
                return client.stdout.readline().strip()
            assert say('one') == 'True'
            net.cut()
            assert say('cut') == 'silence'
            net.join()
            assert say('two') == 'True'
        finally:
            for process in (client, server):
                if process:
                    process.kill()
                    process.wait()
    listed = subprocess.run(['ip', 'netns', 'list'], capture_output=True, text=True).stdout
    assert not any(name in listed for name in net.names.values())


def test_a_loopback_is_cut_off_without_a_packet():
    with netns.require(netns.LoopbackNamespace) as net, Redis(tcp=True) as server:
        server.stop()
        server.network = net.path
        server.start()
        code = ('import redis, sys\nr = redis.Redis.from_url(sys.argv[1], socket_timeout=0.5)\n'
                'for line in sys.stdin:\n try: print(r.ping(), flush=True)\n'
                ' except redis.TimeoutError: print("silence", flush=True)\n'
                ' except Exception as e: print(repr(e), flush=True)\n')
        client = subprocess.Popen(net.inside(['/usr/bin/python3', '-c', code, server.url]), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        try:
            def ask_again():
                client.stdin.write('\n')
                client.stdin.flush()
                return client.stdout.readline().strip()
            assert ask_again() == 'True'
            net.cut()
            assert ask_again() == 'silence'
            assert server.client().ping(), 'unix sockets are not cut'
            net.join()
            wait_until(lambda: ask_again() == 'True', 'an answer')
        finally:
            client.kill()
            client.wait()
