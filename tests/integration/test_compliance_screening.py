"""update_compliance_data against tests/screening_service.py, which checks every request and misbehaves as it is told."""
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import re
import subprocess
import threading
import time

import pytest

import servers
from compliance_world import NOW, only, round_trips, usec, world  # noqa: F401
from screening_service import ScreeningService, answer_of_score

TASK = 'update_compliance_data'
KEY, SECRET = 'a-key-nobody-may-see', 'c2VjcmV0LW5vYm9keS1tYXktc2Vl'
ACTIVE = '2026-01-31T12:00:00Z'
FAILED = 'roundtable.control.update_compliance_data.failed'
PASS = 'complianceScreeningPass'
STARTED, HOLD = 'roundtable.control.screening.started', 'roundtable.control.screening.hold'


@pytest.fixture
def service():
    with ScreeningService(KEY, SECRET) as s:
        yield s


@pytest.fixture
def w(world, service):
    """The world, whose workers ask the service; a limit that nobody notices."""
    settle(world, service)
    return world


def settle(world, service, screening=None, tasks=None, slice='1 min', **elliptic):
    world.deployment.settings('compliance', slice=slice, tasks=tasks or {},
                              screening=dict({'batch_delay': '1 ms'}, **(screening or {})),
                              elliptic=dict({'url': service.url, 'api_key': KEY, 'api_secret': SECRET}, **elliptic))


def active(w, *addresses, at=ACTIVE):
    for address in addresses:
        w.subaccount(address, updated=at)


def data(w, address, blocked, updated, score='1'):
    w.insert('compliance_data', address=address, provider='ELLIPTIC', blocked=blocked, riskScore=score, updatedAt=updated)


def status(w, address, status, reason=None, updated='2026-01-01T00:00:00Z'):
    w.insert('compliance_status', address=address, status=status, reason=reason, createdAt=updated, updatedAt=updated)


def iso(column):
    return f'to_char({column}, \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')'


def known(w):
    """Address -> (blocked, score, when)."""
    return {r[0]: r[1:] for r in w.sql(f'SELECT address, blocked, "riskScore"::text, {iso(chr(34) + "updatedAt" + chr(34))} '
                                       'FROM compliance_data ORDER BY address')}


def statuses(w):
    return {r[0]: r[1:] for r in w.sql('SELECT address, status, reason, '
                                       f'{iso(chr(34) + "updatedAt" + chr(34))} FROM compliance_status')}


def gauges(metrics):
    prefix = 'update_compliance_data.'
    return {k[len(prefix):]: v[0][0] for k, v in metrics.items() if k.startswith(prefix) and v[0][1] == 'g'}


def statuscodes(metrics):
    found = {}
    for value, _, tags in metrics.get('get_elliptic_risk_score.status_code', []):
        found[tags['status']] = found.get(tags['status'], 0) + value
    return found


NOT_FOUND = {'status': 404, 'body': {'name': 'NotInBlockchain'}}


def example(w, service):
    """Section 2.7 of the compliance specification."""
    active(w, 'a1', 'a2', 'a3', 'a4', 'a5', 'a6')
    data(w, 'a2', False, '2026-01-30T00:00:00Z')
    data(w, 'a3', False, '2026-01-31T00:00:00.000Z')
    data(w, 'a4', True, '2026-01-20T00:00:00Z')
    data(w, 'a5', False, '2026-01-31T12:00:00Z')
    status(w, 'a6', 'CLOSE_ONLY')
    data(w, 'o1', False, '2025-12-01T00:00:00Z')
    w.wallet('o1')
    data(w, 'o2', False, '2025-11-01T00:00:00Z')
    service.answers = {'a1': None, 'a2': 12.4, 'a3': NOT_FOUND}
    settle(w, service, screening={'max_per_run': 4})


AFTER = {'a1': (False, '-1.00', NOW), 'a2': (True, '12.00', NOW), 'a3': (False, '-2.00', NOW),
         'a4': (True, '1.00', '2026-01-20T00:00:00.000Z'), 'a5': (False, '1.00', '2026-01-31T12:00:00.000Z'),
         'o1': (False, '1.00', '2025-12-01T00:00:00.000Z'), 'o2': (False, '1.00', '2025-11-01T00:00:00.000Z')}
STATUS_AFTER = {'a2': ('CLOSE_ONLY', 'COMPLIANCE_PROVIDER', NOW), 'a6': ('CLOSE_ONLY', None, '2026-01-01T00:00:00.000Z')}


def test_worked_example(w, service):
    example(w, service)
    w.run(TASK)
    assert known(w) == AFTER and statuses(w) == STATUS_AFTER
    assert sorted(service.asked()) == ['a1', 'a2', 'a3']
    metrics = w.statsd.read()
    assert gauges(metrics) == {'num_active_addresses': 2, 'num_new_addresses': 2,
                               'num_active_addresses_with_stale_compliance': 2, 'num_old_addresses': 0,
                               'num_inactive_addresses_with_stale_compliance': 1, 'num_addresses_to_screen': 3,
                               'num_upserted': 3, 'num_compliance_status_upserted': 1}
    assert metrics['update_compliance_data.get_compliance_data_404'] == [(1, 'c', {'provider': 'ELLIPTIC'})]
    assert 'update_compliance_data.get_compliance_data_fail' not in metrics
    assert statuscodes(metrics) == {'200': 2, '404': 1}
    for name in ('get_active_addresses', 'get_old_addresses', 'get_batch_compliance_data', 'query_compliance_data',
                 'upsert_compliance_data'):
        assert [m[1:] for m in metrics[f'update_compliance_data.{name}']] == [('ms', {'provider': 'ELLIPTIC'})], name
    assert [m[1:] for m in metrics['update_compliance_data.upsert_compliance_status']] == [('ms', {})]
    assert len(metrics['get_elliptic_risk_score_total_time']) == 2


