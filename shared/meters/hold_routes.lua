-- Hold, or go on holding, as many of these routes as nobody else holds.
--
-- ARGV  1 holder  2 milliseconds    KEYS  one per route
-- Returns 1 or 0 for each.
local held = {}
for i, key in ipairs(KEYS) do
    local holder = redis.call('GET', key)
    if not holder or holder == ARGV[1] then
        redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
        held[i] = 1
    else
        held[i] = 0
    end
end
return held
