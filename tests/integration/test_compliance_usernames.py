"""subaccount_username_generator: one name for each address, whoever runs and whatever is killed."""
import hashlib
import json
import os
import re

import pytest

import servers
from compliance_world import only, round_trips, world  # noqa: F401

TASK = 'subaccount_username_generator'
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SETTINGS = ('compliance.usernames.adjectives', 'compliance.usernames.nouns')

# Addresses and the indices of their words in lists of 372 and 568 words: compliance specification, section 4.2.
V0R, LJ4, RX4 = ('dydx1v0rks90786p093z6m632sdml77facea7e88thm', 'dydx1lj4tlfc3jmtsa99gpwvunez37qyey64eyk2zdn',
                 'dydx1rx4erjzqsha3rv33r5et8r3698x97nagc5wla3')
NAMES = {(V0R, 0): 'A152N188IGS', (V0R, 1): 'A223N69J5A', (V0R, 2): 'A44N298QED', (V0R, 3): None, (LJ4, 0): 'A204N4508WG',
         (RX4, 0): 'A3N550A2T'}


@pytest.fixture
def lists(world):
    """Lists of the original's sizes, whose words are their indices, one in each form; settings name them."""
    paths = [os.path.join(world.deployment.directory, name) for name in ('adjectives.json', 'nouns.txt')]
    with open(paths[0], 'w') as f:
        json.dump([f'a{i}' for i in range(372)], f)
    with open(paths[1], 'w') as f:
        f.write(''.join(f'n{i}\n' for i in range(568)))
    world.deployment.settings('compliance', usernames={'adjectives': paths[0], 'nouns': paths[1]})
    return paths


def names(w):
    """Address -> its names."""
    found = {}
    for address, username in w.sql('SELECT address, username FROM subaccount_usernames JOIN subaccounts ON id = '
                                   '"subaccountId" ORDER BY 1, 2'):
        found.setdefault(address, []).append(username)
    return found


def give(w, address, username):
    w.insert('subaccount_usernames', username=username, subaccountId=w.subaccount(address))


def rejected(done):
    """How many names were logged as taken."""
    return (done.stdout + done.stderr).count('Failed to insert username for subaccount')


def test_worked_example(world, lists):
    """Section 4.3 of the compliance specification."""
    for address in (V0R, LJ4, RX4):
        world.subaccount(address)
    give(world, 'other', NAMES[V0R, 0])
    w = world.deployment.worker('compliance', environment={'LOG_LEVEL': 'debug'})
    w.wait_for(lambda: names(world).get(V0R), 'the names')
    assert names(world) == {LJ4: [NAMES[LJ4, 0]], RX4: [NAMES[RX4, 0]], V0R: [NAMES[V0R, 1]], 'other': [NAMES[V0R, 0]]}
    assert [r['username'] for r in w.records(message='Failed to insert username for subaccount')] == [NAMES[V0R, 0]]
    (record,) = w.records(message='Generated usernames')[:1]
    assert (record['batchSize'], record['successCount'], record['addressSample']) == (3, 3, [LJ4, RX4, V0R])
    assert w.stop() == 0


def test_an_address_whose_names_are_all_taken_is_reported(world, lists):
    for address in (V0R, LJ4, RX4):
        world.subaccount(address)
    for i in range(3):
        give(world, f'other{i}', NAMES[V0R, i])
    done = world.run(TASK)
    assert rejected(done) == 3
    assert V0R not in names(world) and names(world)[RX4] == [NAMES[RX4, 0]]
    assert f'{V0R} was left out: all 3 names' in done.stdout + done.stderr
    # it stands in nobody's way, and gets its name once more attempts are allowed
    world.subaccount('zzz')
    world.run(TASK, environment={'SUBACCOUNT_USERNAME_BATCH_SIZE': '1'})
    assert len(names(world)['zzz']) == 1 and V0R not in names(world)
    world.run(TASK, environment={'ATTEMPT_PER_SUBACCOUNT': '4'})
    assert names(world)[V0R][0].endswith('102')


def test_digits(world, lists):
    world.subaccount(V0R)
    world.run(TASK, environment={'SUBACCOUNT_USERNAME_SUFFIX_RANDOM_DIGITS': '5'})
    assert names(world) == {V0R: ['A152N188IGSXM']}
    world.sql('TRUNCATE subaccount_usernames')
    world.run(TASK, environment={'SUBACCOUNT_USERNAME_SUFFIX_RANDOM_DIGITS': '0'})
    assert names(world) == {V0R: ['A152N188']}