def test_killed_at_every_failpoint_and_two_hosts(w, service):
    """Batches of two, so that there is a kill between batches; o1 and o2 make it four addresses."""
    example(w, service)
    w.wallet('o2')
    settle(w, service, screening={'max_per_run': 100, 'batch_size': 2})
    campaign = w.campaign(TASK)
    points = campaign.kill_everywhere()
    for call in ('http.elliptic.screen:sent', 'postgres.commit:sent', 'redis.screening.take:sent'):
        assert any(call in p for p in points), points
    campaign.two_hosts()


def test_bounds_of_selection_to_the_microsecond(w, service):
    active(w, 'in', at='2026-01-31T00:00:00.000000Z')
    active(w, 'out', at='2026-01-30T23:59:59.999999Z')
    active(w, 'stale', 'fresh')
    data(w, 'stale', False, '2026-01-31T00:00:00.000000Z')
    data(w, 'fresh', False, '2026-01-31T00:00:00.000001Z')
    limit = usec(NOW) - 2630000 * 10**6
    for address, at in (('old', limit), ('young', limit + 1)):
        w.wallet(address)
        data(w, address, False, '2025-01-01T00:00:00Z')
        w.sql('UPDATE compliance_data SET "updatedAt" = \'epoch\'::timestamptz + %s * interval \'1 microsecond\' '
              'WHERE address = %s', (at, address))
    w.run(TASK)
    assert sorted(service.asked()) == ['in', 'old', 'stale']


def test_more_new_addresses_than_the_limit_are_screened_from_the_first_on(w, service):
    addresses = [f'n{i:03d}' for i in range(130)]
    active(w, *reversed(addresses))
    active(w, 'stale')
    data(w, 'stale', False, '2026-01-01T00:00:00Z')
    w.run(TASK)
    assert sorted(service.asked()) == addresses[:100]
    assert gauges(w.statsd.read())['num_new_addresses'] == 130
    w.run(TASK)
    assert sorted(service.asked()) == sorted(addresses + ['stale'])


def test_an_address_that_is_stale_and_old_is_asked_about_once(w, service):
    """Others stand between its two places: the original wrote it twice in one statement, which the server refuses."""
    for i in range(3):
        active(w, f's{i}')
        data(w, f's{i}', False, f'2025-11-0{i + 1}T00:00:00Z')
        w.wallet(f's{i}')
        w.wallet(f'o{i}')
        data(w, f'o{i}', False, f'2025-10-0{i + 1}T00:00:00Z')
    w.run(TASK)
    assert sorted(service.asked()) == ['o0', 'o1', 'o2', 's0', 's1', 's2']
    assert all(v[2] == NOW for v in known(w).values())
    # no room for both kinds: active ones go first, and take no place twice
    w.sql('UPDATE compliance_data SET "updatedAt" = %s', ('2025-11-01T00:00:00Z',))
    service.requests.clear()
    settle(w, service, screening={'max_per_run': 4})
    w.run(TASK)
    assert sorted(service.asked()) == ['o0', 's0', 's1', 's2']


def test_barred_addresses_take_no_place(w, service):
    for i in range(5):
        active(w, f'b{i}')
        status(w, f'b{i}', 'BLOCKED' if i % 2 else 'CLOSE_ONLY')
    active(w, 'x', 'y', 'z')
    data(w, 'z', False, '2026-01-01T00:00:00Z')
    settle(w, service, screening={'max_per_run': 3})
    w.run(TASK)
    assert sorted(service.asked()) == ['x', 'y', 'z']
    metrics = gauges(w.statsd.read())
    assert (metrics['num_new_addresses'], metrics['num_addresses_to_screen']) == (7, 3)


def test_old_addresses_keep_a_tenth_of_the_limit_next_to_barred_ones(w, service):
    for i in range(30):
        active(w, f'b{i}')
        status(w, f'b{i}', 'BLOCKED')
        w.wallet(f'o{i}')
        data(w, f'o{i}', False, '2025-01-01T00:00:00Z')
    settle(w, service, screening={'max_per_run': 20})
    w.run(TASK)
    assert len(service.asked()) == 2


def test_what_is_blocked_and_what_becomes_of_a_status(w, service):
    scores = {'ten': 10, 'almost': 9.99, 'half': 9.5, 'less': 9.49, 'null': None, 'huge': 1e7, 'negative': -3.5}
    active(w, *scores)
    for i, s in enumerate(('COMPLIANT', 'FIRST_STRIKE', 'FIRST_STRIKE_CLOSE_ONLY')):
        active(w, f's{i}', f't{i}')
        status(w, f's{i}', s, 'US_GEO')
        status(w, f't{i}', s, 'US_GEO')
        scores.update({f's{i}': 50, f't{i}': 1})
    service.answers = scores
    w.run(TASK)
    found = known(w)
    assert {k: v[:2] for k, v in found.items() if k in ('ten', 'almost', 'half', 'less', 'null', 'huge', 'negative')} == {
        'ten': (True, '10.00'), 'almost': (False, '10.00'), 'half': (False, '10.00'), 'less': (False, '9.00'),
        'null': (False, '-1.00'), 'huge': (True, '999999.00'), 'negative': (False, '-4.00')}
    after = statuses(w)
    assert {k for k, v in after.items() if v == ('CLOSE_ONLY', 'COMPLIANCE_PROVIDER', NOW)} == {'ten', 'huge', 's0', 's1', 's2'}
    assert [after[f't{i}'][:2] for i in range(3)] == [('COMPLIANT', 'US_GEO'), ('FIRST_STRIKE', 'US_GEO'),
                                                     ('FIRST_STRIKE_CLOSE_ONLY', 'US_GEO')]
    assert 'less' not in after
    w.run(TASK, environment={'ELLIPTIC_RISK_SCORE_THRESHOLD': '9', 'MAX_ACTIVE_COMPLIANCE_DATA_AGE_SECONDS': '0'})
    assert known(w)['less'][0] and known(w)['ten'][0]


