"""update_compliance_status and delete-old-firebase-notification-tokens."""
import time

import pytest

import servers
from compliance_world import world  # noqa: F401

STATUS, TOKENS = 'update_compliance_status', 'delete-old-firebase-notification-tokens'
NOW = '2026-02-08T00:00:00.000Z'
CREATED = '2025-01-01T00:00:00Z'


def status(w, address, status, reason, updated):
    w.insert('compliance_status', address=address, status=status, reason=reason, createdAt=CREATED, updatedAt=updated)


def statuses(w):
    return {r[0]: r[1:] for r in w.sql(
        'SELECT address, status, reason, to_char("updatedAt", \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\'), '
        '"createdAt" = %s FROM compliance_status', (CREATED,))}


def finished(worker, task):
    return [r for r in worker.records(taskName=task) if 'roundTrips' in r]


def example(w):
    """Section 3 of the compliance specification."""
    status(w, 'x', 'CLOSE_ONLY', 'US_GEO', '2026-02-01T00:00:00.000Z')
    status(w, 'y', 'CLOSE_ONLY', 'COMPLIANCE_PROVIDER', '2026-02-01T00:00:00.001Z')
    status(w, 'z', 'FIRST_STRIKE_CLOSE_ONLY', 'CA_GEO', '2025-01-01T00:00:00Z')
    status(w, 'c', 'COMPLIANT', None, '2025-01-01T00:00:00Z')
    status(w, 'u', 'CLOSE_ONLY', None, '2026-02-01T00:00:00.000001Z')


AFTER = {'x': ('BLOCKED', None, NOW, True),
         'y': ('CLOSE_ONLY', 'COMPLIANCE_PROVIDER', '2026-02-01T00:00:00.001Z', True),
         'z': ('FIRST_STRIKE_CLOSE_ONLY', 'CA_GEO', '2025-01-01T00:00:00.000Z', True),
         'c': ('COMPLIANT', None, '2025-01-01T00:00:00.000Z', True),
         'u': ('CLOSE_ONLY', None, '2026-02-01T00:00:00.000Z', True)}


def test_close_only_becomes_blocked_after_seven_days(world):
    example(world)
    world.run(STATUS, now=NOW)
    assert statuses(world) == AFTER
    metrics = world.statsd.read()
    assert metrics['num_stale_close_only_updated.count'] == [(1.0, 'g', {})]
    assert metrics['query_stale_close_only.timing'][0][1] == metrics['update_stale_close_only.timing'][0][1] == 'ms'


def test_the_instant_is_right_in_any_zone_of_the_database(world):
    world.sql(f"ALTER DATABASE {world.database} SET timezone = 'Asia/Tokyo'")
    example(world)
    world.run(STATUS, now=NOW)
    assert statuses(world) == AFTER


def test_the_reason_is_kept_where_settings_say_so(world):
    world.deployment.settings('compliance', status={'keep_reason': True})
    example(world)
    world.run(STATUS, now=NOW)
    assert statuses(world)['x'] == ('BLOCKED', 'US_GEO', NOW, True)


def test_days_are_a_setting(world):
    example(world)
    world.run(STATUS, now=NOW, environment={'CLOSE_ONLY_TO_BLOCKED_DAYS': '8'})
    assert statuses(world)['x'][0] == 'CLOSE_ONLY'
    world.run(STATUS, now=NOW, environment={'CLOSE_ONLY_TO_BLOCKED_DAYS': '6'})
    assert [k for k, v in statuses(world).items() if v[0] == 'BLOCKED'] == ['x', 'y', 'u']


def test_an_address_set_back_meanwhile_is_not_blocked(world):
    """Somebody sets it back to COMPLIANT while the run waits for the row."""
    example(world)
    other = world.postgres.connect(world.database)
    other.autocommit = False
    other.cursor().execute("UPDATE compliance_status SET status = 'COMPLIANT' WHERE address = 'x'")
    run = world.start(STATUS, now=NOW)
    servers.wait_until(lambda: world.waiting() > 0, 'a waiting run')
    other.commit()
    other.close()
    out = run.communicate(timeout=60)[0]
    assert run.returncode == 0, out
    assert statuses(world)['x'][0] == 'COMPLIANT'


def token(w, name, updated):
    w.insert('firebase_notification_tokens', token=name, address='a', language='en', updatedAt=updated)


def tokens(w):
    return sorted(r[0] for r in w.sql('SELECT token FROM firebase_notification_tokens'))


