-- The gauges of a meter, put before the scripts that take from them and correct them.
--
-- A gauge counts one limit (docs/decisions/0009, 0012). All kinds have the same verbs:
--   known()               whether its memory can be believed
--   wait(need)            microseconds until so much may go, as far as this limit goes
--   moment(at, lasts)     when what is taken at that time counts, for a call that will last so long
--   take(need, lasts)     count it
--   correct(moment, delta)  what counts then turned out to be so much more, or less
--   save(lifetime)        write it back; nothing is written before
-- In ARGV a gauge is FIELDS values: name, kind, limit, span, counted (both microseconds), and the
-- thousandths of the limit that may go at once after a rest. For a day span and counted are the
-- next midnight, and how far the clocks may be apart.
local THOUSAND, FIELDS, SLICES, DAY = 1000, 6, 500, 86400000000
local CHUNK = 1000
-- So many calls have to tell what they wrote until it is foreseen.
local TAUGHT = 30

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function whole(number) return string.format('%.0f', number) end

-- How long what is counted is kept, milliseconds; longest: of what the gauges count, microseconds.
local function kept(longest) return whole(math.ceil(2 * longest / THOUSAND) + 3600000) end

-- A call with any number of arguments: Lua unpacks only some thousands at once.
local function in_parts(command, key, arguments)
    for first = 1, #arguments, CHUNK do
        redis.call(command, key, unpack(arguments, first, math.min(first + CHUNK - 1, #arguments)))
    end
end

-- Thousandths of the limit at which the buckets refill: cut when a provider asked to go slower,
-- and back by a tenth of the limit a minute.
local function pace(cut, cut_at)
    if not cut then return THOUSAND end
    return math.min(THOUSAND, math.floor(cut + (now - cut_at) * 100 / 60000000))
end

-- A window that slides: the log counts what was admitted, in slices, and never lets a window have
-- more than the limit; the bucket, where there is one, only spreads it.
-- What counts when it is written is put down, as it is foreseen, for the moment at which its call
-- will probably end. The window then looks ahead to the latest arrival of a call that goes now:
-- what others will have written by then is in it.
local function sliding(key, spec, taught)
    local limit, window, counted = spec.limit, spec.span, spec.counted
    local width = math.max(math.ceil(counted / SLICES), 1)
    local late = spec.kind == 'written'
    local ends = late and now + counted - window or now
    local current = math.floor(ends / width)
    local head = redis.call('HMGET', key, 'level', 'used', 'slice', 'width')
    local level, used, seen = tonumber(head[1]), tonumber(head[2]) or 0, tonumber(head[3])
    local known = seen ~= nil and tonumber(head[4]) == width
    local changed = {}
    local gauge = {name = spec.name, late = late}
    local bucket = spec.kind == 'spread' or late
    -- What is foreseen at first is far too much, and comes back when the call ends: so many calls may
    -- be on their way in advance.
    local advance = late and not taught and 8 or 0

    -- The counts of these slices, as saved and as changed since, and what they are called.
    local function slices_of(first, last)
        local fields = {}
        for slice = first, last do fields[#fields + 1] = whole(slice) end
        local counts = #fields > 0 and redis.call('HMGET', key, unpack(fields)) or {}
        for i, count in ipairs(counts) do
            counts[i] = (tonumber(count) or 0) + (changed[first + i - 1] or 0)
        end
        return counts, fields
    end

    -- The sum of these slices; `drop`: they have left the window for good.
    local function sum(first, last, drop)
        local counts, fields = slices_of(first, last)
        local total = 0
        for _, count in ipairs(counts) do total = total + count end
        if drop and #fields > 0 then redis.call('HDEL', key, unpack(fields)) end
        return total
    end

    if known and current > seen then
        local oldest = current - SLICES
        used = used - sum(seen - SLICES, math.min(seen, oldest - 1), true)
        -- What was put down for later, at most a window ahead, comes in, or has come and gone.
        if late then
            sum(seen + 1, math.min(seen + SLICES, oldest - 1), true)
            used = used + sum(math.max(seen + 1, oldest), math.min(seen + SLICES, current))
        end
    end

    local function add(slice, amount)
        if slice < current - SLICES or amount == 0 then return end
        changed[slice] = (changed[slice] or 0) + amount
        if slice <= current then used = used + amount end
        if bucket then level = (level or 0) - amount * window end
    end

    function gauge.known() return known end

    -- Nobody knows what the last window had: take the quota for used up, evenly.
    function gauge.presume_full()
        redis.call('DEL', key)
        used, level, known = limit, 0, true
        for i = 1, SLICES do
            local part = math.floor(limit * i / SLICES) - math.floor(limit * (i - 1) / SLICES)
            if part > 0 then changed[current - SLICES + i] = part end
        end
    end

    function gauge.start_anew()
        redis.call('DEL', key)
        used, level, known = 0, nil, true
    end

    function gauge.has_memory() return seen ~= nil end

    -- A bucket holds a hundredth of the limit, in a short window what 0.5 s refill (a slow turn of
    -- the dispatcher on a busy machine), and what its provider lets go at once after a rest.
    -- Of what counts when it is written it holds a twentieth and refills a tenth faster: the log, which
    -- looks ahead, holds back again and again, and what was missed meanwhile is caught up. Much more
    -- of either, and full speed and standstill would take turns.
    -- Units: one permit is `window`, a microsecond refills `limit`. A request larger than the
    -- bucket passes when it is full, and leaves a debt.
    local capacity, refill = 0, limit
    function gauge.refill(elapsed, per_mille)
        local rest = late and 0.05 or math.min(math.max(0.01, 500000 / window), 0.5)
        local part = math.max(rest, spec.burst / THOUSAND)
        capacity = math.max(math.ceil(limit * part), 1) * window
        refill = limit * per_mille / THOUSAND * (late and 1.1 or 1)
        local more = math.floor(math.min(elapsed, window) * refill)
        level = math.min((level or capacity) + more, capacity)
    end

    local function bucket_wait(need)
        if not bucket then return 0 end
        local lacking = math.min(need * window, capacity) - level - advance * need * window
        return math.max(math.ceil(lacking / refill), 0)
    end

    -- What a call will write is no part of the window that it finds; half of it stands for what others
    -- write beyond what was foreseen of them.
    local function log_wait(need)
        local room = late and math.ceil(need / 2) or need
        local excess, slice = used + room - limit, current - SLICES
        if excess <= 0 then return 0 end
        while excess > 0 and slice <= current do
            for _, count in ipairs((slices_of(slice, math.min(slice + 49, current)))) do
                if excess > 0 then excess, slice = excess - count, slice + 1 end
            end
        end
        return (slice + SLICES) * width - ends
    end

    -- More than the whole limit passes at an untouched window.
    function gauge.clip(need) return math.min(need, limit) end

    function gauge.wait(need) return math.max(bucket_wait(need), log_wait(need)) end

    function gauge.moment(at, lasts) return late and at + math.min(lasts, window) or at end

    function gauge.correct(moment, delta) add(math.floor(moment / width), delta) end

    function gauge.take(need, lasts) gauge.correct(gauge.moment(now, lasts), need) end

    -- What it has had, for `observe`.
    function gauge.stands() return used end

    -- The provider counted more than we did: others use the same quota. Nobody knows whether it
    -- speaks of the request's time, when we stood at `stood`, or of now: only what is above both.
    function gauge.observe(at, stood, remaining)
        local slice = math.floor(at / width)
        local missing = limit - remaining - math.max(stood, used)
        if missing * 100 <= limit or slice < current - SLICES then return end
        changed[slice] = (changed[slice] or 0) + missing
        used = used + missing
    end

    function gauge.save(lifetime)
        redis.call('HSET', key, 'level', whole(level or 0), 'used', whole(used),
                   'slice', whole(current), 'width', whole(width))
        for slice, amount in pairs(changed) do
            redis.call('HINCRBY', key, whole(slice), whole(amount))
        end
        if lifetime then redis.call('PEXPIRE', key, lifetime) end
    end

    return gauge
end

-- A calendar day: a count, and when it starts again. What goes while the clocks may disagree
-- about the date counts for both days.
local function calendar(key, spec)
    local limit, slack = spec.limit, spec.counted
    local state = redis.call('HMGET', key, 'used', 'carry', 'since', 'until')
    local used, carry = tonumber(state[1]) or 0, tonumber(state[2]) or 0
    local since, midnight = tonumber(state[3]) or 0, tonumber(state[4])
    if not midnight or now >= midnight + slack then
        used = midnight and now < midnight + DAY / 2 and carry or 0
        since, carry, midnight = midnight or 0, 0, spec.span
        -- The caller's clock is behind: its next midnight has been.
        if now >= midnight + slack then midnight = midnight + DAY end
    end
    local gauge = {name = spec.name}

    local function add(at, amount)
        if at >= since - slack then used = used + amount end
        if at >= midnight - slack then carry = carry + amount end
    end

    function gauge.known() return true end
    function gauge.refill() end
    function gauge.observe() end
    function gauge.stands() return used end
    function gauge.clip(need) return need end
    function gauge.wait(need) return used + need > limit and midnight + slack - now or 0 end
    function gauge.take(need) add(now, need) end
    function gauge.moment(at) return at end
    gauge.correct = add

    function gauge.save()
        redis.call('HSET', key, 'used', whole(used), 'carry', whole(carry),
                   'since', whole(since), 'until', whole(midnight))
        redis.call('PEXPIREAT', key, whole((midnight + DAY) / THOUSAND))
    end

    return gauge
end

local KINDS = {spread = sliding, log = sliding, written = sliding, day = calendar}

-- The gauges that ARGV describes from `first` on, one for each key from `first_key` on; and where
-- ARGV goes on behind them. `calls`: how many told what they wrote.
local function gauges_of(first_key, first, calls)
    local gauges = {}
    for i = first_key, #KEYS do
        local spec = {
            name = ARGV[first], kind = ARGV[first + 1], limit = tonumber(ARGV[first + 2]),
            span = tonumber(ARGV[first + 3]), counted = tonumber(ARGV[first + 4]),
            burst = tonumber(ARGV[first + 5]),
        }
        gauges[#gauges + 1] = KINDS[spec.kind](KEYS[i], spec, (calls or 0) >= TAUGHT)
        first = first + FIELDS
    end
    return gauges, first
end