def test_who_became_blocked_meanwhile_stays_blocked(w, service):
    active(w, 'a', 'b')
    service.answers = {'a': 50, 'b': 50}
    other = w.postgres.connect(w.database)
    other.autocommit = False
    cursor = other.cursor()
    for address, s in (('a', 'BLOCKED'), ('b', 'CLOSE_ONLY')):
        cursor.execute('INSERT INTO compliance_status (address, status, reason, "updatedAt") VALUES (%s, %s, %s, %s)',
                       (address, s, 'MANUAL', '2026-01-15T00:00:00Z'))
    run = w.start(TASK)
    servers.wait_until(lambda: w.waiting() > 0, 'a waiting run')
    other.commit()
    other.close()
    out = run.communicate(timeout=60)[0]
    assert run.returncode == 0, out
    assert statuses(w) == {'a': ('BLOCKED', 'MANUAL', '2026-01-15T00:00:00.000Z'),
                           'b': ('CLOSE_ONLY', 'MANUAL', '2026-01-15T00:00:00.000Z')}
    assert known(w)['a'][0] and known(w)['b'][0]


def test_data_and_status_change_together(w, service):
    active(w, 'a')
    service.answers = {'a': 50}
    w.sql("ALTER TABLE compliance_status ADD CHECK (address <> 'a')")
    w.run(TASK, expect=1)
    assert (known(w), statuses(w)) == ({}, {})


def test_addresses_that_need_escaping(w, service):
    addresses = ['blank in it', 'quo"te', 'back\\slash', 'größe', "Robert'); DROP TABLE fills;--", 'tab\tline\n{},']
    active(w, *addresses)
    w.run(TASK)
    assert sorted(known(w)) == sorted(addresses) and sorted(service.asked()) == sorted(addresses)


def test_connections_are_reused(w, service):
    active(w, *(f'a{i:02d}' for i in range(60)))
    settle(w, service, screening={'batch_size': 5})
    w.run(TASK)
    assert len(known(w)) == 60
    assert len({port for _, _, port in service.requests}) <= 5


BAD = {
    'slow': {'delay': 30},
    'silent': 'silent',
    'error': {'status': 500},
    'unavailable': {'status': 503},
    'throttled': {'status': 429, 'body': {'risk_score': None}},
    'broken': {'body': b'{"risk_score": 5'},
    'text': {'body': {'risk_score': '5', 'evaluation_detail': {'source': 1, 'destination': 1}}},
    'partial': {'body': {'risk_score': 5, 'evaluation_detail': {'source': 1}}},
    'endless': 'endless',
    'close': 'close',
    'reset': 'reset',
    'forbidden': {'status': 403},
    'other-404': {'status': 404, 'body': {'name': 'Nothing'}},
}


def patience(kind):
    """A time-out that good answers keep on a busy machine; it is waited for only where nothing else ends the wait."""
    return '2 s' if kind in ('slow', 'silent') else '30 s'


@pytest.mark.parametrize('kind', list(BAD) + ['redirect'])
def test_a_bad_answer_writes_nothing_and_the_batch_goes_on(w, service, kind):
    """One address of three, in a batch with one of the others and before the second; then the service is well again."""
    with ScreeningService(KEY, SECRET) as elsewhere:
        bad = BAD.get(kind, {'status': 307, 'headers': [('Location', elsewhere.url + '/v2/wallet/synchronous')],
                             'body': answer_of_score(5)})
        active(w, 'a', 'bad', 'c')
        service.answers = {'a': 1, 'bad': bad, 'c': 3}
        settle(w, service, screening={'batch_size': 2}, timeout=patience(kind), max_retries=1)
        done = w.run(TASK)
        assert known(w) == {'a': (False, '1.00', NOW), 'c': (False, '3.00', NOW)}
        assert statuses(w) == {}
        assert elsewhere.requests == []
    said = done.stdout + done.stderr
    assert 'Failed to retrieve compliance data for the addresses' in said and 'bad was left out' in said
    metrics = w.statsd.read()
    assert metrics['update_compliance_data.get_compliance_data_fail'] == [(1, 'c', {'provider': 'ELLIPTIC'})]
    codes = {'error': {'500': 1}, 'throttled': {'429': 2}, 'broken': {'malformed': 1}, 'text': {'malformed': 1},
             'partial': {'malformed': 1}}.get(kind, {})
    assert statuscodes(metrics) == dict(codes, **{'200': 2})
    # of an endless answer no more is read than is allowed; the rest are buffers of sockets
    assert service.endless_bytes < 16 << 20
    attempts = 2 if kind in ('error', 'unavailable', 'throttled', 'close', 'reset') else 1
    # curl itself repeats what a kept connection that was closed has swallowed
    assert service.asked().count('bad') in (attempts, attempts + (kind in ('close', 'reset')))
    service.answers['bad'] = 25
    settle(w, service)
    w.redis.delete(HOLD)
    w.run(TASK)
    assert known(w)['bad'] == (True, '25.00', NOW) and statuses(w)['bad'][0] == 'CLOSE_ONLY'


