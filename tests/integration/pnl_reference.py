"""What update-funding-payments, update-pnl and aggregate_trading_rewards_* must write: row by row, from the formulas of the
PnL specification (sections 2.2, 3.2 and 6.1), without a word of SQL.

decimal.Decimal keeps trailing zeros as PostgreSQL's numeric does: the scale of a sum is that of its widest operand, the
scale of a product is the sum of its factors' scales.
"""
import collections
import datetime
import decimal
import functools
import uuid

from pnl_world import NAMESPACE

ZERO = decimal.Decimal(0)
EXACT = decimal.Context(prec=5000, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[decimal.Inexact])


def exact(function):
    """Reckons within EXACT, and leaves the context of whoever calls alone."""
    @functools.wraps(function)
    def within(*arguments, **named):
        with decimal.localcontext(EXACT):
            return function(*arguments, **named)
    return within


def text(value):
    return format(abs(value) if value == 0 else value, 'f')


def number(value):
    return decimal.Decimal(value)


Update = collections.namedtuple('Update', 'height market rate oracle index time')
Fill = collections.namedtuple('Fill', 'account side size pair height quote fee')
Transfer = collections.namedtuple('Transfer', 'height size sender to')
Payment = collections.namedtuple('Payment', 'height account market ticker oracle size side rate payment index time')


@exact
def funding_payments(listings, updates, fills, carry=False):
    """Payments of all heights, one height after the other. listings: (market, clob pair, ticker)."""
    rows = []
    done = 0
    for height in sorted({u.height for u in updates}):
        for market, pair, ticker in listings:
            (new,) = [u for u in updates if (u.height, u.market) == (height, market)] or [None]
            if new is None:
                continue
            since = done
            if carry:
                since = max((u.height for u in updates if u.market == market and u.height < height), default=0)
            before = [u for u in updates if (u.height, u.market) == (since, market)]
            old = number(before[0].index) if before else ZERO
            stored = {r.account: r for r in rows if (r.height, r.market) == (since, market)}
            traded = {}
            for f in fills:
                if f.pair == pair and since < f.height <= height:
                    size = number(f.size)
                    traded[f.account] = traded.get(f.account, ZERO) + (size if f.side == 'BUY' else -size)
            for account in sorted(stored.keys() | traded.keys()):
                size = traded.get(account, ZERO)
                name = ticker
                if account in stored:
                    size += number(stored[account].size)
                    if account not in traded:
                        name = stored[account].ticker
                if size == 0:
                    continue
                payment = -size * (number(new.index) - old)
                rows.append(Payment(height, account, market, name, new.oracle, text(size), 'LONG' if size > 0 else 'SHORT',
                                    new.rate, text(payment), new.index, new.time))
        done = height
    return sorted(rows, key=lambda r: r[:3])


@exact
def hourly_pnl(payments, fills, transfers):
    """(height, account, total, net transfers, equity, time) of all heights, one after the other."""
    rows = []
    before = {}
    done = 0
    for height in sorted({p.height for p in payments}):
        members = set(before)
        for t in transfers:
            if done < t.height <= height:
                members |= {t.sender, t.to} - {None}
        time = max(p.time for p in payments if p.height == height)
        now = {}
        for account in members:
            total, net = before.get(account, (ZERO, ZERO))
            delta = ZERO
            for t in transfers:
                if done < t.height <= height:
                    delta += number(t.size) if t.to == account else ZERO
                    delta -= number(t.size) if t.sender == account else ZERO
            funding = sum((number(p.payment) for p in payments if p.account == account and done < p.height <= height), ZERO)

            def value(at):
                return sum((number(p.size) * number(p.oracle) for p in payments if (p.account, p.height) == (account, at)),
                           ZERO)
            cash = ZERO
            for f in fills:
                if f.account == account and done < f.height <= height:
                    cash += (number(f.quote) if f.side == 'SELL' else -number(f.quote)) - number(f.fee)
            now[account] = (total + funding + (value(height) - value(done)) + cash, net + delta)
        rows += [(height, account, text(total), text(net), text(total + net), time)
                 for account, (total, net) in now.items()]
        before = now
        done = height
    return sorted(rows)


def parse_time(iso):
    return datetime.datetime.fromisoformat(iso.replace('Z', '+00:00'))


def period_start(period, t):
    day = t.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == 'WEEKLY':
        return day - datetime.timedelta(days=day.weekday())
    return day.replace(day=1) if period == 'MONTHLY' else day


def next_start(period, start):
    if period == 'MONTHLY':
        return (start + datetime.timedelta(days=31)).replace(day=1)
    return start + datetime.timedelta(days=7 if period == 'WEEKLY' else 1)


@exact
def reward_aggregations(period, blocks, rewards):
    """(address, start, start height, end, end height, amount, id) after everything up to the latest block's full minute was
    aggregated from an empty table on; nothing where the first reward is not yet due. blocks: (height, time) ascending,
    rewards: (address, amount, height, time)."""
    end = parse_time(blocks[-1][1]).replace(second=0, microsecond=0)

    def first_block(t):
        return next(height for height, time in blocks if parse_time(time) >= t)
    sums = collections.defaultdict(lambda: decimal.Decimal('0.000000000000000000'))
    for address, amount, _, time in rewards:
        t = parse_time(time)
        if t < end:
            sums[period_start(period, t), address] += number(amount)
    rows = []
    for (start, address), amount in sums.items():
        over = next_start(period, start)
        height = first_block(start)
        rows.append((address, start, height, over if over <= end else None, first_block(over) - 1 if over <= end else None,
                     text(amount), str(uuid.uuid5(NAMESPACE, f'{address}-{period}-{height}'))))
    return [(a, iso_text(s), h, e and iso_text(e), eh, amount, id)
            for a, s, h, e, eh, amount, id in sorted(rows, key=lambda r: (r[2], r[0]))]


def iso_text(t):
    return t.strftime('%Y-%m-%dT%H:%M:%S.') + f'{t.microsecond // 1000:03d}Z'
