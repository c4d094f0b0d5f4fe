-- One request of a caller: taken from each of its buckets, or from none.
--
-- KEYS  a bucket each: the moment at which it is full again, microseconds
-- ARGV  its requests a minute each; a bucket holds as many
--
-- Returns {1 or 0 for taken, then of the bucket with the least left: its requests a minute, the
-- requests left, microseconds until it is full; microseconds until there is one in each}.
local MINUTE = 60000000
local ROUNDING = 1

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local taken, wait = 1, 0
local full_at = {}
for i, key in ipairs(KEYS) do
  full_at[i] = math.max(tonumber(redis.call('GET', key) or 0), now)
  local over = full_at[i] + MINUTE / ARGV[i] - now - MINUTE
  if over > ROUNDING then
    taken, wait = 0, math.max(wait, over)
  end
end

local limit, least, reset
for i, key in ipairs(KEYS) do
  local each = MINUTE / ARGV[i]
  if taken == 1 then
    full_at[i] = full_at[i] + each
    local milliseconds = math.ceil((full_at[i] - now) / 1000)
    redis.call('SET', key, string.format('%.0f', full_at[i]), 'PX', milliseconds)
  end
  local left = math.max(math.floor((MINUTE - full_at[i] + now + ROUNDING) / each), 0)
  if not least or left < least then
    limit, least, reset = tonumber(ARGV[i]), left, full_at[i] - now
  end
end
return {taken, limit, least, math.ceil(reset), math.ceil(wait)}
