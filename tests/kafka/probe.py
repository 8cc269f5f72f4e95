"""Drives kafka-probe: the project's producer in a process of its own, configured by the environment."""
import json
import os
import subprocess

from servers import DEADLINE, die_with_parent, wait_until


NEVER, RETRY, UNCERTAIN, CANCELED = 'never will work', 'retry later', 'may have happened', 'cancelled'


# For tests whose brokers do not answer; a busy machine's may well take longer when all is right.
IMPATIENT = {'connection_timeout_ms': 1000, 'request_timeout_ms': 1000}


class Probe:
    def __init__(self, build, brokers, **settings):
        """settings: KAFKA_… variables without that prefix, in lower case."""
        environment = {k: v for k, v in os.environ.items() if k.startswith(('ASAN_', 'UBSAN_', 'TSAN_', 'LSAN_'))}
        environment.update({'KAFKA_BROKER_URLS': brokers, 'SERVICE_NAME': 'kafka-probe'})
        environment.update({f'KAFKA_{name.upper()}': str(value) for name, value in settings.items()})
        self.process = subprocess.Popen([os.path.join(build, 'tests', 'unit', 'kafka-probe')], env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        preexec_fn=die_with_parent)
        line = self.process.stdout.readline()
        self.made = json.loads(line) if line else None
        if not self.made or self.made['r'] < 0:
            self.process.wait(DEADLINE)

    def ask(self, verb, **fields):
        self.process.stdin.write(json.dumps(dict(fields, verb=verb)) + '\n')
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def send(self, topic, *texts, key=None, size=None, **fields):
        """One kafka_send(): of the texts, or of one message of `size` bytes."""
        messages = [{'topic': topic, 'text': t} for t in texts]
        if size is not None:
            messages.append({'topic': topic, 'size': size})
        if key is not None:
            for m in messages:
                m['key'] = key.hex()
        return self.ask('send', messages=messages, **fields)

    def states(self):
        """'+' for each time the brokers answered again, '-' for each time they were lost."""
        return self.ask('send', messages=[])['states']

    def wait_states(self, states):
        wait_until(lambda: self.states() == states, f'states {states}')

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(DEADLINE)
        self.process.stdout.close()
        self.process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