def test_the_log_names_the_failed_of_their_batch(w, service):
    for address in ('a', 'bad', 'c', 'd', 'e'):
        w.subaccount(address, updated='now')
    service.answers = {'bad': {'status': 403}, 'c': NOT_FOUND}
    settle(w, service, screening={'batch_size': 2})
    worker = w.deployment.worker('compliance')
    worker.wait_for(lambda: [r for r in worker.records(taskName=TASK) if 'roundTrips' in r], 'the run')
    (failed,) = worker.records(message='Failed to retrieve compliance data for the addresses')
    assert failed['addresses'] == ['bad'] and failed['errors'] == ['answered with status 403']
    assert failed['at'] == 'updated-compliance-data#getComplianceData' and failed['level'] == 'error'
    (unknown,) = worker.records(message='Failed to retrieve compliance data for the addresses due to elliptic 404')
    assert unknown['addresses'] == ['c']
    (record,) = [r for r in worker.records(taskName=TASK) if 'roundTrips' in r]
    assert (record['screened'], record['not_screened'], record['itemsFailed'], record['result']) == (4, 1, 1, 'ok')


@pytest.mark.parametrize('kind', ['silent', 'endless', 'close', 'broken'])
def test_a_service_that_is_ill_for_all_fails_the_run(w, service, kind):
    addresses = [f'a{i:02d}' for i in range(20)]
    active(w, *addresses)
    service.answers = {a: BAD[kind] for a in addresses}
    settle(w, service, timeout=patience(kind), max_retries=0)
    done = w.run(TASK, expect=1)
    assert 'none of 20 addresses was answered by ELLIPTIC' in done.stdout + done.stderr
    assert known(w) == {} and sorted(service.asked()) == addresses
    assert not w.redis.exists(FAILED)  # it was nobody's own fault
    service.answers = {}
    settle(w, service)
    w.run(TASK)
    assert sorted(known(w)) == addresses


def test_of_many_reasons_that_of_the_first_address_is_said(w, service):
    active(w, 'a', 'b', 'c')
    service.answers = {'a': {'status': 403}, 'b': {'status': 410}, 'c': {'status': 405}}
    settle(w, service, screening={'batch_size': 1})
    done = w.run(TASK, expect=1)
    assert 'none of 3 addresses was answered by ELLIPTIC: answered with status 403' in done.stdout + done.stderr


def test_nobody_listens(w, service):
    active(w, 'a')
    settle(w, service, url='http://127.0.0.1:9', max_retries=1)
    done = w.run(TASK, expect=1)
    assert 'none of 1 addresses was answered' in done.stdout + done.stderr


def test_errors_are_retried_with_a_signature_of_their_own(w, service):
    active(w, 'a', 'b')
    service.answers = {'a': [{'status': 500}, {'status': 500}, {'status': 500}, 4], 'b': [{'status': 500}] * 9}
    w.run(TASK)
    assert known(w) == {'a': (False, '4.00', NOW)}
    assert (service.asked().count('a'), service.asked().count('b')) == (4, 4)
    assert statuscodes(w.statsd.read()) == {'500': 6, '200': 1}


def test_a_service_that_throttles_is_left_alone_by_the_fleet(w, service):
    """Retry-After holds for everybody, not only for the address that was told."""
    active(w, 'a', 'b')
    service.answers = {'a': {'status': 429, 'headers': [('Retry-After', '100')]}}
    settle(w, service, screening={'batch_size': 1})
    done = w.run(TASK, expect=1)
    assert 'wants to be left alone for' in done.stdout + done.stderr
    assert service.asked() == ['a'] and known(w) == {}
    assert 90000 < w.redis.pttl(HOLD) <= 100000
    w.run(TASK, expect=1)
    assert service.asked() == ['a']
    w.redis.delete(HOLD)
    service.answers = {}
    w.run(TASK)
    assert sorted(known(w)) == ['a', 'b']


def test_a_short_retry_after_is_waited_out(w, service):
    active(w, 'a')
    service.answers = {'a': [{'status': 429, 'headers': [('Retry-After', '1')]}, 4]}
    w.run(TASK)
    assert known(w)['a'][1] == '4.00' and service.asked() == ['a', 'a']


def test_the_rest_is_kept_when_a_later_batch_is_not_asked_any_more(w, service):
    active(w, 'a', 'b', 'c')
    service.answers = {'b': {'status': 429, 'headers': [('Retry-After', '100')]}}
    settle(w, service, screening={'batch_size': 1})
    w.run(TASK, expect=1)
    assert list(known(w)) == ['a'] and not w.redis.exists(FAILED)


@pytest.mark.parametrize('killed', [False, True])
def test_a_run_of_many_slices_asks_about_everybody_once(w, service, killed):
    """Batches of two, each a slice of its own, with the places of one run; the first address fails before all slices. A
    worker that dies when the third slice begins leaves a second one the rest."""
    addresses = [f'a{i:02d}' for i in range(13)]
    for address in addresses:
        w.subaccount(address, updated='now')
    service.answers = dict({a: i for i, a in enumerate(addresses)}, a00={'status': 400})
    settle(w, service, **only(TASK), screening={'batch_size': 2, 'max_per_run': 11})
    w.dawdle('compliance_data')
    if killed:
        w.long_run(TASK, {'ROUNDTABLE_FAILPOINT_KILL': f'{TASK}:redis.screening.take:before#3'}, killed=True)
        assert list(known(w)) == addresses[1:4] and w.redis.zrange(FAILED, 0, -1) == [b'a00']
    else:
        record = w.long_run(TASK)
        assert (record['result'], record['slices'], record['screened'], record['not_screened']) == ('ok', 6, 10, 1), record
        assert sorted(service.asked()) == addresses[:11] and w.redis.zrange(FAILED, 0, -1) == [b'a00']
        metrics = gauges(w.statsd.read())
        assert (metrics['num_addresses_to_screen'], metrics['num_upserted']) == (11, 10)
    w.forget_locks()
    record = w.long_run(TASK)
    assert (record['result'], record['slices']) == ('ok', 5 if killed else 2), record
    assert sorted(service.asked()) == sorted(addresses + ['a00'])
    # it is in the last batch, as one that has failed before
    assert 'a00' in service.asked()[-2:] and list(known(w)) == addresses[1:]
    assert {a for a, v in known(w).items() if v[0]} == {'a10', 'a11', 'a12'} == set(statuses(w))


