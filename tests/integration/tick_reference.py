"""What the tasks that make and read ticks should write, show or count, evaluated row by row from the formulas of the PnL
specification (sections 1.3 to 1.5, 4, 5 and 7.2). Plain Python over lists of rows: slow, and sharing nothing with the
service.
"""
import datetime
from decimal import Context, Decimal
from fractions import Fraction

LOOKBACK = 14400
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def milliseconds(t):
    return (t - EPOCH) // datetime.timedelta(milliseconds=1)


def six_places(value):
    """Half away from zero, always six decimals, zero without a sign."""
    scaled = value * 10 ** 6
    sign = -1 if scaled < 0 else 1
    n = sign * ((abs(scaled) * 2 + 1) // 2)
    whole, fraction = divmod(abs(n), 10 ** 6)
    return ('-' if n < 0 else '') + f'{whole}.{fraction:06d}'


def rows(world, table):
    """Rows of a table as dictionaries, numbers as text."""
    with world.connection.cursor() as cursor:
        cursor.execute(f'SELECT * FROM {table}')
        names = [d[0] for d in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]


def ticks_due(world, cached, interval=3600000, limit=65000, past=None, made_before=()):
    """The ticks that a run at this state of the database writes for the hour of the latest block, and the accounts it
    cannot compute: ({(subaccount, equity, totalPnl, netTransfers, height, time)}, {subaccount}).

    cached: subaccount -> (height, datetime) of the entries in Redis.
    past: height of the block of an earlier hour that is filled: accounts that have changed since, or have a later tick,
    have none. made_before: ticks of hours that were filled before, which the table does not have yet.
    """
    blocks = {b['blockHeight']: b['time'] for b in rows(world, 'blocks')}
    top = max(blocks)
    height = top if past is None else past
    time = blocks[height]
    hour = milliseconds(time) // interval
    ticks = rows(world, 'pnl_ticks') + [dict(subaccountId=t[0], blockHeight=t[4], blockTime=t[5], createdAt=t[5])
                                        for t in made_before]
    latest = {}
    for t in ticks:
        known = latest.get(t['subaccountId'])
        if known is None or (t['blockHeight'], t['createdAt']) > known[:2]:
            latest[t['subaccountId']] = (t['blockHeight'], t['createdAt'], t['blockTime'])
    previous = {s: (h, at) for s, (h, _, at) in latest.items()}
    for s, (h, at) in cached.items():
        if h <= top and (s not in previous or h > previous[s][0]):
            previous[s] = (h, at)
    transfers = [t for t in rows(world, 'transfers') if t['createdAtHeight'] <= height]
    members = {t[side] for t in transfers for side in ('senderSubaccountId', 'recipientSubaccountId')} - {None}
    accounts = {s['id']: s for s in rows(world, 'subaccounts')}
    # one tick an hour, whichever of the two knows it
    done = {s for s, at in [(t['subaccountId'], t['blockTime']) for t in ticks] +
            [(s, at) for s, (h, at) in cached.items() if h <= top]
            if milliseconds(at) // interval == hour or (past is not None and milliseconds(at) // interval > hour)}
    if past is not None:
        done |= {s for s, row in accounts.items() if row['updatedAtHeight'] > height}
    due = sorted((s not in previous, s) for s in members if s in accounts and s not in done)[:limit]
    markets = {p['id']: p['marketId'] for p in rows(world, 'perpetual_markets')}
    funding, prices = rows(world, 'funding_index_updates'), rows(world, 'oracle_prices')
    positions, assets = rows(world, 'perpetual_positions'), rows(world, 'asset_positions')

    def index(perpetual, at):
        found = [f for f in funding if f['perpetualId'] == perpetual and at - LOOKBACK < f['effectiveAtHeight'] <= at]
        return Fraction(max(found, key=lambda f: f['effectiveAtHeight'])['fundingIndex']) if found else Fraction(0)

    def price(market):
        found = [p for p in prices if p['marketId'] == market and p['effectiveAtHeight'] <= height]
        return Fraction(max(found, key=lambda p: p['effectiveAtHeight'])['price']) if found else None

    made, failed = set(), set()
    for _, a in due:
        moved = [t for t in transfers if t['assetId'] == '0' and a in (t['senderSubaccountId'], t['recipientSubaccountId'])]
        held = {}
        for p in positions:
            if p['subaccountId'] == a and p['status'] == 'OPEN':
                known = held.get(p['perpetualId'])
                if known is None or bytes(p['openEventId']) < bytes(known['openEventId']):
                    held[p['perpetualId']] = p
        if not moved or any(p not in markets or price(markets[p]) is None for p in held):
            failed.add(a)
            continue
        total = net = Fraction(0)
        since = previous[a][0] if a in previous else 0
        for t in moved:
            size = Fraction(t['size'])
            if t['recipientSubaccountId'] == a:
                total += size
            if t['senderSubaccountId'] == a:
                total -= size
            if t['createdAtHeight'] > since:
                net += -size if t['senderSubaccountId'] == a else size
        equity = Fraction(0)
        for p, row in held.items():
            size = Fraction(row['size'])
            equity += size * price(markets[p])
            equity += size * (index(p, accounts[a]['updatedAtHeight']) - index(p, height))
        for row in assets:
            if row['subaccountId'] == a and row['assetId'] == '0':
                equity += Fraction(row['size']) * (1 if row['isLong'] else -1)
        made.add((a, six_places(equity), six_places(equity - total), six_places(net), height, time))
    return made, failed


def text_sum(values):
    """The text of PostgreSQL's sum: exact, with the greatest scale."""
    exact = Context(prec=200)
    total = Decimal(0)
    for v in values:
        total = exact.add(total, Decimal(v))
    return f'{total:f}'


def leaderboard(world, days, today, excluded=()):
    """{address: (pnl, currentEquity)} of a span; days None: all time. today: the date in UTC."""
    accounts = {s['id']: s for s in rows(world, 'subaccounts')
                if s['subaccountNumber'] % 128 == 0 and s['address'] not in excluded}
    current, baseline = {}, {}
    for t in rows(world, 'pnl_ticks'):
        if t['subaccountId'] not in accounts:
            continue
        date = t['createdAt'].astimezone(datetime.timezone.utc).date()

        def keep(where):
            known = where.get(t['subaccountId'])
            if known is None or t['blockHeight'] > known['blockHeight']:
                where[t['subaccountId']] = t
        if date == today:
            keep(current)
        if days is not None and date <= today - datetime.timedelta(days=days):
            keep(baseline)
    pnl, equity = {}, {}
    for s, t in current.items():
        address = accounts[s]['address']
        values = pnl.setdefault(address, [])
        values.append(str(t['totalPnl']))
        if s in baseline:
            values.append(str(baseline[s]['totalPnl'].copy_negate()))  # unary minus rounds
        equity.setdefault(address, []).append(str(t['equity']))
    return {a: (text_sum(pnl[a]), text_sum(equity[a])) for a in pnl}


MAIN_VAULT = 'dydx18tkxrnrkqc2t0lr3zxr5g6a4hdvqksylxqje4r'
WINDOWS = {'hour': datetime.timedelta(days=7), 'day': datetime.timedelta(days=90)}


def vault_view(world, unit, now):
    """Rows of the hourly or daily view of the vaults when it is refreshed at `now`: their first tick of each hour or day,
    the numbers as text."""
    vaults = {v['address'] for v in rows(world, 'vaults')} | {MAIN_VAULT}
    accounts = {s['id'] for s in rows(world, 'subaccounts') if s['subaccountNumber'] == 0 and s['address'] in vaults}
    first = {}
    for t in rows(world, 'pnl_ticks'):
        if t['subaccountId'] not in accounts or t['blockTime'] < now - WINDOWS[unit]:
            continue
        begins = t['blockTime'].astimezone(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0)
        if unit == 'day':
            begins = begins.replace(hour=0)
        key = t['subaccountId'], begins
        if key not in first or t['blockTime'] < first[key]['blockTime']:
            first[key] = t
    return {(t['id'], t['subaccountId'], *(f"{t[n]:f}" for n in ('equity', 'totalPnl', 'netTransfers')), t['createdAt'],
             t['blockHeight'], t['blockTime']) for t in first.values()}


STALE = 2 * 3600 * 1000  # milliseconds


def stale(world, cached, now):
    """The subaccounts that pnl_instrumentation counts at `now`: (those whose latest tick is old, those that never had one
    and whose last transfer is old). cached: as for ticks_due()."""
    height = max(b['blockHeight'] for b in rows(world, 'blocks'))
    latest = {}
    ticks = [(t['subaccountId'], t['blockHeight'], t['blockTime']) for t in rows(world, 'pnl_ticks')]
    for s, h, at in ticks + [(s, h, at) for s, (h, at) in cached.items() if h <= height]:
        if s not in latest or h > latest[s][0]:
            latest[s] = h, at
    transfers = rows(world, 'transfers')
    old_ticks, old_transfers = set(), set()
    for s in {t[side] for t in transfers if t['createdAtHeight'] <= height
              for side in ('senderSubaccountId', 'recipientSubaccountId')} - {None}:
        if s in latest:
            if milliseconds(now) - milliseconds(latest[s][1]) >= STALE:
                old_ticks.add(s)
            continue
        last = max(milliseconds(t['createdAt']) for t in transfers if s in (t['senderSubaccountId'], t['recipientSubaccountId']))
        if milliseconds(now) - last > STALE:
            old_transfers.add(s)
    return old_ticks, old_transfers


assert six_places(Fraction(5, 10 ** 7)) == '0.000001' and six_places(Fraction(-5, 10 ** 7)) == '-0.000001'
assert six_places(Fraction(-4, 10 ** 7)) == '0.000000'
