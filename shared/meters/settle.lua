-- The calls of a deployment have ended: their slots are free, and what they took becomes what
-- they used, in the slice of the window where it was taken.
--
-- KEYS  1 slots of the deployment (zset)  2 slots of the queue (zset)
--       3 what each open attempt took (hash)  4 what was learned (hash)  5.. one per gauge (hash)
-- ARGV  1.. the gauges (gauges.lua)
--       then 1 if any of them got its answer, else 0
--       then the attempt whose answer told what the provider has left, '' for none, and for each
--       gauge how much, -1 where it did not say
--       then for each attempt: id, reported input, reported output, -1 where nobody said, and what
--       it used of each gauge, -1 where that stays as it was taken
local gauges, first = gauges_of(5, 1)
if ARGV[first] == '1' then redis.call('HDEL', KEYS[4], 'refused', 'trying_until') end
local told, left = ARGV[first + 1], first + 1
local stride = 3 + #gauges
first = first + 2 + #gauges

local ids = {}
for i = first, #ARGV, stride do ids[#ids + 1] = ARGV[i] end
local records = {}
for begin = 1, #ids, CHUNK do
    local part = {unpack(ids, begin, math.min(begin + CHUNK - 1, #ids))}
    for i, record in ipairs(redis.call('HMGET', KEYS[3], unpack(part))) do
        records[begin + i - 1] = record
    end
end
in_parts('ZREM', KEYS[1], ids)
in_parts('ZREM', KEYS[2], ids)
in_parts('HDEL', KEYS[3], ids)

-- The estimate of input leans to what is too much: it follows the few that are higher quickly.
-- Where it begins is a guess of ours: until one was higher, it is the mean of the guess and of all
-- that was reported.
-- What is written is summed against what might have been: sums are what a limit is about.
local UP, DOWN, LEAST, MOST, FADE, LOSS, STEP = 0.3, 0.01, 0.5, 3, 0.97, 3, 0.1
local known = redis.call('HMGET', KEYS[4], 'input', 'output', 'most', 'down', 'calls', 'lasts')
local factor, written, most = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
local down, calls = tonumber(known[4]) or factor and DOWN or 1, tonumber(known[5]) or 0
local lasts = tonumber(known[6])
local learned = false

local function learn_input(reported, estimated)
    if reported < 0 or estimated == 0 then return end
    local ratio, old = reported / estimated, factor or 1
    down = ratio > old and DOWN or math.max(DOWN, down / (1 + down))
    local step = ratio > old and UP or down
    factor, learned = math.max(LEAST, math.min(MOST, old + step * (ratio - old))), true
end

local function learn_output(reported, allowed)
    if reported < 0 or allowed == 0 then return end
    -- It begins as if some calls had written all that they might.
    written, most = written or LOSS * allowed, most or LOSS * allowed
    written, most = written * FADE + reported, most * FADE + allowed
    calls, learned = math.min(calls + 1, TAUGHT), true
end

-- From the grant to here.
local function learn_duration(duration)
    lasts, learned = lasts and lasts + STEP * (duration - lasts) or duration, true
end

for n, record in ipairs(records) do
    if record then
        local i = first + (n - 1) * stride
        local at, input, output, taken, stood, foreseen = cmsgpack.unpack(record)
        learn_input(tonumber(ARGV[i + 1]), tonumber(input))
        learn_output(tonumber(ARGV[i + 2]), tonumber(output))
        if tonumber(ARGV[i + 2]) >= 0 then learn_duration(now - at) end
        for j, gauge in ipairs(gauges) do
            local truth, need = tonumber(ARGV[i + 2 + j]), taken[gauge.name]
            if truth >= 0 and need and gauge.known() then
                -- Some providers count it when it is written, and that is now.
                gauge.correct(gauge.moment(at, foreseen or 0), -need)
                gauge.correct(gauge.late and now or at, truth)
            end
            local remaining = tonumber(ARGV[left + j])
            if ARGV[i] == told and remaining >= 0 and gauge.known() then
                gauge.observe(at, stood[gauge.name] or 0, remaining)
            end
        end
    end
end

for _, gauge in ipairs(gauges) do
    if gauge.known() then gauge.save() end
end
if learned then
    redis.call('HSET', KEYS[4], 'input', string.format('%.4f', factor or 1),
               'down', string.format('%.4f', down))
    if lasts then redis.call('HSET', KEYS[4], 'lasts', whole(lasts)) end
    if most then
        redis.call('HSET', KEYS[4], 'output', string.format('%.1f', written),
                   'most', string.format('%.1f', most), 'calls', calls)
    end
    redis.call('EXPIRE', KEYS[4], 604800)
end
return #ids
