-- Let nobody call a deployment for a while; a shorter wait never ends a longer one.
--
-- KEYS  1 meter (hash)    ARGV  1 milliseconds
local clock = redis.call('TIME')
local untill = clock[1] * 1000000 + clock[2] + ARGV[1] * 1000
local known = tonumber(redis.call('HGET', KEYS[1], 'blocked_until')) or 0
if untill > known then
    redis.call('HSET', KEYS[1], 'blocked_until', string.format('%.0f', untill))
end
return 1
