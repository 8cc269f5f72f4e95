"""A proxy between a client and a server whose behaviour can be changed while it runs.

    with TcpProxy(server_address) as proxy:      # ('127.0.0.1', 5432) or '/path/of.sock'
        connect to proxy.address                 # a port of its own, or listen='/path/of.sock'
        proxy.mode = DROP_REPLIES

Modes: PASS; DROP_REPLIES (requests arrive, answers vanish); DELAY (answers come `delay` seconds late); SILENT (nothing is
passed on in either direction and nothing is closed); REFUSE (new connections are closed at once; open ones stay). cut()
resets every open connection.
"""
import os
import socket
import struct
import threading

PASS, DROP_REPLIES, DELAY, SILENT, REFUSE = 'pass', 'drop replies', 'delay', 'silent', 'refuse'


def _connect(address):
    s = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET, socket.SOCK_STREAM)
    try:
        s.connect(address)
    except OSError:
        s.close()
        raise
    return s


def _reset(s):
    """Closes with a reset, as a peer that died does; a unix socket knows only the end of the stream."""
    try:
        if s.family != socket.AF_UNIX:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class TcpProxy:
    def __init__(self, target, listen=('127.0.0.1', 0)):
        self.target = target
        self.delay = 0.0
        self.connections = 0  # accepted so far, refused ones included
        self.requests = 0     # bytes from clients
        self.on_request = None  # called with what a client has sent, before that is passed on, by its connection's thread
        self.dropped = 0      # bytes of answers that DROP_REPLIES kept
        self._mode = PASS
        self._changed = threading.Condition()
        self._pairs = []
        self._stop = False
        self._listener = socket.socket(socket.AF_UNIX if isinstance(listen, str) else socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind(listen)
        if isinstance(listen, str):
            os.chmod(listen, 0o777)
        self._listener.listen(64)
        self.address = self._listener.getsockname()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self.address[1]

    @property
    def mode(self):
        return self._mode

    @mode.setter
    def mode(self, value):
        if value not in (PASS, DROP_REPLIES, DELAY, SILENT, REFUSE):
            raise ValueError(value)
        with self._changed:
            self._mode = value
            self._changed.notify_all()

    def cut(self):
        """Resets every open connection."""
        with self._changed:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for s in pair:
                _reset(s)

    def close(self):
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(10)
        self._listener.close()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def _accept(self):
        while not self._stop:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self._mode == REFUSE or self._stop:
                _reset(client)
                client.close()
                continue
            try:
                server = _connect(self.target)
            except OSError:
                _reset(client)
                client.close()
                continue
            with self._changed:
                self._pairs.append((client, server))
            for source, sink, reply in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, sink, reply), daemon=True).start()

    def _pump(self, source, sink, reply):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                if not reply:
                    self.requests += len(data)
                if self.on_request and not reply:
                    self.on_request(data)
                if self._hold(reply):
                    sink.sendall(data)
                else:
                    self.dropped += len(data)
        except OSError:
            pass
        # both directions end with the first one; the sockets are freed with the last reference
        _reset(source)
        _reset(sink)

    def _hold(self, reply):
        """Waits as the mode says; True when the data is to be passed on."""
        with self._changed:
            while self._mode == SILENT and not self._stop:
                self._changed.wait()
            if self._mode == DELAY and reply:
                self._changed.wait_for(lambda: self._stop or self._mode != DELAY, self.delay)
            return not (reply and self._mode == DROP_REPLIES) and not self._stop
