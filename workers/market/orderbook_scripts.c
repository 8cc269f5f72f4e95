#include "workers/market/orderbook_scripts.h"

/* The time first: a key of the wrong type must end the script before it has changed anything. */
const RedisScript orderbook_script_delete_zero = {
        "orderbook_delete_zero",
        "local size = redis.call('HGET', KEYS[1], ARGV[1])\n"
        "if not size or tonumber(size) ~= 0 then return 0 end\n"
        "redis.call('HDEL', KEYS[2], ARGV[1])\n"
        "redis.call('HDEL', KEYS[1], ARGV[1])\n"
        "return 1\n",
};

const RedisScript orderbook_script_delete_stale = {
        "orderbook_delete_stale",
        "local now, age, bids = tonumber(redis.call('TIME')[1]), tonumber(ARGV[1]), tonumber(ARGV[2])\n"
        "local removed = {}\n"
        "for i = 1, (#ARGV - 2) / 2 do\n"
        "  local price, read = ARGV[2 * i + 1], ARGV[2 * i + 2]\n"
        "  local side = i <= bids and 1 or 3\n"
        "  local updated = redis.call('HGET', KEYS[side + 1], price)\n"
        "  local number = updated and tonumber(updated)\n"
        "  removed[i] = 0\n"
        "  if updated == read and number and now - number > age then\n"
        "    redis.call('HDEL', KEYS[side], price)\n"
        "    redis.call('HDEL', KEYS[side + 1], price)\n"
        "    removed[i] = 1\n"
        "  end\n"
        "end\n"
        "return removed\n",
};

/* A key of another type is its market's failure. Whatever else the server answers (no memory, a replica, no permission)
 * says nothing about one market: it is the script's answer. */
const RedisScript orderbook_script_add_mid_prices = {
        "orderbook_add_mid_prices",
        "local time = tonumber(ARGV[#KEYS + 1])\n"
        "if not time then return redis.error_reply('Invalid timestamp') end\n"
        "local results = {}\n"
        "for i = 1, #KEYS do\n"
        "  local added = redis.pcall('ZADD', KEYS[i], time, ARGV[i])\n"
        "  if type(added) == 'table' and added.err then\n"
        "    if not string.find(added.err, '^-?WRONGTYPE') then return added end\n"
        "    results[i] = added.err\n"
        "  else\n"
        "    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', time - 60)\n"
        "    results[i] = 1\n"
        "  end\n"
        "end\n"
        "return results\n",
};

const RedisScript orderbook_script_scan = {
        "orderbook_scan",
        "local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 1000)\n"
        "local result = { page[1] }\n"
        "for i = 1, #page[2], 2 do\n"
        "  result[#result + 1] = page[2][i]\n"
        "  result[#result + 1] = page[2][i + 1]\n"
        "  result[#result + 1] = redis.call('HGET', KEYS[2], page[2][i])\n"
        "end\n"
        "return result\n",
};