def test_only_subaccount_0_gets_a_name_and_only_once(world, lists):
    world.subaccount(V0R, 0)
    world.subaccount(V0R, 1)
    world.subaccount(LJ4, 128)
    world.run(TASK)
    world.run(TASK)
    assert names(world) == {V0R: [NAMES[V0R, 0]]}
    metrics = world.statsd.read()
    for name in ('get_subaccount_zeros_without_usernames.timing', 'subaccount_username_generator.txn.timing',
                 'subaccount_username_generator.total.timing'):
        assert [m[1] for m in metrics[name]] == ['ms', 'ms'], name


def test_pages_give_the_same_names_as_one(world, lists):
    addresses = [f'dydx1{i:04d}' for i in range(50)]
    for address in addresses:
        world.subaccount(address)
    world.run(TASK)
    expected = names(world)
    assert list(expected) == addresses
    world.sql('TRUNCATE subaccount_usernames')
    w = world.deployment.worker('compliance', environment={'SUBACCOUNT_USERNAME_BATCH_SIZE': '7'})
    (record,) = w.wait_for(lambda: [r for r in w.records(taskName=TASK) if 'roundTrips' in r], 'the run')
    assert names(world) == expected
    assert (record['addresses'], record['names']) == (50, 50)


def test_a_run_of_many_slices_gives_the_same_names_though_it_is_killed_between_two(world, lists):
    """Pages of 7, each a slice of its own. The first worker dies when the third slice begins, the second goes on."""
    for i in range(50):
        world.subaccount(f'dydx1{i:04d}')
    world.run(TASK)
    expected = names(world)
    world.sql('TRUNCATE subaccount_usernames')
    usernames = dict(world.deployment.families['compliance']['usernames'], batch_size=7)
    world.deployment.settings('compliance', **only(TASK, usernames=usernames))
    world.dawdle('subaccount_usernames')
    world.long_run(TASK, {'ROUNDTABLE_FAILPOINT_KILL': f'{TASK}:postgres.begin:before#3'}, killed=True)
    assert len(names(world)) == 14
    world.forget_locks()
    record = world.long_run(TASK)
    assert (record['result'], record['slices'], record['names']) == ('ok', 6, 36), record
    assert names(world) == expected


def test_names_that_collide_fall_as_account_by_account(world):
    """Twenty-five names for twenty accounts: some are taken by those before, some are another's second or third."""
    paths = [os.path.join(world.deployment.directory, n) for n in ('a', 'n')]
    for path in paths:
        with open(path, 'w') as f:
            f.write('one two three four five'.replace(' ', '\n'))
    for i in range(20):
        world.subaccount(f'dydx1{i:02d}')
    found = []
    for size in (1, 100):
        world.sql('TRUNCATE subaccount_usernames')
        world.deployment.settings('compliance', usernames={'adjectives': paths[0], 'nouns': paths[1], 'suffix_digits': 0,
                                                           'batch_size': size, 'attempts': 4})
        found.append((rejected(world.run(TASK)), names(world)))
    assert found[0] == found[1] and found[0][0] > 10 and len(found[0][1]) > 10


def test_two_addresses_of_a_page_that_want_one_name(world):
    """Lists of one word and no suffix: the first by address gets it, the second has nothing left."""
    paths = [os.path.join(world.deployment.directory, n) for n in ('a', 'n')]
    for path, word in zip(paths, ('only', 'name')):
        with open(path, 'w') as f:
            f.write(word)
    world.deployment.settings('compliance', usernames={'adjectives': paths[0], 'nouns': paths[1], 'suffix_digits': 0})
    for address in ('b', 'c', 'a'):
        world.subaccount(address)
    done = world.run(TASK)
    assert names(world) == {'a': ['OnlyName']}
    assert rejected(done) == 6
    # of many names that are taken the first twenty are logged, and all of them counted
    for i in range(6):
        world.subaccount(f'd{i}')
    done = world.run(TASK)
    assert names(world) == {'a': ['OnlyName']}
    assert rejected(done) == 20 and 'rejected_names 24' in done.stdout + done.stderr


def test_round_trips_do_not_grow_with_names(world, lists):
    found = []
    for n in (1, 500):
        world.sql("INSERT INTO subaccounts SELECT gen_random_uuid(), 'd%s-' || i, 0, now(), 1 FROM generate_series(1, %s) AS i", (n, n))
        found.append(round_trips(world.run(TASK)))
    assert len(names(world)) == 501 and found[0] == found[1]


def test_what_a_page_has_done_is_said_at_debug(world, lists):
    world.subaccount(V0R)
    done = world.run(TASK)
    assert names(world) and 'Generated usernames' not in done.stdout + done.stderr
    done = world.run(TASK, environment={'LOG_LEVEL': 'debug'})
    assert 'Generated usernames' in done.stdout + done.stderr


