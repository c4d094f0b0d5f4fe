-- Give back permits whose requests never reached the provider.
--
-- KEYS  1 meter (hash)  2 log of the window (hash)  3 slots of the deployment (zset)
--       4 slots of the queue (zset)
-- ARGV  1 requests per window  2 tokens per window  3 window, microseconds
--       4 slices of the window's log  5 slot expiry, milliseconds  6.. pairs: attempt id, tokens
-- A level above its capacity is cut at the next grant.
local limits = {requests = tonumber(ARGV[1]), tokens = tonumber(ARGV[2])}
local window, slices, lifetime = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local log = redis.call('HMGET', KEYS[2], 'slice', 'width')
local seen, width = tonumber(log[1]), tonumber(log[2])

local function whole(number) return string.format('%.0f', number) end

local function give(name, amount, slice)
    redis.call('HINCRBY', KEYS[1], name, whole(amount * window))
    -- Out of the slice that it was taken in: out of another it would be missing there later.
    if slice >= seen - slices then
        redis.call('HINCRBY', KEYS[2], name .. whole(slice), whole(-amount))
        redis.call('HINCRBY', KEYS[2], name, whole(-amount))
    end
end

for i = 6, #ARGV, 2 do
    -- A permit that was never used was never renewed: its expiry tells when it was taken.
    local expiry = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[i]) or nil)
    redis.call('ZREM', KEYS[3], ARGV[i])
    redis.call('ZREM', KEYS[4], ARGV[i])
    if expiry and seen then
        local slice = math.floor((expiry - lifetime) * 1000 / width)
        local tokens = tonumber(ARGV[i + 1])
        if limits.tokens > 0 then tokens = math.min(tokens, limits.tokens) end
        give('requests', 1, slice)
        give('tokens', tokens, slice)
    end
end
return #ARGV
