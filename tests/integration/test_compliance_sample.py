"""The six tasks of the compliance family, one after the other, on sample data, against sums made another way."""
import datetime

from compliance_world import world  # noqa: F401

TASKS = ('update_wallet_total_volume', 'update_affiliate_info', 'subaccount_username_generator', 'update_compliance_data',
         'update_compliance_status', 'delete-old-firebase-notification-tokens')


def test_all_tasks_on_sample_data(world):
    now = datetime.datetime.utcnow().isoformat(timespec='milliseconds') + 'Z'
    done = world.deployment.run('roundtable-admin', 'sample', '--conf', world.deployment.conf, '--scale', '0.1')
    assert done.returncode == 0, done.stderr
    world.deployment.settings('compliance', screening={'provider': 'PLACEHOLDER', 'max_per_run': 1000})
    before = dict(world.sql('SELECT status, count(*) FROM compliance_status GROUP BY 1'))
    (tokens,), = world.sql('SELECT count(*) FROM firebase_notification_tokens')
    for task in TASKS:
        world.run(task, now=now)

    volumes = world.sql('SELECT address, "totalVolume" FROM wallets ORDER BY address')
    sums = world.sql('SELECT w.address, coalesce(sum(f.price * f.size), 0) FROM wallets w '
                     'LEFT JOIN subaccounts s ON s.address = w.address LEFT JOIN fills f ON f."subaccountId" = s.id '
                     'GROUP BY 1 ORDER BY 1')
    assert volumes == sums and sum(v for _, v in sums) > 0
    earned = world.sql('SELECT address, "affiliateEarnings", "referredMakerTrades" + "referredTakerTrades", '
                       '"referredTotalVolume" FROM affiliate_info ORDER BY address')
    expected = {}
    for affiliate, share, volume in world.sql(
            'SELECT "affiliateAddress", f."affiliateRevShare", f.price * f.size FROM affiliate_referred_users r '
            'LEFT JOIN subaccounts s ON s.address = r."refereeAddress" LEFT JOIN fills f ON f."subaccountId" = s.id '
            'AND f."createdAtHeight" >= r."referredAtBlock"'):
        of = expected.setdefault(affiliate, [0, 0, 0])
        if share is not None:
            of[0] += share
            of[1] += 1
            of[2] += volume
    assert {r[0]: list(r[1:]) for r in earned} == expected and sum(r[1] for r in earned) > 0
    assert world.sql('SELECT count(*) FROM subaccount_usernames') == world.sql('SELECT count(DISTINCT address) FROM subaccounts')
    after = dict(world.sql('SELECT status, count(*) FROM compliance_status GROUP BY 1'))
    assert after['BLOCKED'] > 0 and sum(after.values()) > sum(before.values())
    assert world.sql('SELECT count(*) FROM compliance_data WHERE "riskScore" = 75')[0][0] > 0
    assert 0 < world.sql('SELECT count(*) FROM firebase_notification_tokens')[0][0] < tokens
