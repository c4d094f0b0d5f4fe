-- A call that is sent later than its gauges forgive counts from now on, not from its grant: else
-- it would come together at the provider with those that were granted after it.
--
-- KEYS  1 what each open attempt took (hash)  2.. one per gauge (hash)
-- ARGV  1 id  2 how late a call may be, microseconds  3.. the gauges (gauges.lua)
-- Returns milliseconds until it may be sent and has to be asked for again; 0: it may be sent.
local gauges = gauges_of(2, 3)
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record then return 0 end
local at, input, output, taken, stood = cmsgpack.unpack(record)
if now - at <= tonumber(ARGV[2]) then return 0 end

-- As long as its grant is in the window it only moves within it. After that others have its place.
local wait = 0
for _, gauge in ipairs(gauges) do
    local need = taken[gauge.name]
    if need and gauge.known() then
        gauge.correct(at, -need)
        wait = math.max(wait, gauge.wait(need))
    end
end
for _, gauge in ipairs(gauges) do
    local need = taken[gauge.name]
    if need and gauge.known() then
        gauge.correct(wait > 0 and at or now, need)
        gauge.save()
    end
end
if wait == 0 then redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(now, input, output, taken, stood)) end
return math.ceil(wait / THOUSAND)
