"""One broker for the session; each test gets it running."""
import itertools
import os
import sys

import pytest

import broker as broker_module
from tcp_proxy import PASS

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'integration'))
_serial = itertools.count(1)


@pytest.fixture(scope='session')
def shared_broker():
    try:
        server = broker_module.KafkaBroker()
    except broker_module.Unavailable as e:
        pytest.skip(str(e))
    with server:
        yield server


@pytest.fixture
def broker(shared_broker):
    """The session's broker, whatever the test before did to it."""
    shared_broker.proxy.mode = PASS
    if shared_broker.running():
        shared_broker.thaw()
    else:
        shared_broker.start()
    return shared_broker


@pytest.fixture
def topic(broker):
    """A new topic of one partition."""
    return broker.create_topic(f'topic-{next(_serial)}')