def test_other_long_tasks_have_their_turn_between_slices(w, service):
    """Both are due at once, and there is one slot for long tasks."""
    for i in range(12):
        w.subaccount(f'a{i:02d}', updated='now')
    w.block('2023-10-26T12:00:00Z')
    settings = only(TASK, screening={'batch_size': 1})
    settings['tasks']['update_wallet_total_volume']['enabled'] = True
    settle(w, service, **settings)
    w.dawdle('compliance_data')
    worker = w.deployment.worker('compliance')

    def finished():
        return [(r['taskName'], r['result']) for r in worker.records(at='worker#runTask') if 'roundTrips' in r]
    worker.wait_for(lambda: TASK in dict(finished()), 'the end of the run')
    assert finished() == [('update_wallet_total_volume', 'ok'), (TASK, 'ok')]
    assert worker.stop() == 0 and len(known(w)) == 12


def test_what_was_answered_is_kept_when_the_limit_cannot_be_asked_for_any_more(world):
    """Between an address's first answer, which was an error, and its second attempt the limit's key is spoilt."""
    class Spoiling(ScreeningService):
        def answer(self, address):
            world.redis.delete(STARTED)
            world.redis.hset(STARTED, 'a', 'b')
            return {'status': 500} if address == 'b' else 4

    active(world, 'a', 'b')
    with Spoiling(KEY, SECRET) as service:
        settle(world, service)
        done = world.run(TASK, expect=1)
        assert 'WRONGTYPE' in done.stdout + done.stderr and sorted(service.asked()) == ['a', 'b']
    assert list(known(world)) == ['a'] and known(world)['a'][1] == '4.00'
    assert gauges(world.statsd.read())['num_upserted'] == 1


class Monitor:
    """The instants at which requests were allowed, as Redis itself saw them being noted."""

    def __init__(self, redis):
        self.instants, self.ready = [], threading.Event()
        self.thread = threading.Thread(target=self.watch, args=(redis,), daemon=True)
        self.thread.start()
        assert self.ready.wait(30)

    def watch(self, redis):
        with redis.monitor() as m:
            self.ready.set()
            for event in m.listen():
                match = re.fullmatch(f'RPUSH {re.escape(STARTED)} ([0-9]+)', event['command'])
                if match:
                    self.instants.append(int(match.group(1)))
                if event['command'] == 'SET stop-watching 1':
                    return

    def stop(self, redis):
        redis.set('stop-watching', 1)
        self.thread.join(30)
        redis.delete('stop-watching')
        return self.instants


def test_the_limit_holds_for_two_hosts_together(w, service):
    """Windows of 300 ms in place of a second; 61 addresses are five of them at least, and both hosts want them. The last
    turn, which is of one request, would fit in if the limit were one more."""
    active(w, *(f'a{i:02d}' for i in range(61)))
    settle(w, service, screening={'batch_delay': '300 ms', 'batch_size': 15})
    monitor = Monitor(w.redis)
    runs = [w.start(TASK) for _ in range(2)]
    for run in runs:
        out = run.communicate(timeout=60)[0]
        assert run.returncode == 0, out
    instants = monitor.stop(w.redis)
    assert len(instants) == len(service.requests) >= 61
    assert instants == sorted(instants)
    assert all(later - earlier > 300000 for earlier, later in zip(instants, instants[15:]))
    assert len(known(w)) == 61


def test_a_turn_is_waited_for(w, service):
    """The window is full, and long: the run is stopped while it waits, and has asked nobody."""
    active(w, 'a')
    settle(w, service, screening={'batch_delay': '5 min'})
    seconds, micros = w.redis.time()
    w.redis.rpush(STARTED, *[seconds * 10**6 + micros] * 15)
    seen = w.redis.info('commandstats').get('cmdstat_evalsha', {}).get('calls', 0)
    run = w.start(TASK)
    servers.wait_until(lambda: w.redis.info('commandstats').get('cmdstat_evalsha', {}).get('calls', 0) > seen, 'the question')
    run.terminate()
    assert run.communicate(timeout=60)[0] is not None and run.returncode != 0
    assert service.requests == [] and w.redis.llen(STARTED) == 15


def test_addresses_that_failed_come_last(w, service):
    """Two that always fail would take both places of each run."""
    active(w, 'a', 'b', 'c', 'd')
    service.answers = {'a': {'status': 400}, 'b': {'status': 400}}
    settle(w, service, screening={'max_per_run': 3})
    w.run(TASK)
    assert sorted(service.asked()) == ['a', 'b', 'c']
    assert w.redis.zrange(FAILED, 0, -1) == [b'a', b'b']
    service.requests.clear()
    settle(w, service, screening={'max_per_run': 1})
    w.run(TASK)
    assert service.asked() == ['d']
    service.answers = {}
    w.run(TASK)
    w.run(TASK)
    assert sorted(known(w)) == ['a', 'b', 'c', 'd'] and not w.redis.exists(FAILED)


