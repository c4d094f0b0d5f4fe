-- Let as many of the wanted attempts go as the deployment's quota, its breaker and the fleet allow
-- now. All in one script: what is checked is taken, and nothing is taken that is not granted.
--
-- KEYS  1 meter (hash)  2 slots of the deployment (zset)  3 slots of the queue (zset)
--       4 sentinel: since when Redis remembers, microseconds; absent after a loss of its memory
--       5 what each open attempt took (hash)  6 breaker (hash)  7 what was learned (hash)
--       8.. one per gauge (hash)
-- ARGV  1 concurrency (0: no limit)  2 slots of the queue's workers  3 slot expiry, milliseconds
--       4 'doubt' when the caller lost its connection: what was granted may be forgotten;
--       'look' to be told the wait of the first attempt, and take nothing
--       5 how long a probe may be out, microseconds  6 the longest of what the gauges count,
--       microseconds  7.. the gauges (gauges.lua)
--       then for each attempt: id, input tokens, most output tokens, its need of each gauge
-- Returns {granted, wait in milliseconds, what binds, and the learned factors of input and of
-- output, in thousandths}; granted -1: the sentinel is absent.
local TRIAL, LATE = 5000000, 30000000
local alive_since = tonumber(redis.call('GET', KEYS[4]))
if not alive_since then return {-1, 0, 'memory_lost', 0, 0} end

local concurrency, fleet, slot_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local meter = redis.call('HMGET', KEYS[1], 'at', 'blocked_until', 'cut', 'cut_at')
local used_at = tonumber(meter[1]) or 0
local learned = redis.call('HMGET', KEYS[7], 'input', 'output', 'most', 'calls', 'lasts')
local lasts = tonumber(learned[5]) or 0
local gauges, first = gauges_of(8, 7, tonumber(learned[4]))
local elapsed = math.max(now - used_at, 0)
local per_mille = pace(tonumber(meter[3]), tonumber(meter[4]))
local presumed = false
local function presume_full(gauge)
    gauge.presume_full()
    presumed = true
end
for i, gauge in ipairs(gauges) do
    local counted = tonumber(ARGV[6 + (i - 1) * FIELDS + 5])
    if not gauge.known() then
        local forgotten = now - alive_since < counted or elapsed < counted
        if gauge.has_memory() or forgotten then presume_full(gauge) else gauge.start_anew() end
    elseif ARGV[4] == 'doubt' and gauge.presume_full then
        presume_full(gauge)
    end
    gauge.refill(elapsed, per_mille)
end

-- After an outage messages come late, and their calls with them: what was granted a moment before
-- it counts from now on.
if presumed then
    local open = redis.call('HVALS', KEYS[5])
    for _, record in ipairs(open) do
        local at, _, _, taken = cmsgpack.unpack(record)
        for _, gauge in ipairs(gauges) do
            if now - at < LATE and taken[gauge.name] then gauge.take(taken[gauge.name], 0) end
        end
    end
end

local now_ms = math.floor(now / THOUSAND)
local expired = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_ms)
if #expired > 0 then
    in_parts('ZREM', KEYS[2], expired)
    in_parts('HDEL', KEYS[5], expired)
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now_ms)
local free, free_name = fleet - redis.call('ZCARD', KEYS[3]), 'workers'
if concurrency > 0 then
    local left = concurrency - redis.call('ZCARD', KEYS[2])
    if left < free then free, free_name = left, 'concurrency' end
end

-- An open breaker lets nobody pass, and one that may close again one attempt at a time.
local breaker = redis.call('HMGET', KEYS[6], 'open_until', 'probe_until')
local probing = breaker[1] and true or false
local shut = math.max(tonumber(breaker[1]) or 0, tonumber(breaker[2]) or 0)
local blocked_until = tonumber(meter[2]) or 0
-- After a refusal one attempt finds out whether others would be refused, too; the rest need not.
local refusal = redis.call('HMGET', KEYS[7], 'refused', 'trying_until')
local trying = refusal[1] and true or false
local tried_until = trying and tonumber(refusal[2]) or 0

local granted, wait, binding = 0, 0, ''
local expiry = whole(now_ms + slot_ms)
local slots, records = {}, {}
local stride = 3 + #gauges
for i = first, #ARGV, stride do
    wait, binding = 0, ''
    if blocked_until > now then wait, binding = blocked_until - now, 'blocked' end
    if tried_until - now > wait then wait, binding = tried_until - now, 'blocked' end
    if shut - now > wait then wait, binding = shut - now, 'breaker' end
    local needs = {}
    for j, gauge in ipairs(gauges) do
        needs[j] = gauge.clip(tonumber(ARGV[i + 2 + j]))
        local micros = gauge.wait(needs[j])
        if micros > wait then wait, binding = micros, gauge.name end
    end
    if wait > 0 then break end
    if free <= 0 then binding = free_name end
    if free <= 0 or ARGV[4] == 'look' then break end
    local taken, stood = {}, {}
    for j, gauge in ipairs(gauges) do
        gauge.take(needs[j], lasts)
        taken[gauge.name], stood[gauge.name] = needs[j], gauge.stands()
    end
    free, granted = free - 1, granted + 1
    slots[2 * granted - 1], slots[2 * granted] = expiry, ARGV[i]
    records[2 * granted - 1] = ARGV[i]
    records[2 * granted] = cmsgpack.pack(now, ARGV[i + 1], ARGV[i + 2], taken, stood, lasts)
    if trying then
        tried_until = now + TRIAL
        redis.call('HSET', KEYS[7], 'trying_until', whole(tried_until))
    end
    if probing then
        shut = now + tonumber(ARGV[5])
        redis.call('HSET', KEYS[6], 'probe', ARGV[i], 'probe_until', whole(shut))
    end
end

in_parts('ZADD', KEYS[2], slots)
in_parts('ZADD', KEYS[3], slots)
in_parts('HSET', KEYS[5], records)
local lifetime = kept(tonumber(ARGV[6]))
redis.call('HSET', KEYS[1], 'at', whole(now))
redis.call('PEXPIRE', KEYS[1], lifetime)
if granted > 0 then redis.call('PEXPIRE', KEYS[5], lifetime) end
for _, gauge in ipairs(gauges) do gauge.save(lifetime) end
local input = tonumber(learned[1]) or 1
local output = learned[3] and tonumber(learned[2]) / tonumber(learned[3]) or 1
return {granted, math.ceil(wait / THOUSAND), binding,
        math.ceil(input * THOUSAND), math.ceil(output * THOUSAND)}
