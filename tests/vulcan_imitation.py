"""Imitates Vulcan as far as Roundtable's order tasks meet it: it keeps orders in Redis and receives removals.

Written from the orders specification: protocol buffers from the tables of section 2, the caches and their atomic
operations from section 3.3, what is done with a removal from section 4. It is also an encoder of its own, so that tests do
not compare Roundtable's bytes with Roundtable's.
"""
import hashlib
import struct
import uuid

NAMESPACE = uuid.UUID('0f9da948-a6fb-4c45-9edc-4685c3f3317d')
EXPIRY = 'v4/orderExpiry'
UPDATE_IDS = 'v4/stateful_order_update_ids'
UPDATES = 'v4/stateful_order_updates'
REASON_INDEXER_EXPIRED = 10
STATUS_CANCELED = 2
POST_ONLY = 2


def varint(value):
    out = b''
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    """A varint field; zero is not written."""
    return varint(field << 3) + varint(value) if value else b''


def fixed32(field, value):
    return varint(field << 3 | 5) + struct.pack('<I', value) if value else b''


def length_delimited(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def text(field, value):
    return length_delimited(field, value.encode()) if value else b''


def decode(data):
    """(field, value) pairs of one message: varints and fixed32 as numbers, length-delimited ones as bytes."""
    at, fields = 0, []

    def read_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        tag = read_varint()
        if tag & 7 == 0:
            value = read_varint()
        elif tag & 7 == 5:
            value, = struct.unpack_from('<I', data, at)
            at += 4
        else:
            assert tag & 7 == 2, f'wire type {tag & 7}'
            length = read_varint()
            value = data[at:at + length]
            assert len(value) == length, 'cut off'
            at += length
        fields.append((tag >> 3, value))
    return fields


def as_text(protobuf):
    """The form of protobuf bytes in Redis."""
    return protobuf.decode('latin1').encode('utf-8')


def from_text(value):
    return value.decode('utf-8').encode('latin1')


class Order:
    """A short-term order unless flags say otherwise."""

    def __init__(self, owner, client_id, good_til_block, subaccount=0, clob_pair=1, flags=0, quantums=100, subticks=1000,
                 side=2, ticker='ETH-USD', price='3100', size='5', time_in_force=POST_ONLY):
        self.owner, self.client_id, self.good_til_block = owner, client_id, good_til_block
        self.subaccount, self.clob_pair, self.flags = subaccount, clob_pair, flags
        self.quantums, self.subticks, self.side = quantums, subticks, side
        self.ticker, self.price, self.size, self.time_in_force = ticker, price, size, time_in_force
        self.subaccount_uuid = str(uuid.uuid5(NAMESPACE, f'{owner}-{subaccount}'))
        self.uuid = str(uuid.uuid5(NAMESPACE, f'{self.subaccount_uuid}-{client_id}-{clob_pair}-{flags}'))

    @property
    def id(self):
        """IndexerOrderId"""
        return (length_delimited(1, text(1, self.owner) + number(2, self.subaccount)) + fixed32(2, self.client_id) +
                number(3, self.flags) + number(4, self.clob_pair))

    @property
    def key(self):
        return hashlib.sha256(self.id).digest()

    @property
    def redis_order(self):
        """RedisOrder. The last block is written when it is 0, too: it is in a oneof."""
        order = (length_delimited(1, self.id) + number(2, self.side) + number(3, self.quantums) +
                 number(4, self.subticks) + varint(5 << 3) + varint(self.good_til_block) +
                 number(7, self.time_in_force))
        return (text(1, self.uuid) + length_delimited(2, order) + text(3, self.ticker) + number(4, 1) +
                text(5, self.price) + text(6, self.size))

    @property
    def removal(self):
        """OffChainUpdateV1 with what Roundtable is to send when this order has expired."""
        return length_delimited(2, length_delimited(1, self.id) + number(2, REASON_INDEXER_EXPIRED) +
                                number(3, STATUS_CANCELED))

    def update(self, filled):
        """OrderUpdateV1"""
        return length_delimited(1, self.id) + number(2, filled)


PLACE = '''
local order, data, ids, expiry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local value, block, id, short_term = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == 'true'
local old = redis.call('GET', order)
local filled, replaced = '0', 0
if old then
  local old_block, old_filled = string.match(redis.call('GET', data), '^(%d+)_(%d+)_')
  if tonumber(old_block) >= tonumber(block) then return {0, 0} end
  filled, replaced = old_filled, 1
else
  redis.call('HSET', ids, id, '1')
end
redis.call('SET', order, value)
redis.call('SET', data, block .. '_' .. filled .. '_false')
if short_term then redis.call('ZADD', expiry, block, id) end
return {1 - replaced, replaced}
'''

UPDATE = '''
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local block = string.match(redis.call('GET', KEYS[2]), '^(%d+)_')
redis.call('SET', KEYS[2], block .. '_' .. ARGV[1] .. '_true')
return 1
'''

REMOVE = '''
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return 1
'''


class Vulcan:
    """Thread-safe as far as its client is."""

    def __init__(self, redis):
        self.redis = redis
        self._place, self._update, self._remove = (redis.register_script(s) for s in (PLACE, UPDATE, REMOVE))

    @staticmethod
    def keys(order):
        return [f'v4/orders/{order.uuid}', f'v4/orderData/{order.uuid}', f'v4/subaccountOrderIds/{order.subaccount_uuid}',
                EXPIRY]

    def place(self, order):
        """[placed, replaced]"""
        return self._place(self.keys(order), [as_text(order.redis_order), order.good_til_block, order.uuid,
                                              'false' if order.flags in (32, 64) else 'true'])

    def update(self, order, filled):
        return self._update(self.keys(order)[:2], [filled])

    def remove(self, order):
        return self._remove(self.keys(order), [order.uuid])

    def park(self, order, filled, now_ms):
        """An update of a stateful order that is not known yet."""
        pipeline = self.redis.pipeline()
        pipeline.zadd(UPDATE_IDS, {order.uuid: now_ms})
        pipeline.hset(UPDATES, order.uuid, as_text(order.update(filled)))
        pipeline.execute()

    def receive(self, value, height):
        """A removal from the topic. Returns what became of it: 'removed', 'gone' or 'lives' (the last two are ignored).
        Raises AssertionError for a message that Vulcan would refuse."""
        (field, removal), = decode(value)
        assert field == 2, f'update message {field}'
        parts = dict(decode(removal))
        assert set(parts) == {1, 2, 3}, f'fields {sorted(parts)}'
        assert parts[2] == REASON_INDEXER_EXPIRED and parts[3] == STATUS_CANCELED
        order = stored_id(parts[1])
        stored = self.redis.get(f'v4/orders/{order.uuid}')
        if stored is None:
            return 'gone'
        block = dict(decode(dict(decode(from_text(stored)))[2]))[5]
        if order.flags != 0 or block >= height:
            return 'lives'
        # the original checks and removes in two steps; here nobody places between them
        self.remove(order)
        return 'removed'


def stored_id(data):
    """An Order with nothing but the given IndexerOrderId."""
    parts = dict(decode(data))
    subaccount = dict(decode(parts[1]))
    order = Order(subaccount[1].decode(), parts.get(2, 0), 0, subaccount.get(2, 0), parts.get(4, 0), parts.get(3, 0))
    assert order.id == data, 'the id is not in its only form'
    return order
