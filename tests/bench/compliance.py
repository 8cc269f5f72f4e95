"""The compliance family's rows of the bench."""
import os
import re
import subprocess
import sys

import harness
from rows import Row, Sql, bind

TASK_SCREENING = 'update_compliance_data'
SERVICE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'screening_service.py')
PAGE = 2000


def lock(bench, name):
    return bind(bench.statement('compliance', 'lock'), name) + ';'


# Names. So many addresses of the bench's own, besides those of the sample, which have theirs after the first run.

def add_addresses(n):
    def prepare(bench):
        bench.sql('DELETE FROM subaccount_usernames')
        bench.sql("DELETE FROM subaccounts WHERE address LIKE 'bench%%'")
        bench.sql('INSERT INTO subaccounts SELECT gen_random_uuid(), \'bench\' || md5(i::text), 0, now(), 1 '
                  'FROM generate_series(1, %s) AS i', (n,))
        bench.sql('ANALYZE subaccounts')
    return prepare


def take_names(bench):
    bench.sql('DELETE FROM subaccount_usernames u USING subaccounts s WHERE s.id = u."subaccountId" '
              "AND s.address LIKE 'bench%'")


def all_named(n):
    def check(bench, record):
        assert record['names'] == n, record
    return check


def names_floor(bench):
    """The same pages with the names of the run before; the two other candidates of each are made up."""
    rows = bench.sql('SELECT s.id, s.address, u.username FROM subaccounts s JOIN subaccount_usernames u '
                     'ON u."subaccountId" = s.id WHERE s.address LIKE \'bench%\' ORDER BY s.address, s.id')
    script, last = [], ('NULL', 'NULL')
    for i in range(0, len(rows) + 1, PAGE):
        page = rows[i:i + PAGE]
        read = bench.statement('compliance', 'read_nameless').replace('$1', str(PAGE)).replace('$2', last[0])
        script += ['BEGIN;', bench.statement('compliance', 'lock_names') + ';', read.replace('$3', last[1]) + ';']
        if page:
            names = [name for _, _, name in page]
            candidates = '{' + ','.join(n + s for n in names for s in ('', 'x', 'y')) + '}'
            script += [bind(bench.statement('compliance', 'read_taken_names'), candidates) + ';',
                       bind(bench.statement('compliance', 'insert_names'), '{' + ','.join(names) + '}',
                            '{' + ','.join(id for id, _, _ in page) + '}') + ';']
            last = (f"'{page[-1][1]}'", f"'{page[-1][0]}'")
        script.append('COMMIT;')
    return [Sql('\n'.join(script))]


# Sums over all fills of the sample, in two windows: a day, and the hour that is left.

def start_again(key):
    def reset(bench):
        bench.sql('UPDATE wallets SET "totalVolume" = 0')
        bench.sql('DELETE FROM affiliate_info')
        bench.sql('INSERT INTO persistent_cache SELECT %s, to_char(min("createdAt") - interval \'1 second\', '
                  '\'YYYY-MM-DD"T"HH24:MI:SS.MS"+00:00"\') FROM fills '
                  'ON CONFLICT (key) DO UPDATE SET value = excluded.value', (key,))
    return reset


def all_added(bench, record):
    assert record['windows'] == 2 and record['fills'] > 0, record


def sums_floor(key, add):
    def floor(bench):
        start_again(key)(bench)
        script = []
        for _ in range(2):
            read = bind(bench.statement('compliance', 'read_window'), key, '2023-10-26T00:00:00Z', '1 day')
            (value, start, end, _, _, text, *_), = bench.sql(read.replace('%', '%%'))
            script += ['BEGIN;', lock(bench, key), read + ';',
                       bind(bench.statement('compliance', add), start, end) + ';',
                       bind(bench.statement('compliance', 'write_checkpoint'), key, text, value) + ';', 'COMMIT;']
            bench.sql('UPDATE persistent_cache SET value = %s WHERE key = %s', (text, key))
        return [Sql('\n'.join(script))]
    return floor


ROWS = [
    *(Row('subaccount_username_generator', title=f'subaccount_username_generator, {n} names', floor=names_floor,
          prepare=add_addresses(n), reset=take_names, check=all_named(n), once=True) for n in (2000, 65000)),
    *(Row(task, floor=sums_floor(key, add), reset=start_again(key), check=all_added)
      for task, key, add in (('update_wallet_total_volume', 'totalVolumeUpdateTime', 'add_volume'),
                             ('update_affiliate_info', 'affiliateInfoUpdateTime', 'add_affiliate_info'))),
]


def screening(build, s, template, addresses=1500):
    """One run at the rate limit of a service that refuses a sixteenth request in a second and takes 200 ms for each."""
    from bench import cpu_nsec, finished, peak_kib
    database = s['postgres'].create_database('bench_screening', template=template)
    s['redis'].client().flushall()
    with subprocess.Popen([sys.executable, SERVICE, '--latency', '200', '--rate-limit', '15'], stdout=subprocess.PIPE,
                          text=True) as service, \
            harness.Deployment(build, s['postgres'], database, s['redis'], s['kafka']) as d:
        try:
            url = re.search(r'http://\S+', service.stdout.readline()).group()
            connection = s['postgres'].connect(database)
            connection.cursor().execute("INSERT INTO subaccounts SELECT gen_random_uuid(), 'bench' || md5(i::text), 0, "
                                        'now() + interval \'1 hour\', 1 FROM generate_series(1, %s) AS i', (addresses,))
            names = ('delete-old-firebase-notification-tokens', 'subaccount_username_generator', 'update_affiliate_info',
                     'update_compliance_status', 'update_wallet_total_volume')
            d.settings('compliance', tasks=dict({n: {'enabled': False} for n in names},
                                                **{TASK_SCREENING: {'interval': '1 d'}}),
                       elliptic={'url': url, 'api_key': 'test-key', 'api_secret': 'dGVzdC1zZWNyZXQ='},
                       screening={'max_per_run': addresses})
            worker = d.worker('compliance')
            worker.wait_for(lambda: finished(worker), 'the run', 600)
            record = finished(worker)[-1]
            assert record['result'] == 'ok' and record['screened'] == addresses, record
            seconds, cpu = record['durationUsec'] / 1e6, cpu_nsec(worker.pid)
            connection.close()
            return (f'`{TASK_SCREENING}`, {addresses} addresses at a limit of 15 requests a second, 200 ms each: '
                    f'{seconds:.1f} s, {addresses / seconds:.1f} requests a second, {record["itemsFailed"]} failed, '
                    f'{cpu / 1e6:.0f} ms of CPU, {peak_kib(worker.pid) / 1024:.1f} MiB.')
        finally:
            service.terminate()


MORE = [(TASK_SCREENING, screening)]
