/* Lua texts of the lock operations. KEYS of all of them: 1 R, 2 E, 3 run hash, 4 paused, 5 epoch. Instants are
 * microseconds, which a Lua number holds exactly until the year 2255; they are stored as integers by string.format. */

#include "common/lock_scripts.h"

/* R belongs to a run of ours when its value matches and it expires at the instant that our last write recorded: the
 * value alone is the same for everybody. Servers up to 7.0 read their clock anew for each command of a script, and may
 * be put off the processor in between: so the instant is written as one (PEXPIREAT), and read between two looks at the
 * clock that are no further apart than half of what is allowed for. While a task is paused, originals must see an R:
 * whatever else shortens or deletes it holds it up again. */
#define PRELUDE                                                                                                        \
        "local R, E, RUN, PAUSED, EPOCH = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]\n"                               \
        "local VALUE = 'TIMEOUT NOT EXPIRED'\n"                                                                        \
        "local function clock()\n"                                                                                     \
        "  local t = redis.call('TIME')\n"                                                                             \
        "  return tonumber(t[1]) * 1000000 + tonumber(t[2])\n"                                                         \
        "end\n"                                                                                                        \
        "local now = clock()\n"                                                                                        \
        "local function int(n) return string.format('%.0f', n) end\n"                                                  \
        "local function r_expiry()\n"                                                                                  \
        "  local before, ttl, after = clock()\n"                                                                       \
        "  for i = 1, 100 do\n"                                                                                        \
        "    ttl = redis.call('PTTL', R)\n"                                                                            \
        "    if ttl < 0 then return ttl end\n"                                                                         \
        "    after = clock()\n"                                                                                        \
        "    if after - before <= 2500 then break end\n"                                                               \
        "    before = after\n"                                                                                         \
        "  end\n"                                                                                                      \
        "  return after + ttl * 1000\n"                                                                                \
        "end\n"                                                                                                        \
        "local function own_r()\n"                                                                                     \
        "  local expires = tonumber(redis.call('HGET', RUN, 'r_expires') or '')\n"                                     \
        "  if not expires or redis.call('GET', R) ~= VALUE then return false end\n"                                    \
        "  local expiry = r_expiry()\n"                                                                                \
        "  return expiry >= 0 and math.abs(expiry - expires) <= 5000\n"                                                \
        "end\n"                                                                                                        \
        "local function set_r(usec)\n"                                                                                 \
        "  local at = math.floor(now / 1000) + math.max(1, math.floor(usec / 1000))\n"                                 \
        "  redis.call('SET', R, VALUE)\n"                                                                              \
        "  redis.call('PEXPIREAT', R, int(at))\n"                                                                      \
        "  redis.call('HSET', RUN, 'r_expires', int(at * 1000))\n"                                                     \
        "end\n" /* up to the end of the pause, where it has one: nobody is to wait beyond it */                        \
        "local function hold()\n"                                                                                      \
        "  local left = redis.call('PTTL', PAUSED)\n"                                                                  \
        "  local want = left >= 0 and math.min(left, 60000) or 60000\n"                                                \
        "  local ttl = redis.call('PTTL', R)\n"                                                                        \
        "  if left ~= -2 and (ttl == -2 or (ttl >= 0 and ttl < 30000 and ttl < want)) then set_r(want * 1000) end\n"   \
        "end\n"                                                                                                        \
        "local function settle_r(left)\n"                                                                              \
        "  if own_r() then\n"                                                                                          \
        "    if left >= 1000 then set_r(left) else redis.call('DEL', R) end\n"                                         \
        "  end\n"                                                                                                      \
        "  if redis.call('EXISTS', PAUSED) == 1 then hold() end\n"                                                     \
        "end\n"                                                                                                        \
        "local function remainder(interval_msec)\n"                                                                    \
        "  local started = tonumber(redis.call('HGET', RUN, 'started') or '')\n"                                       \
        "  return (started or 0) + tonumber(interval_msec) * 1000 - now\n"                                             \
        "end\n" /* who, and whether that is a run or no more than an interval that is not over */                      \
        "local function holder()\n"                                                                                    \
        "  local e = redis.call('GET', E)\n"                                                                           \
        "  local run = redis.call('HMGET', RUN, 'uuid', 'host', 'worker', 'run_id')\n"                                 \
        "  if e then\n"                                                                                                \
        "    if run[1] and e == VALUE .. ' ' .. run[1] then\n"                                                         \
        "      return run[2] .. ' (worker ' .. run[3] .. ', run ' .. run[4] .. ')', 'run'\n"                           \
        "    end\n"                                                                                                    \
        "    return 'another service (original?)', 'run'\n"                                                            \
        "  end\n"                                                                                                      \
        "  if redis.call('EXISTS', R) == 0 then return '' end\n"                                                       \
        "  if own_r() then return 'nobody; the interval since the last run by ' .. (run[2] or '?') .. ' is not "       \
        "over', "                                                                                                      \
        "'interval' end\n"                                                                                             \
        "  return 'another service (original?)', 'unknown'\n"                                                          \
        "end\n"

