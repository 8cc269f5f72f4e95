"""Order books evaluated plainly, from the words of the market specification (sections 6, 11 and 13): what the tasks are
held against. A book is {'BUY': (sizes, times), 'SELL': (sizes, times)}, dictionaries of texts by price."""
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext


def side(book, name, remove_zeros=True):
    """Levels (price, size, time) in the order of the size hash."""
    sizes, times = book[name]
    levels = [(p, sizes[p], times[p]) for p in sizes if p in times]
    levels = [l for l in levels if Decimal(l[1]) >= 0]
    return [l for l in levels if l[1] != '0'] if remove_zeros else levels


def ordered(book):
    bids = sorted(side(book, 'BUY'), key=lambda l: -float(l[0]))
    asks = sorted(side(book, 'SELL'), key=lambda l: float(l[0]))
    return bids, asks


def read_rule(bids, asks):
    a = b = 0
    while a < len(asks) and b < len(bids) and float(bids[b][0]) >= float(asks[a][0]):
        bid, ask = bids[b], asks[a]
        if float(bid[2]) > float(ask[2]) or float(bid[1]) > float(ask[1]):
            a += 1
        else:
            b += 1
    return bids[b:], asks[a:]


def uncross_rule(bids, asks):
    """The levels to remove: bids, asks."""
    a = b = 0
    while a < len(asks) and b < len(bids) and Decimal(bids[b][0]) >= Decimal(asks[a][0]):
        if float(bids[b][2]) > float(asks[a][2]):
            a += 1
        else:
            b += 1
    return bids[:b], asks[:a]


def fixed(value):
    text = format(value, 'f')
    if '.' in text:
        text = text.rstrip('0').rstrip('.')
    return '0' if text in ('-0', '') else text


def mid_price(book):
    bids, asks = read_rule(*ordered(book))
    if not bids or not asks:
        return None
    with localcontext(Context(prec=200)):
        middle = (Decimal(bids[0][0]) + Decimal(asks[0][0])) / 2
        return fixed(middle.quantize(Decimal(1).scaleb(-20), ROUND_HALF_UP))


def member(price):
    return f'{float(price):.17g}'


def subticks(price, conversion_exponent, resolution):
    def divide(a, b):
        return (a / b).quantize(Decimal(1).scaleb(-20), ROUND_HALF_UP)
    with localcontext(Context(prec=200)):
        value = divide(divide(Decimal(price), Decimal(10) ** conversion_exponent), Decimal(10) ** -6)
        return float(value * Decimal(10) ** resolution)
