-- The provider asks to come up more slowly: halve the pace of this deployment for everybody.
--
-- KEYS  1 meter (hash)
local LEAST, ONE_WORD = 50, 10000000
local known = redis.call('HMGET', KEYS[1], 'cut', 'cut_at')
local cut_at = tonumber(known[2])
-- Refusals that come together are one word: their requests were on their way together.
if cut_at and now - cut_at < ONE_WORD then return 0 end
local cut = math.max(LEAST, math.floor(pace(tonumber(known[1]), cut_at) / 2))
redis.call('HSET', KEYS[1], 'cut', whole(cut), 'cut_at', whole(now))
return cut