/* ARGV: uuid, run_id, interval ms, extended ms, host, worker, instance, ignore R, ignore pause, epoch wait ms */
const RedisScript lock_script_take = {
        "lock.take",
        PRELUDE
        "if ARGV[9] == '0' and redis.call('EXISTS', PAUSED) == 1 then\n"
        "  local who = redis.pcall('HMGET', PAUSED, 'who', 'host', 'reason')\n"
        "  if who.err then who = {} end\n"
        "  return {'paused', redis.call('PTTL', PAUSED), (who[1] or '?') .. ' on ' .. (who[2] or '?') .. ': ' .. "
        "(who[3] or ''), ''}\n"
        "end\n"
        "local epoch = tonumber(redis.call('GET', EPOCH) or '')\n"
        "if not epoch then\n"
        "  redis.call('SET', EPOCH, int(now))\n"
        "  epoch = now\n"
        "end\n"
        "local wait = epoch + tonumber(ARGV[10]) * 1000 - now\n"
        /* an epoch in the future is a clock that was set back: do not wait for ever */
        "if wait > 0 and epoch <= now then return {'epoch', math.ceil(wait / 1000), '', ''} end\n"
        /* it was undone before it arrived (over another connection) */
        "if redis.call('HGET', RUN, 'undone') == ARGV[1] then return {'r', 0, '', ''} end\n"
        "local ignore_r = ARGV[8] == '1'\n"
        /* holder() comes last: only there Lua takes both of its values */
        "if not ignore_r and redis.call('EXISTS', R) == 1 then return {'r', redis.call('PTTL', R), holder()} end\n"
        "if redis.call('EXISTS', E) == 1 then return {'e', redis.call('PTTL', E), holder()} end\n"
        "redis.call('HDEL', RUN, 'r_passed')\n"
        "if redis.call('EXISTS', R) == 0 or own_r() then set_r(tonumber(ARGV[3]) * 1000)\n"
        "else\n"
        "  redis.call('HDEL', RUN, 'r_expires')\n"
        "  redis.call('HSET', RUN, 'r_passed', int(r_expiry()))\n"
        "end\n"
        "redis.call('SET', E, VALUE .. ' ' .. ARGV[1], 'PX', ARGV[4])\n"
        "redis.call('HSET', RUN, 'uuid', ARGV[1], 'run_id', ARGV[2], 'host', ARGV[5], 'worker', ARGV[6],\n"
        "           'instance', ARGV[7], 'started', int(now))\n"
        "return {'taken', 0, '', int(now)}\n",
};

/* ARGV: uuid, run_id, interval ms, extended ms, host, worker, instance, original has E, started */
const RedisScript lock_script_renew = {
        "lock.renew",
        PRELUDE "local mine = VALUE .. ' ' .. ARGV[1]\n"
                "if redis.call('EXISTS', EPOCH) == 0 then redis.call('SET', EPOCH, int(now)) end\n"
                "local e = redis.call('GET', E)\n"
                "if e and e ~= mine then return 'lost' end\n"
                "local uuid = redis.call('HGET', RUN, 'uuid')\n"
                /* the run was ended before this renewal arrived (over another connection) */
                "if not uuid and redis.call('HGET', RUN, 'started') == ARGV[9] then return 'lost' end\n"
                "local same = uuid == ARGV[1]\n"
                "local free = redis.call('EXISTS', R) == 0\n"
                "local ours = not free and same and own_r()\n"
                /* a forced run goes on past the R that it found, not past a later one */
                "local passed = same and tonumber(redis.call('HGET', RUN, 'r_passed') or '')\n"
                "local known = passed and math.abs(r_expiry() - passed) <= 5000\n"
                "if not free and not ours and not known and ARGV[8] == '0' then return 'lost' end\n"
                "redis.call('SET', E, mine, 'PX', ARGV[4])\n"
                "redis.call('HSET', RUN, 'uuid', ARGV[1], 'run_id', ARGV[2], 'host', ARGV[5], 'worker', ARGV[6],\n"
                "           'instance', ARGV[7], 'started', ARGV[9])\n"
                "if free or ours then\n"
                "  set_r(tonumber(ARGV[3]) * 1000)\n"
                "  return 'renewed'\n"
                "end\n"
                "redis.call('HDEL', RUN, 'r_expires')\n"
                "return 'foreign'\n",
};

