#!/usr/bin/python3
"""A screening service for development and tests, over real HTTP on this host's loopback: screening_service.py [OPTION ...]

It speaks the protocol of the service Elliptic as far as Roundtable uses it and checks each request byte for byte, its
signature included. Scores are made up from the address; nothing is screened, and nothing leaves the machine. GET / says so.

  --port N          0: any; it is printed as the first line, "listening on http://127.0.0.1:N"
  --key, --secret   what requests must be signed with (base64)
  --latency MSEC    before each answer
  --errors FRACTION of questions that are answered 500
  --rate-limit N    questions a second; more are answered 429 with Retry-After: 1
  --tls CERT KEY    https

In tests: ScreeningService(...) with `answers`, address -> what to answer: a number, None or a text is a risk score; a
dictionary has `status`, `headers`, `body` (anything JSON, or bytes) and `delay`; "close", "reset", "endless", "silent" are
what they say; a list is one of these for each request in turn, the last one for all that follow.
"""
import argparse
import base64
import hashlib
import hmac
import http.server
import json
import random
import re
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time

PATH = '/v2/wallet/synchronous'
BODY = '{"subject":{"asset":"holistic","blockchain":"holistic","type":"address","hash":%s},"type":"wallet_exposure",' \
       '"customer_reference":"string"}'
ABOUT = "Roundtable's screening service for development and tests. Scores are made up; nothing is screened here.\n"


def answer_of_score(score):
    return {'risk_score': score, 'evaluation_detail': {'source': [], 'destination': []}, 'id': 'made-up'}


def made_up_score(address):
    """Most are null, some are low, about one in fifty is high."""
    n = int.from_bytes(hashlib.sha256(address.encode()).digest()[:4], 'big') % 100
    return None if n < 70 else n % 10 if n < 98 else 25.5


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    server_version = 'RoundtableScreeningService'
    disable_nagle_algorithm = True  # else the head waits for the acknowledgement of what was before it

    def log_message(self, *unused):
        pass

    def reply(self, status, body, headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.reply(200, ABOUT.encode(), [('Content-Type', 'text/plain')])

    def wrong(self, body):
        """What is wrong with the request, as (status, text), or None."""
        service = self.server.service
        if self.path != PATH:
            return 404, 'no such path'
        if not self.headers.get('Content-Type') == 'application/json' or \
                self.headers.get('Accept') != 'application/json, text/plain, */*':
            return 415, 'wrong headers'
        timestamp = self.headers.get('x-access-timestamp', '')
        if self.headers.get('x-access-key') != service.key or not re.fullmatch('[0-9]{13}', timestamp):
            return 401, 'wrong key or timestamp'
        text = timestamp.encode() + b'POST' + PATH.encode() + body
        expected = base64.b64encode(hmac.new(base64.b64decode(service.secret), text, hashlib.sha256).digest()).decode()
        if not hmac.compare_digest(self.headers.get('x-access-sign', ''), expected):
            return 401, 'wrong signature'
        address = json.loads(body)['subject']['hash']
        if body != (BODY % json.dumps(address, ensure_ascii=False)).encode():
            return 400, 'another body than expected'
        return None

    def do_POST(self):
        service = self.server.service
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        wrong = self.wrong(body)
        if wrong:
            service.note(None, wrong[0], self.client_address)
            return self.reply(wrong[0], {'message': wrong[1]})
        address = json.loads(body)['subject']['hash']
        if not service.admit():
            service.note(address, 429, self.client_address)
            return self.reply(429, {'message': 'Too many requests'}, [('Retry-After', '1')])
        answer = service.answer(address)
        if service.latency:
            time.sleep(service.latency)
        if service.errors and random.random() < service.errors:
            answer = {'status': 500}
        service.note(address, answer, self.client_address)
        self.play(answer)

    def play(self, answer):
        if answer == 'close':
            self.close_connection = True
        elif answer == 'reset':
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            self.connection.close()
            self.close_connection = True
        elif answer == 'silent':
            self.server.service.closing.wait()
            self.close_connection = True
        elif answer == 'endless':
            self.close_connection = True
            self.send_response(200)
            self.end_headers()
            try:
                while not self.server.service.closing.is_set():
                    self.server.service.endless_bytes += self.connection.send(b'{"risk_score": 99, "x": "' + b'x' * 65536)
            except OSError:
                pass
        elif isinstance(answer, dict):
            time.sleep(answer.get('delay', 0))
            self.reply(answer.get('status', 200), answer.get('body', {}), answer.get('headers', ()))
        else:
            self.reply(200, answer_of_score(answer))


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
    context = None

    def finish_request(self, request, client_address):
        # the handshake is made here, on the connection's own thread
        if self.context:
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError):
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class ScreeningService:
    def __init__(self, key='test-key', secret='dGVzdC1zZWNyZXQ=', port=0, latency=0, errors=0, rate_limit=0, tls=None):
        """latency in seconds; tls: (certificate file, key file)."""
        self.key, self.secret = key, secret
        self.latency, self.errors, self.rate_limit = latency, errors, rate_limit
        self.answers = {}
        self.requests = []  # (address or None when refused, what was answered, client's port), in order of arrival
        self.endless_bytes = 0  # sent of endless answers
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.admitted = []
        self.server = Server(('127.0.0.1', port), Handler)
        self.server.service = self
        if tls:
            self.server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.server.context.load_cert_chain(*tls)
        self.url = f'{"https" if tls else "http"}://127.0.0.1:{self.server.server_address[1]}'
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.close()

    def note(self, address, answer, client):
        with self.lock:
            self.requests.append((address, answer, client[1]))

    def asked(self):
        """Addresses in the order in which they were asked about."""
        with self.lock:
            return [r[0] for r in self.requests]

    def answer(self, address):
        with self.lock:
            found = self.answers.get(address, made_up_score(address))
            if isinstance(found, list):
                return found.pop(0) if len(found) > 1 else found[0]
            return found

    def admit(self):
        """Whether the request is within the limit of the last second."""
        if not self.rate_limit:
            return True
        now = time.monotonic()
        with self.lock:
            self.admitted = [t for t in self.admitted if t > now - 1]
            if len(self.admitted) >= self.rate_limit:
                return False
            self.admitted.append(now)
            return True


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--port', type=int, default=0)
    p.add_argument('--key', default='test-key')
    p.add_argument('--secret', default='dGVzdC1zZWNyZXQ=')
    p.add_argument('--latency', type=float, default=0)
    p.add_argument('--errors', type=float, default=0)
    p.add_argument('--rate-limit', type=int, default=0)
    p.add_argument('--tls', nargs=2)
    o = p.parse_args()
    service = ScreeningService(o.key, o.secret, o.port, o.latency / 1000, o.errors, o.rate_limit, o.tls)
    print(f'listening on {service.url}\n{ABOUT}', end='', flush=True)
    try:
        service.server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == '__main__':
    main()
