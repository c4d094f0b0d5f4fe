-- Let as many of the wanted attempts go as the deployment's quota and the fleet allow now.
-- All in one script: what is checked is taken, and nothing is taken that is not granted.
--
-- KEYS  1 meter (hash)  2 log of the window (hash)  3 slots of the deployment (zset)
--       4 slots of the queue (zset)
--       5 sentinel: since when Redis remembers, microseconds; absent after a loss of its memory
-- ARGV  1 requests per window  2 tokens per window  3 concurrency  (0: no limit)
--       4 window, microseconds  5 margin, thousandths  6 slices of the window's log
--       7 slots of the queue's workers  8 slot expiry, milliseconds
--       9 'doubt' when the caller lost its connection: what was granted may be forgotten
--       10.. pairs: attempt id, tokens
-- Returns {granted, wait in milliseconds, what binds}; granted -1: the sentinel is absent.
--
-- Two hands on each limit (docs/decisions/0009). The log counts what the last window admitted,
-- in slices, and is the guard: it never lets a window have more than the limit. The bucket only
-- spreads: it refills at the limit's rate, so that permits come evenly and not in one burst.
local THOUSAND = 1000
local alive_since = tonumber(redis.call('GET', KEYS[5]) or nil)
if not alive_since then return {-1, 0, 'memory_lost'} end

local limits = {requests = tonumber(ARGV[1]), tokens = tonumber(ARGV[2])}
local window, slices = tonumber(ARGV[4]), tonumber(ARGV[6])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
-- A permit counts for the window and for the margin: so much may requests be late on their way
-- without two windows coming together.
local counted = window * THOUSAND / (THOUSAND - tonumber(ARGV[5]))
local width = math.max(math.ceil(counted / slices), 1)
local current = math.floor(now / width)

local function whole(number) return string.format('%.0f', number) end

local meter = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens', 'blocked_until')
local log = redis.call('HMGET', KEYS[2], 'slice', 'width', 'requests', 'tokens')
local used = {requests = tonumber(log[3]) or 0, tokens = tonumber(log[4]) or 0}
local level = {requests = tonumber(meter[2]), tokens = tonumber(meter[3])}
local seen = tonumber(log[1])
local known = seen ~= nil and tonumber(log[2]) == width

-- Nobody knows what the last window had: take the quota for used up, evenly.
local function presume_full()
    redis.call('DEL', KEYS[2])
    level = {requests = 0, tokens = 0}
    for name, limit in pairs(limits) do
        local fields = {}
        for i = 1, slices do
            fields[2 * i - 1] = name .. whole(current - slices + i)
            fields[2 * i] = whole(math.floor(limit * i / slices) - math.floor(limit * (i - 1) / slices))
        end
        redis.call('HSET', KEYS[2], unpack(fields))
        used[name] = limit
    end
end

local function forget_slice(slice)
    for name in pairs(limits) do
        local field = name .. whole(slice)
        used[name] = used[name] - (tonumber(redis.call('HGET', KEYS[2], field)) or 0)
        redis.call('HDEL', KEYS[2], field)
    end
end

local function start_anew()
    redis.call('DEL', KEYS[2])
    used = {requests = 0, tokens = 0}
end

if ARGV[9] == 'doubt' or (not known and now - alive_since < counted) then
    presume_full()
elseif not known or current - seen > slices then
    start_anew()
else
    for slice = seen - slices, current - slices - 1 do forget_slice(slice) end
end

-- A bucket holds a hundredth of the limit, and in a short window what 0.2 s refill: a slow turn
-- of the dispatcher on a busy machine. Units: one permit is `window`, a microsecond refills
-- `limit`. A request larger than the bucket passes when it is full, and leaves a debt.
local elapsed = math.min(math.max(now - (tonumber(meter[1]) or 0), 0), window)
local part = math.min(math.max(0.01, 200000 / window), 0.2)
local capacity = {}
for name, limit in pairs(limits) do
    capacity[name] = math.max(math.ceil(limit * part), 1) * window
    level[name] = math.min((level[name] or capacity[name]) + elapsed * limit, capacity[name])
end

local function bucket_wait(name, need)
    local lacking = math.min(need * window, capacity[name]) - level[name]
    return math.max(math.ceil(lacking / limits[name]), 0)
end

local function log_wait(name, need)
    local excess, slice = used[name] + need - limits[name], current - slices
    if excess <= 0 then return 0 end
    while excess > 0 and slice <= current do
        excess = excess - (tonumber(redis.call('HGET', KEYS[2], name .. whole(slice))) or 0)
        slice = slice + 1
    end
    return (slice + slices) * width - now
end

local function wait_for(name, need)
    if limits[name] == 0 then return 0 end
    return math.max(bucket_wait(name, need), log_wait(name, need))
end

local now_ms = math.floor(now / THOUSAND)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now_ms)
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now_ms)
local free, free_name = tonumber(ARGV[7]) - redis.call('ZCARD', KEYS[4]), 'workers'
if tonumber(ARGV[3]) > 0 then
    local left = tonumber(ARGV[3]) - redis.call('ZCARD', KEYS[3])
    if left < free then free, free_name = left, 'concurrency' end
end

local granted, wait, binding = 0, 0, ''
local taken = {requests = 0, tokens = 0}
local blocked = math.max((tonumber(meter[4]) or 0) - now, 0)
local expiry = now_ms + tonumber(ARGV[8])
for i = 10, #ARGV, 2 do
    local need = {requests = 1, tokens = tonumber(ARGV[i + 1])}
    -- More than the whole limit passes at an untouched window.
    if limits.tokens > 0 then need.tokens = math.min(need.tokens, limits.tokens) end
    wait, binding = blocked, blocked > 0 and 'blocked' or ''
    for _, name in ipairs({'requests', 'tokens'}) do
        local micros = wait_for(name, need[name])
        if micros > wait then wait, binding = micros, name end
    end
    if wait > 0 then break end
    if free <= 0 then binding = free_name break end
    for name, amount in pairs(need) do
        level[name] = level[name] - amount * window
        used[name] = used[name] + amount
        taken[name] = taken[name] + amount
    end
    free = free - 1
    granted = granted + 1
    redis.call('ZADD', KEYS[3], expiry, ARGV[i])
    redis.call('ZADD', KEYS[4], expiry, ARGV[i])
end

redis.call('HSET', KEYS[1], 'at', whole(now),
           'requests', whole(level.requests), 'tokens', whole(level.tokens))
redis.call('HSET', KEYS[2], 'slice', whole(current), 'width', whole(width),
           'requests', whole(used.requests), 'tokens', whole(used.tokens))
if granted > 0 then
    for name, amount in pairs(taken) do
        redis.call('HINCRBY', KEYS[2], name .. whole(current), whole(amount))
    end
end
local lifetime = math.ceil(2 * counted / THOUSAND) + 3600000
redis.call('PEXPIRE', KEYS[1], lifetime)
redis.call('PEXPIRE', KEYS[2], lifetime)
return {granted, math.ceil(wait / THOUSAND), binding}