def test_addresses_that_failed_leave_room_for_those_of_other_kinds(w, service):
    """As many new ones that always fail as there are places, next to one that is stale and one that is old."""
    bad = [f'bad{i:02d}' for i in range(12)]
    active(w, *bad, 's')
    data(w, 's', False, '2026-01-01T00:00:00Z')
    service.answers = {a: {'status': 400} for a in bad}
    settle(w, service, screening={'max_per_run': 13})
    w.run(TASK)
    assert sorted(service.asked()) == bad + ['s'] and list(known(w)) == ['s']
    w.sql('UPDATE compliance_data SET "updatedAt" = %s', ('2026-01-01T00:00:00Z',))
    w.wallet('o')
    data(w, 'o', False, '2025-10-01T00:00:00Z')
    settle(w, service, screening={'max_per_run': 10})
    service.requests.clear()
    w.run(TASK)
    asked = service.asked()
    assert len(asked) == 10 and {'s', 'o'} <= set(asked) and w.redis.zcard(FAILED) == 12
    # and where others want all places, a tenth of these is left for those who failed
    active(w, *(f'n{i:02d}' for i in range(30)))
    service.requests.clear()
    w.run(TASK)
    assert sorted(a[0] for a in service.asked()) == ['b'] + ['n'] * 9


def test_addresses_that_always_fail_keep_nobody_from_being_asked_about(w, service):
    """More of them than a run has places, before all others. Whatever was remembered of failures is lost before each run,
    and two of three runs are killed behind their first batch."""
    bad = [f'a{i}' for i in range(10)]
    good = ['n0', 'n1', 'n2', 'o0', 'o1', 's0', 's1']
    active(w, *bad, *(a for a in good if a[0] != 'o'))
    for a in good[3:]:
        w.wallet(a)
        data(w, a, False, '2025-10-01T00:00:00Z' if a[0] == 'o' else '2026-01-20T00:00:00Z')
    service.answers = {a: {'status': 400} for a in bad}
    settle(w, service, screening={'max_per_run': 4, 'batch_size': 2})

    def left():
        return [a for a in good if known(w).get(a, (0, 0, 0))[2] != NOW]
    # one run begins the pass, which has two places in each of the others
    for i in range(1 + 5 + 4):
        w.redis.flushall()
        kill = {'ROUNDTABLE_FAILPOINT_KILL': f'{TASK}:redis.screening.take:before#2'} if i % 3 else {}
        run = w.start(TASK, environment=kill)
        out = run.communicate(timeout=60)[0]
        assert run.returncode in ([-9] if kill else [0, 1]), (i, out)
    assert left() == [], (w.cache(PASS), sorted(known(w)))


def test_failures_of_a_pass_are_remembered_and_it_ends(w, service):
    """As above with a Redis that keeps what it is told: after the pass those who always fail are known and come last."""
    bad = [f'a{i}' for i in range(6)]
    active(w, *bad, 'n0', 'n1', 'n2')
    service.answers = {a: {'status': 400} for a in bad}
    settle(w, service, screening={'max_per_run': 4})
    w.run(TASK, expect=1)
    assert w.cache(PASS) == '' and not w.redis.exists(FAILED)
    for _ in range(5):
        w.start(TASK).communicate(timeout=60)
    assert sorted(known(w)) == ['n0', 'n1', 'n2'] and w.redis.zcard(FAILED) > 0
    # who is new now stands in line with those that nobody knows to fail, which become fewer
    active(w, 'z0', 'z1', 'z2', 'z3')
    for _ in range(4):
        w.start(TASK).communicate(timeout=60)
    assert len(known(w)) == 7 and w.redis.zcard(FAILED) == 6
    active(w, 'z4')
    w.run(TASK)
    assert len(known(w)) == 8 and w.cache(PASS) is None


def test_an_outage_of_the_service_marks_nobody_and_loses_no_place(w, service):
    addresses = [f'n{i:02d}' for i in range(13)]
    active(w, *addresses)
    service.answers = {a: {'status': 403} for a in addresses}
    settle(w, service, screening={'max_per_run': 5})
    for _ in range(4):
        w.run(TASK, expect=1)
    assert known(w) == {} and not w.redis.exists(FAILED)
    assert set(service.asked()) == set(addresses[:9])  # the first ones over and over, and all others in turn
    service.answers = {}
    for answered in (5, 10, 13):
        w.run(TASK)
        assert len(known(w)) == answered


def test_a_service_that_falls_ill_in_mid_run_marks_only_who_failed_while_it_was_well(w, service):
    active(w, *'abcdefgh')
    service.answers = {a: {'status': 403} for a in 'bcefgh'}
    settle(w, service, screening={'batch_size': 2})
    w.run(TASK)
    assert sorted(known(w)) == ['a', 'd'] and w.redis.zrange(FAILED, 0, -1) == [b'b', b'c']
    assert w.cache(PASS) is None


def test_addresses_that_failed_take_turns_even_if_none_is_answered(w, service):
    """As many that always fail as there are places, and others that failed once."""
    active(w, *'abcdefg')
    service.answers = {a: {'status': 400} for a in 'abcdef'}
    w.run(TASK)
    assert w.redis.zcard(FAILED) == 6 and sorted(known(w)) == ['g']
    service.answers = {a: {'status': 400} for a in 'abc'}
    settle(w, service, screening={'max_per_run': 3})
    w.run(TASK, expect=1, now='2026-02-01T00:05:00.000Z')
    w.run(TASK, now='2026-02-01T00:10:00.000Z')
    assert sorted(known(w)) == ['d', 'e', 'f', 'g']