def test_the_sha256_of_lists_is_logged_at_start(world, lists):
    w = world.deployment.worker('compliance')
    (record,) = w.wait_for(lambda: [r for r in w.records() if 'adjectivesSha256' in r], 'the record')
    for key, path in zip(('adjectivesSha256', 'nounsSha256'), lists):
        with open(path, 'rb') as f:
            assert record[key] == hashlib.sha256(f.read()).hexdigest()

    def runs():
        return len([r for r in w.records(taskName=TASK) if 'roundTrips' in r])
    w.wait_for(runs, 'the end of the run')
    # its record comes a moment before its lock is released
    w.wait_for(lambda: w.control('trigger', task=TASK, force=True).get('ok'), 'its lock released')
    w.wait_for(lambda: runs() >= 2, 'a second run')
    assert len([r for r in w.records() if 'adjectivesSha256' in r]) == 1


def test_a_supervised_worker_reads_the_files_that_settings_name(world, lists):
    world.subaccount(V0R)
    world.deployment.settings('market', enabled=False)
    s = world.deployment.supervisor()
    s.wait_for(lambda: names(world), 'the name')
    assert names(world) == {V0R: [NAMES[V0R, 0]]}
    assert s.stop() == 0


def test_built_in_lists_on_an_empty_table(world):
    """A new deployment needs no lists, and its second run is none of another service's."""
    for i in range(30):
        world.subaccount(f'dydx1{i}')
    world.run(TASK)
    first = names(world)
    assert len(first) == 30 and len({n for v in first.values() for n in v}) == 30
    words = [open(os.path.join(ROOT, 'workers/compliance/words', f'{n}.txt')).read().split() for n in ('adjectives', 'nouns')]
    for (name,) in first.values():
        adjective, noun, _ = re.fullmatch('([A-Z][a-z]+)([A-Z][a-z]+)([A-Z0-9]{3})', name).groups()
        assert adjective.lower() in words[0] and noun.lower() in words[1]
    world.subaccount('dydx1new')
    world.run(TASK)
    assert len(names(world)) == 31
    # nor are they when another number of characters is wanted from now on
    world.subaccount('dydx1newer')
    world.run(TASK, environment={'SUBACCOUNT_USERNAME_SUFFIX_RANDOM_DIGITS': '6'})
    assert len(names(world)) == 32


def test_built_in_lists_are_refused_where_others_gave_names(world):
    give(world, V0R, 'SteepTeapotQ2W')
    world.subaccount(LJ4)
    done = world.run(TASK, expect=1)
    for setting in SETTINGS + ('USERNAME_ADJECTIVES_FILE', 'USERNAME_NOUNS_FILE', 'compliance.usernames.builtin'):
        assert setting in done.stdout + done.stderr
    assert LJ4 not in names(world)
    world.deployment.settings('compliance', usernames={'builtin': True})
    world.run(TASK)
    assert len(names(world)[LJ4]) == 1


def test_one_foreign_name_among_many_is_found_and_names_are_looked_at_once(world):
    world.sql('INSERT INTO subaccounts SELECT md5(i::text)::uuid, \'dydx1\' || md5(i::text), 0, now(), 1 '
              'FROM generate_series(1, 3000) AS i')
    looks = {'ROUNDTABLE_FAILPOINT_KILL': f'{TASK}:postgres.read_names:before#1'}
    world.run(TASK)
    # by whatever process, and those that were given since need no look either
    for address in ('dydx1new', 'dydx1newer'):
        world.subaccount(address)
        world.run(TASK, environment=looks)
    assert len(names(world)) == 3002
    # somebody else gives one name: in the midst of the table for who reads it in the order of names
    give(world, 'foreigner', 'MildTeapotQ2W')
    world.run(TASK, environment=looks, expect=-9)
    for _ in range(2):
        done = world.run(TASK, expect=1)
        assert 'do not give (MildTeapotQ2W)' in done.stdout + done.stderr
    world.sql("DELETE FROM subaccount_usernames WHERE username = 'MildTeapotQ2W'")
    # no other name has come or gone, so it is as it was when all were looked at
    world.run(TASK, environment=looks)
    assert len(names(world)) == 3003
    # what is written of other lists, or not by us, counts for nothing
    for value in ('other/lists 3003', 'nonsense', ''):
        world.sql("UPDATE persistent_cache SET value = %s WHERE key = 'usernamesChecked'", (value,))
        world.run(TASK, environment=looks, expect=-9)
        world.run(TASK)
        assert world.cache('usernamesChecked').endswith(' 3003')


def test_lists_by_environment(world, lists):
    world.deployment.settings('compliance')
    world.subaccount(V0R)
    world.run(TASK, environment={'USERNAME_ADJECTIVES_FILE': lists[0], 'USERNAME_NOUNS_FILE': lists[1]})
    assert names(world) == {V0R: [NAMES[V0R, 0]]}


def test_one_list_alone_is_refused(world, lists):
    world.subaccount(V0R)
    for setting, path in zip(('adjectives', 'nouns'), lists):
        world.deployment.settings('compliance', usernames={setting: path})
        done = world.run(TASK, expect=1)
        for name in SETTINGS:
            assert name in done.stdout + done.stderr
    assert names(world) == {}


