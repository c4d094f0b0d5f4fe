-- Let as many of the wanted attempts go as the deployment's quota and the fleet allow now.
-- All in one script: what is checked is taken, and nothing is taken that is not granted.
--
-- KEYS  1 meter (hash)  2 slots of the deployment (zset)  3 slots of the queue (zset)
--       4 sentinel: absent after a loss of Redis' memory
-- ARGV  1 requests per window  2 tokens per window  3 concurrency  (0: no limit)
--       4 window, microseconds  5 margin, thousandths of a limit
--       6 slots of the queue's workers  7 slot expiry, milliseconds
--       8 'doubt' when the caller lost its connection: levels start from nothing
--       9.. pairs: attempt id, tokens
-- Returns {granted, wait in milliseconds, what binds}; granted -1: the sentinel is absent.
--
-- Each bucket is integer arithmetic: one request (token) is `window` units, a microsecond
-- refills `limit - margin + 1 - capacity` units. Any half-open window then admits fewer than
-- capacity + refill = limit - margin + 1 (docs/decisions/0009).
local THOUSAND = 1000
if redis.call('EXISTS', KEYS[4]) == 0 then return {-1, 0, 'memory_lost'} end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window, margin = tonumber(ARGV[4]), tonumber(ARGV[5])
local state = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens', 'largest', 'blocked_until')
local at = tonumber(state[1]) or now
local elapsed = math.min(math.max(now - at, 0), window)
local largest = tonumber(state[4]) or 0
local blocked_until = tonumber(state[5]) or 0

local function bucket(limit, level, capacity)
    local unit = window * THOUSAND
    local refill = math.max(limit * (THOUSAND - margin) + THOUSAND - capacity * THOUSAND, 1)
    if ARGV[8] == 'doubt' then level = 0 else level = level + elapsed * refill end
    return {limit = limit, unit = unit, refill = refill,
            capacity = capacity * unit, level = math.min(level, capacity * unit)}
end

local function wait_for(b, amount)
    if b.limit == 0 then return 0 end
    return math.max(math.ceil((amount * b.unit - b.level) / b.refill), 0)
end

local request_limit, token_limit = tonumber(ARGV[1]), tonumber(ARGV[2])
-- What a full bucket cannot take in is lost: it holds a hundredth of the limit, and in a short
-- window what refills in 0.1 s, a slow turn of the dispatcher on a busy machine.
local part = math.min(math.max(0.01, 100000 / window), 0.1)
-- A request larger than the bucket would never pass: the bucket grows to it and its refill
-- slows down, so that the window's sum stays the same.
local most = math.max(math.floor(token_limit * (THOUSAND - margin) / THOUSAND), 1)
for i = 10, #ARGV, 2 do largest = math.max(largest, math.min(tonumber(ARGV[i]), most)) end
local requests = bucket(request_limit, tonumber(state[2]) or 0,
                        math.max(math.ceil(request_limit * part), 1))
local tokens = bucket(token_limit, tonumber(state[3]) or 0,
                      math.max(math.ceil(token_limit * part), largest, 1))

local now_ms = math.floor(now / THOUSAND)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now_ms)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now_ms)
local concurrency, fleet = tonumber(ARGV[3]), tonumber(ARGV[6])
local free = fleet - redis.call('ZCARD', KEYS[3])
local free_name = 'workers'
if concurrency > 0 then
    local left = concurrency - redis.call('ZCARD', KEYS[2])
    if left < free then free, free_name = left, 'concurrency' end
end

local granted, wait, binding = 0, 0, ''
local expiry = now_ms + tonumber(ARGV[7])
for i = 9, #ARGV, 2 do
    local need = math.min(tonumber(ARGV[i + 1]), most)
    local waits = {
        blocked = math.max(blocked_until - now, 0),
        requests = wait_for(requests, 1),
        tokens = wait_for(tokens, need),
    }
    for name, micros in pairs(waits) do
        if micros > wait then wait, binding = micros, name end
    end
    if wait > 0 then break end
    if free <= 0 then binding = free_name break end
    if request_limit > 0 then requests.level = requests.level - requests.unit end
    if token_limit > 0 then tokens.level = tokens.level - need * tokens.unit end
    free = free - 1
    granted = granted + 1
    redis.call('ZADD', KEYS[2], expiry, ARGV[i])
    redis.call('ZADD', KEYS[3], expiry, ARGV[i])
end

local function whole(number) return string.format('%.0f', number) end
redis.call('HSET', KEYS[1], 'at', whole(now), 'requests', whole(requests.level),
           'tokens', whole(tokens.level), 'largest', whole(largest))
redis.call('PEXPIRE', KEYS[1], 3600000)
return {granted, math.ceil(wait / THOUSAND), binding}