def test_neither_key_nor_secret_nor_signature_is_said(w, service):
    active(w, *(f'a{i}' for i in range(8)))
    service.answers = dict(zip((f'a{i}' for i in range(8)), BAD.values()))
    active(w, 'good')
    settle(w, service, timeout=patience('slow'), max_retries=1)
    environment = {'LOG_LEVEL': 'debug'}
    said = [d.stdout + d.stderr for d in (w.run(TASK, environment=environment, arguments=a) for a in ([], ['--dry-run']))]
    with ScreeningService(KEY, 'YW5vdGhlcg==') as other:  # refuses all signatures
        settle(w, other)
        w.redis.delete(HOLD)
        done = w.run(TASK, expect=1, environment=environment)
        assert 'status 401' in done.stdout + done.stderr
        said.append(done.stdout + done.stderr)
    settle(w, service)
    worker = w.deployment.worker('compliance', environment=environment)
    worker.wait_for(lambda: [r for r in worker.records(taskName=TASK) if 'roundTrips' in r], 'a run')
    status = json.dumps(worker.control('status'))
    worker.stop()
    shown = w.deployment.run('roundtable', 'config', 'show', '--conf', w.deployment.conf)
    assert 'compliance.elliptic.api_secret' in shown.stdout
    for text in said + [worker.log(), status, shown.stdout + shown.stderr]:
        for secret in (KEY, SECRET, 'secret-nobody-may-see', 'x-access'):
            assert secret not in text


def test_only_this_family_is_given_the_key(w, service):
    """Each worker of a service says how it was started; the secret is in no environment and no other worker's memory."""
    w.subaccount('a', updated='now')
    settle(w, service, api_key='overridden', api_secret='')
    s = w.deployment.supervisor(environment={'ELLIPTIC_API_KEY': KEY, 'ELLIPTIC_API_SECRET': SECRET})
    s.wait_for(lambda: known(w), 'the answer')
    seen = {}
    for worker in s.control('status')['workers']:
        if worker['state'] != 'running':
            continue
        with open(f'/proc/{worker["pid"]}/environ', 'rb') as f:
            assert KEY.encode() not in f.read() and SECRET.encode() not in f.read()
        seen[worker['family']] = memory_has(worker['pid'], SECRET.encode())
    assert s.stop() == 0
    assert seen.pop('compliance') and seen and not any(seen.values()), seen


def memory_has(pid, text):
    """Whether the process has the text in memory that can be written (its heap, its stacks)."""
    piece = 16 << 20
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as memory:
        for line in maps:
            match = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)
            start, end = (int(x, 16) for x in match.groups()) if match else (0, 0)
            if end - start > 1 << 30:  # a sanitizer's account of all memory
                continue
            for at in range(start, end, piece):
                try:
                    memory.seek(at)
                    if text in memory.read(min(piece + len(text), end - at)):
                        return True
                except (OSError, OverflowError):
                    break
    return False


@pytest.mark.parametrize('settings, expected', [
    ({'url': 'http://aml-api.elliptic.example'}, 'neither https:// nor this host'),
    ({'url': 'http://127.0.0.1.example'}, 'neither https:// nor this host'),
    ({'url': 'https://user:word@127.0.0.1'}, 'more than an address'),
    ({'url': 'https://127.0.0.1', 'api_key': 'default_elliptic_api_key'}, 'api_key is not set'),
    ({'api_key': 'two\nlines'}, 'has blanks in it'),
])
def test_settings_that_would_show_the_key_are_refused(w, service, settings, expected):
    active(w, 'a')
    settle(w, service, **settings)
    done = w.run(TASK, expect=1)
    assert expected in done.stdout + done.stderr
    assert service.requests == []


@pytest.fixture(scope='module')
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp('tls')
    paths = [str(directory / 'certificate.pem'), str(directory / 'key.pem')]
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1',
                    '-addext', 'subjectAltName=IP:127.0.0.1', '-out', paths[0], '-keyout', paths[1]], check=True,
                   capture_output=True)
    return paths


def test_service_and_key_by_environment(w, service):
    active(w, 'a')
    settle(w, service, url='http://127.0.0.1:9', api_key='another', api_secret='')
    w.run(TASK, environment={'ELLIPTIC_URL': service.url + '/', 'ELLIPTIC_API_KEY': KEY, 'ELLIPTIC_API_SECRET': SECRET})
    assert list(known(w)) == ['a']


def test_a_certificate_that_nobody_vouches_for_is_refused(world, certificate):
    active(world, 'a')
    with ScreeningService(KEY, SECRET, tls=certificate) as service:
        settle(world, service, max_retries=0)
        done = world.run(TASK, expect=1)
        assert 'certificate' in done.stdout + done.stderr
        assert service.requests == [] and known(world) == {}
        settle(world, service, ca_file=certificate[0])
        world.run(TASK)
        assert list(known(world)) == ['a']
        # also inside the sandbox
        world.subaccount('b', updated='now')
        s = world.deployment.supervisor()
        s.wait_for(lambda: 'b' in known(world), 'the answer')
        assert s.stop() == 0


def test_proxies_of_the_environment_are_passed_by_on_the_loopback(w, service):
    active(w, 'a')
    w.run(TASK, environment={'http_proxy': 'http://127.0.0.1:9', 'ALL_PROXY': 'http://127.0.0.1:9'})
    assert list(known(w)) == ['a']


def test_more_active_addresses_than_a_statement_has_parameters(w, service):
    found, placeholder = [], {'COMPLIANCE_DATA_CLIENT': 'PLACEHOLDER', 'MAX_COMPLIANCE_DATA_QUERY_PER_LOOP': '5'}
    for n in (5, 66000):
        w.sql("INSERT INTO subaccounts SELECT gen_random_uuid(), 'd%s-' || i, 0, %s, 1 FROM generate_series(1, %s) AS i", (n, ACTIVE, n))
        found.append(round_trips(w.run(TASK, environment=placeholder)))
    assert gauges(w.statsd.read())['num_new_addresses'] == 5 and len(known(w)) == 10
    assert found[0] == found[1]