@pytest.mark.parametrize('content, expected', [(None, 'cannot read'), ('', 'there is no word'), ('[1]', 'element 1'),
                                               ('ok\ntwo words\n', 'line 2'), ('["a"', 'nouns.txt:1')])
def test_a_list_that_cannot_be_used_is_named(world, lists, content, expected):
    world.subaccount(V0R)
    os.unlink(lists[1])
    if content is not None:
        with open(lists[1], 'w') as f:
            f.write(content)
    done = world.run(TASK, expect=1)
    said = done.stdout + done.stderr
    assert expected in said and lists[1] in said and SETTINGS[1] in said
    assert names(world) == {}


def test_an_address_that_is_too_long_is_reported_and_the_rest_is_done(world, lists):
    world.subaccount('x' * 255)
    world.subaccount(V0R)
    done = world.run(TASK)
    assert names(world) == {V0R: [NAMES[V0R, 0]]}
    assert 'too long' in done.stdout + done.stderr


def test_a_database_error_takes_the_page_back(world, lists):
    world.subaccount(LJ4)
    world.subaccount(V0R)
    world.sql("ALTER TABLE subaccount_usernames ADD CHECK (username <> %s)", (NAMES[V0R, 0],))
    done = world.run(TASK, expect=1)
    assert 'Error when generating usernames for subaccounts' in done.stdout + done.stderr
    assert names(world) == {}


def example(w):
    w.sql('TRUNCATE subaccount_usernames, subaccounts CASCADE')
    for address in (V0R, LJ4, RX4):
        w.subaccount(address)
    give(w, 'other', NAMES[V0R, 0])


AFTER = {LJ4: [NAMES[LJ4, 0]], RX4: [NAMES[RX4, 0]], V0R: [NAMES[V0R, 1]], 'other': [NAMES[V0R, 0]]}


def test_killed_at_every_failpoint_and_two_hosts_each_address_gets_one_name(world, lists):
    example(world)
    campaign = world.campaign(TASK)
    points = campaign.kill_everywhere()
    assert any('commit:sent' in p for p in points) and any('insert_names:sent' in p for p in points), points
    campaign.two_hosts()
    assert names(world) == AFTER


@pytest.mark.parametrize('call', ['read_names', 'write_cache', 'add_checked_names', 'commit'])
def test_killed_with_built_in_lists_all_names_are_known_to_be_theirs(world, call):
    for phase in ('before', 'sent', 'after'):
        world.sql('TRUNCATE subaccount_usernames, persistent_cache')
        world.subaccount(V0R)
        world.run(TASK, environment={'ROUNDTABLE_FAILPOINT_KILL': f'{TASK}:postgres.{call}:{phase}#1'}, expect=-9)
        world.subaccount(LJ4)
        world.run(TASK)
        assert list(names(world)) == [LJ4, V0R] and world.cache('usernamesChecked').endswith(' 2'), phase


def test_hosts_that_run_at_once_give_one_name(world, lists):
    """No lock in Redis at all; all wait for one another before they look who has no name."""
    example(world)
    holder = world.postgres.connect(world.database)
    holder.autocommit = False
    holder.cursor().execute("SELECT pg_advisory_xact_lock(hashtextextended('roundtable/compliance/subaccountUsernames', 0))")
    runs = [world.start(TASK) for _ in range(4)]
    servers.wait_until(lambda: world.waiting() == 4, 'four waiting runs')
    holder.rollback()
    holder.close()
    for run in runs:
        out = run.communicate(timeout=60)[0]
        assert run.returncode == 0, out
    assert names(world) == AFTER


def test_a_name_that_an_original_gives_meanwhile_is_avoided(world, lists):
    """It knows no advisory lock: its row is not yet committed when we look, and is when we insert."""
    world.subaccount(V0R)
    world.subaccount(LJ4)
    other = world.subaccount(RX4, 1)
    original = world.postgres.connect(world.database)
    original.autocommit = False
    original.cursor().execute('INSERT INTO subaccount_usernames VALUES (%s, %s)',
                              (NAMES[V0R, 0], other))
    run = world.start(TASK)
    servers.wait_until(lambda: world.waiting() > 0, 'a waiting run')
    original.commit()
    original.close()
    out = run.communicate(timeout=60)[0]
    assert run.returncode == 0, out
    world.run(TASK)
    assert names(world) == {RX4: [NAMES[V0R, 0]], LJ4: [NAMES[LJ4, 0]], V0R: [NAMES[V0R, 1]]}


def test_a_dry_run_names_nobody(world, lists):
    world.subaccount(V0R)
    world.run(TASK, arguments=['--dry-run'])
    assert names(world) == {}