@pytest.mark.parametrize('now, limit', [('2026-03-31T10:00:00.000Z', '2026-03-03T10:00:00.000Z'),
                                        ('2026-01-15T01:02:03.004Z', '2025-12-15T01:02:03.004Z'),
                                        ('2024-03-30T00:00:00.000Z', '2024-03-01T00:00:00.000Z'),
                                        ('2026-03-28T00:00:00.000Z', '2026-02-28T00:00:00.000Z')])
def test_tokens_of_a_calendar_month_ago_are_deleted(world, now, limit):
    token(world, 'A', limit)
    token(world, 'B', limit.replace('Z', '001Z'))
    token(world, 'C', '2023-02-01T00:00:00Z')
    token(world, 'D', now)
    world.run(TOKENS, now=now)
    assert tokens(world) == ['B', 'D']
    metrics = world.statsd.read()
    assert metrics['firebase_notification_tokens_deleted'] == [(2.0, 'c', {})]
    timings = metrics['delete_old_firebase_notification_tokens']
    assert [t[1] for t in timings] == ['ms', 'ms'] and timings[0][0] == 0
    world.run(TOKENS, now=now)
    assert tokens(world) == ['B', 'D']
    assert 'firebase_notification_tokens_deleted' not in world.statsd.read()


def test_a_token_refreshed_meanwhile_stays(world):
    token(world, 'A', '2025-01-01T00:00:00Z')
    token(world, 'B', '2025-01-01T00:00:00Z')
    other = world.postgres.connect(world.database)
    other.autocommit = False
    other.cursor().execute("UPDATE firebase_notification_tokens SET \"updatedAt\" = %s WHERE token = 'A'", (NOW,))
    run = world.start(TOKENS, now=NOW)
    servers.wait_until(lambda: world.waiting() > 0, 'a waiting run')
    other.commit()
    other.close()
    out = run.communicate(timeout=60)[0]
    assert run.returncode == 0, out
    assert tokens(world) == ['A']


@pytest.mark.parametrize('task', [STATUS, TOKENS])
def test_errors_fail_the_run(world, task):
    world.sql('DROP TABLE compliance_status, firebase_notification_tokens')
    done = world.run(task, expect=1, now=NOW)
    assert 'does not exist' in done.stdout + done.stderr


def test_the_wait_of_thirty_days_leaves_redis_alone(world):
    """Beyond what a timer of 32 bits can hold, which would end at once."""
    world.deployment.settings('compliance', tasks={STATUS: {'interval': '100 ms'}})
    worker = world.deployment.worker('compliance')
    worker.wait_for(lambda: finished(worker, TOKENS), 'the run')
    with world.redis.monitor() as monitor:
        runs, seen = len(finished(worker, STATUS)), []
        for event in monitor.listen():
            seen += [event['command']] if f'loops.{TOKENS}.' in event['command'] else []
            if len(finished(worker, STATUS)) > runs + 5:
                break
    assert len(seen) < 5, seen
    (task,) = [t for t in worker.control('status')['worker']['tasks'] if t['name'] == TOKENS]
    assert task['runs'] == 1 and task['next_usec'] > (time.time() + 29 * 86400) * 1e6
    assert 29 * 86400 * 1000 < world.redis.pttl(f'roundtable.loops.{TOKENS}.task_timeouts') <= 30 * 86400 * 1000


def test_a_failed_clean_up_of_tokens_is_said_at_info_and_fails_the_run(world):
    world.sql('DROP TABLE firebase_notification_tokens')
    worker = world.deployment.worker('compliance')
    worker.wait_for(lambda: finished(worker, TOKENS), 'the run')
    (record,) = worker.records(message='Failed to delete old Firebase notification tokens')
    assert (record['level'], record['at']) == ('info', f'{TOKENS}#runTask')
    (record,) = finished(worker, TOKENS)
    assert record['result'] == 'failed'


@pytest.mark.parametrize('task', [STATUS, TOKENS])
def test_killed_at_every_failpoint_and_two_hosts(world, task):
    example(world)
    token(world, 'A', '2025-01-01T00:00:00Z')
    token(world, 'B', NOW)
    campaign = world.campaign(task, now=NOW)
    points = campaign.kill_everywhere()
    assert any('commit:sent' in p for p in points), points
    campaign.two_hosts()
    assert (statuses(world) == AFTER) if task == STATUS else (tokens(world) == ['B'])