def test_without_a_replica_the_primary_answers(w, service):
    active(w, 'a')
    w.run(TASK, environment={'IS_USING_DB_READONLY': 'false'})
    assert list(known(w)) == ['a']


def test_placeholder(w, service):
    addresses = [f'x{c}' for c in 'abcdefghijklmnop2']
    active(w, *addresses)
    w.run(TASK, environment={'COMPLIANCE_DATA_CLIENT': 'PLACEHOLDER'})
    assert known(w) == {a: (True, '75.00', NOW) if a[-1] in 'bcdefghijkl' else (False, None, NOW) for a in addresses}
    assert sorted(statuses(w)) == [f'x{c}' for c in 'bcdefghijkl']
    assert service.requests == []


def test_blocklist(w, service):
    active(w, 'a', 'b', 'c', 'd', ' e')
    data(w, 'a', False, '2026-01-01T00:00:00Z', '3')
    w.run(TASK, environment={'COMPLIANCE_DATA_CLIENT': 'BLOCKLIST', 'BLOCKED_ADDRESSES': 'a,bb, e,e,,d'})
    assert known(w) == {'a': (True, '3.00', NOW), 'b': (False, None, NOW), 'c': (False, None, NOW), 'd': (True, None, NOW),
                        ' e': (True, None, NOW)}
    assert service.requests == []


def test_another_provider_means_elliptic(w, service):
    active(w, 'a')
    done = w.run(TASK, environment={'COMPLIANCE_DATA_CLIENT': 'elliptic'})
    assert service.asked() == ['a'] and 'ELLIPTIC is asked' in done.stdout + done.stderr


def test_a_dry_run_asks_nobody(w, service):
    active(w, 'a')
    done = w.run(TASK, arguments=['--dry-run'])
    assert 'would ask POST' in done.stdout and service.requests == [] and known(w) == {}
    w.run(TASK, arguments=['--dry-run'], environment={'COMPLIANCE_DATA_CLIENT': 'PLACEHOLDER'})
    assert known(w) == {}


def test_nothing_to_screen(w, service):
    w.run(TASK)
    assert service.requests == [] and gauges(w.statsd.read())['num_addresses_to_screen'] == 0


@contextlib.contextmanager
def program(*options):
    """The service as a program of its own; yields its address."""
    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'screening_service.py')
    with subprocess.Popen([path, *options], stdout=subprocess.PIPE, text=True, preexec_fn=servers.die_with_parent) as p:
        try:
            yield p.stdout.readline().split()[-1]
        finally:
            p.terminate()


def ask(url, address, key=KEY, secret=SECRET):
    """One question, as the specification has it: (status, headers, body)."""
    path, now = '/v2/wallet/synchronous', str(time.time_ns() // 10**6)
    body = ('{"subject":{"asset":"holistic","blockchain":"holistic","type":"address","hash":"%s"},"type":"wallet_exposure",'
            '"customer_reference":"string"}' % address)
    sign = hmac.new(base64.b64decode(secret), (now + 'POST' + path + body).encode(), hashlib.sha256).digest()
    connection = http.client.HTTPConnection(url.removeprefix('http://'), timeout=60)
    try:
        connection.request('POST', path, body, {
            'Content-Type': 'application/json', 'Accept': 'application/json, text/plain, */*', 'x-access-key': key,
            'x-access-sign': base64.b64encode(sign).decode(), 'x-access-timestamp': now})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), json.load(answer)
    finally:
        connection.close()


SIGNED = ['--key', KEY, '--secret', SECRET]


def test_the_service_as_a_program():
    with program(*SIGNED) as url:
        said = subprocess.run(['curl', '-sS', '--noproxy', '*', url + '/'], capture_output=True, text=True, check=True)
        assert 'nothing is screened here' in said.stdout
        assert [ask(url, 'a')[0] for _ in range(20)] == [200] * 20
        assert 'risk_score' in ask(url, 'a')[2]
        assert ask(url, 'a', secret='YW5vdGhlcg==')[0] == ask(url, 'a', key='another')[0] == 401


def test_the_rate_limit_of_the_program():
    """Two questions within a second: seen again in the unlikely case that the machine slept between them."""
    with program(*SIGNED, '--rate-limit', '1') as url:
        answers = [ask(url, 'a') for _ in range(2)]
        while answers[-1][0] == 200 and len(answers) < 20:
            answers.append(ask(url, 'a'))
    assert answers[0][0] == 200 and answers[-1][0] == 429 and answers[-1][1]['Retry-After'] == '1', answers


def test_the_errors_of_the_program():
    with program(*SIGNED, '--errors', '1') as url:
        assert [ask(url, 'a')[0] for _ in range(5)] == [500] * 5
    with program(*SIGNED, '--errors', '0.5') as url:
        statuses = []
        while set(statuses) != {200, 500}:
            assert len(statuses) < 200
            statuses.append(ask(url, 'a')[0])


def test_a_run_comes_to_terms_with_the_program(w):
    """One answer a second, while two are wanted at once: the second one waits for as long as the service wants."""
    active(w, 'a', 'b')
    with program(*SIGNED, '--rate-limit', '1', '--latency', '20') as url:
        w.deployment.settings('compliance', screening={'batch_delay': '1 ms'},
                              elliptic={'url': url, 'api_key': KEY, 'api_secret': SECRET})
        w.run(TASK)
    assert list(known(w)) == ['a', 'b']
    codes = statuscodes(w.statsd.read())
    assert codes['200'] == 2 and codes['429'] >= 1, codes
