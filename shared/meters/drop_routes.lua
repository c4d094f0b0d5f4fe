-- Stop holding these routes, unless somebody else holds them by now.
--
-- ARGV  1 holder    KEYS  one per route
for _, key in ipairs(KEYS) do
    if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
return #KEYS
