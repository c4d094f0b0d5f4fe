-- Let nobody call a deployment for a while; a shorter wait never ends a longer one.
--
-- KEYS  1 meter (hash)  2 what was learned (hash)
-- ARGV  1 the pause  2 the longest one, microseconds: refusals in a row, each after the last pause
--       and before any answer, double it up to there; 0 where the provider named the pause
local known = tonumber(redis.call('HGET', KEYS[1], 'blocked_until')) or 0
local pause, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
if now >= known then
    local refused = redis.call('HINCRBY', KEYS[2], 'refused', 1)
    redis.call('HDEL', KEYS[2], 'trying_until')
    redis.call('EXPIRE', KEYS[2], 604800)
    if longest > 0 then pause = math.min(pause * 2 ^ math.min(refused - 1, 30), longest) end
end
if now + pause > known then
    redis.call('HSET', KEYS[1], 'blocked_until', whole(now + pause))
end
return 1