/* ARGV: uuid, result, interval ms */
const RedisScript lock_script_end = {
        "lock.end",
        PRELUDE "if redis.call('GET', E) == VALUE .. ' ' .. ARGV[1] then redis.call('DEL', E) end\n"
                "if redis.call('HGET', RUN, 'uuid') == ARGV[1] then\n"
                "  redis.call('HSET', RUN, 'last_result', ARGV[2])\n"
                "  if ARGV[2] == 'ok' then redis.call('HSET', RUN, 'last_success', int(now)) end\n"
                "  redis.call('HDEL', RUN, 'uuid', 'instance')\n"
                /* a run that was given up leaves the period to whoever takes the task next */
                "  settle_r(ARGV[2] == 'abandoned' and 0 or remainder(ARGV[3]))\n"
                "end\n"
                "return redis.call('PTTL', R)\n",
};

/* ARGV: uuid */
const RedisScript lock_script_undo = {
        "lock.undo",
        PRELUDE "if redis.call('GET', E) == VALUE .. ' ' .. ARGV[1] then redis.call('DEL', E) end\n"
                "if redis.call('HGET', RUN, 'uuid') ~= ARGV[1] then\n"
                "  redis.call('HSET', RUN, 'undone', ARGV[1])\n"
                "  return 0\n"
                "end\n"
                "settle_r(0)\n"
                "redis.call('HDEL', RUN, 'uuid', 'instance')\n"
                "return 1\n",
};

/* ARGV: interval ms, dead instances … */
const RedisScript lock_script_clear_dead = {
        "lock.clear_dead",
        PRELUDE "local run = redis.call('HMGET', RUN, 'instance', 'uuid')\n"
                "if not run[1] then return 0 end\n"
                "for i = 2, #ARGV do\n"
                "  if ARGV[i] == run[1] then\n"
                "    if run[2] and redis.call('GET', E) == VALUE .. ' ' .. run[2] then redis.call('DEL', E) end\n"
                "    settle_r(remainder(ARGV[1]))\n"
                "    redis.call('HSET', RUN, 'last_result', 'died')\n"
                "    redis.call('HDEL', RUN, 'uuid', 'instance')\n"
                "    return 1\n"
                "  end\n"
                "end\n"
                "return 0\n",
};

/* ARGV: who, host, reason, until ms or 0 */
const RedisScript lock_script_pause = {
        "lock.pause",
        PRELUDE "redis.call('DEL', PAUSED)\n"
                "redis.call('HSET', PAUSED, 'who', ARGV[1], 'host', ARGV[2], 'reason', ARGV[3], 'since', int(now))\n"
                "if ARGV[4] ~= '0' then redis.call('PEXPIREAT', PAUSED, ARGV[4]) end\n"
                "hold()\n"
                "return redis.call('EXISTS', PAUSED)\n",
};

/* ARGV: interval ms */
const RedisScript lock_script_resume = {
        "lock.resume",
        PRELUDE "local was = redis.call('DEL', PAUSED)\n"
                /* a run that still holds E keeps its R */
                "local uuid = redis.call('HGET', RUN, 'uuid')\n"
                "local runs = uuid and redis.call('GET', E) == VALUE .. ' ' .. uuid\n"
                "if was == 1 and not runs then settle_r(remainder(ARGV[1])) end\n"
                "return was\n",
};

const RedisScript lock_script_keep_paused = {
        "lock.keep_paused",
        PRELUDE "if redis.call('EXISTS', PAUSED) == 0 then return false end\n"
                "hold()\n"
                "return redis.call('HMGET', PAUSED, 'who', 'host', 'reason')\n",
};

const RedisScript lock_script_status = {
        "lock.status",
        PRELUDE "return {redis.call('PTTL', R), redis.call('PTTL', E), holder(),\n"
                "        redis.call('HMGET', RUN, 'host', 'worker', 'instance', 'run_id', 'started', 'last_success', "
                "'last_result'),\n"
                "        redis.call('HMGET', PAUSED, 'who', 'host', 'reason', 'since'), redis.call('PTTL', PAUSED),\n"
                "        redis.call('HEXISTS', RUN, 'uuid'), int(now)}\n",
};
