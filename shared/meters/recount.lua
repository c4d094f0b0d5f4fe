-- A call that is sent later than its gauges forgive counts from now on, not from its grant: else
-- it would come together at the provider with those that were granted after it.
--
-- KEYS  1 what each open attempt took (hash)  2.. one per gauge (hash)
-- ARGV  1 id  2 how late a call may be, microseconds  3 the longest of what the gauges count,
--       microseconds  4 input tokens  5 most output tokens  6.. the gauges (gauges.lua)
--       then its need of each gauge, for a Redis that forgot what it took
-- Returns milliseconds until it may be sent and has to be asked for again; 0: it may be sent.
local record = redis.call('HGET', KEYS[1], ARGV[1])
local at, input, output, taken, stood, lasts = 0, ARGV[4], ARGV[5], {}, {}, 0
if record then
    at, input, output, taken, stood, lasts = cmsgpack.unpack(record)
    lasts = lasts or 0
    if now - at <= tonumber(ARGV[2]) then return 0 end
end
-- Who opens the gauges has to save them: what has left a window is dropped.
local gauges, first = gauges_of(2, 6)

-- Each permit counts longer than the window by the jitter that the margin forgives. This one has
-- used up its part of that already, so it is put down as if it had been granted that much earlier.
-- As long as its grant is in the window it only moves within it; after that others have its place.
local stamp = now - tonumber(ARGV[2])
local wait, needs, lifetime = 0, {}, kept(tonumber(ARGV[3]))
for i, gauge in ipairs(gauges) do
    if not gauge.known() then gauge.presume_full() end
    needs[i] = taken[gauge.name] or gauge.clip(tonumber(ARGV[first + i - 1]))
    if taken[gauge.name] then gauge.correct(gauge.moment(at, lasts), -needs[i]) end
    wait = math.max(wait, gauge.wait(needs[i]))
end
for i, gauge in ipairs(gauges) do
    if wait == 0 then
        gauge.correct(gauge.moment(stamp, lasts), needs[i])
        taken[gauge.name], stood[gauge.name] = needs[i], gauge.stands()
    elseif taken[gauge.name] then
        gauge.correct(gauge.moment(at, lasts), needs[i])
    end
    gauge.save(lifetime)
end
if wait == 0 then
    redis.call('HSET', KEYS[1], ARGV[1],
               cmsgpack.pack(stamp, input, output, taken, stood, lasts))
    redis.call('PEXPIRE', KEYS[1], lifetime)
end
return math.ceil(wait / THOUSAND)
