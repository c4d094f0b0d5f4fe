-- Give back permits whose requests never reached the provider.
--
-- KEYS  1 meter (hash)  2 slots of the deployment (zset)  3 slots of the queue (zset)
-- ARGV  1 window, microseconds  2.. pairs: attempt id, tokens
-- A level above its capacity is cut at the next grant.
local unit = tonumber(ARGV[1]) * 1000
local known = redis.call('EXISTS', KEYS[1])
for i = 2, #ARGV, 2 do
    local held = redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('ZREM', KEYS[3], ARGV[i])
    if held == 1 and known == 1 then
        redis.call('HINCRBY', KEYS[1], 'requests', string.format('%.0f', unit))
        redis.call('HINCRBY', KEYS[1], 'tokens', string.format('%.0f', ARGV[i + 1] * unit))
    end
end
return #ARGV
