-- Hear how calls ended, and open or close the deployment's breaker.
--
-- KEYS  1 breaker (hash): ok:N and failed:N of the last slices, N the slice's number; while open
--         open_until, opens (in a row), and of its probe the attempt and until when it is awaited
-- ARGV  1 calls that it takes  2 failed of them, thousandths  3 window  4 shortest and
--       5 longest pause, microseconds  6 jitter of the pause, thousandths
--       7.. pairs: attempt id, 'ok', 'failed' or 'nothing'
local PARTS = 10
local window = tonumber(ARGV[3])
local current = math.floor(now * PARTS / window)
local state = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do state[flat[i]] = flat[i + 1] end

local function open_again()
    local opens = (tonumber(state.opens) or 0) + 1
    local pause = math.min(tonumber(ARGV[4]) * 2 ^ math.min(opens - 1, 30), tonumber(ARGV[5]))
    state = {opens = opens, open_until = now + math.floor(pause * tonumber(ARGV[6]) / THOUSAND)}
end

local function count(outcome)
    local name = outcome .. ':' .. whole(current)
    state[name] = (tonumber(state[name]) or 0) + 1
end

local function hear_of_probe(outcome)
    if outcome == 'ok' then
        state = {}
    elseif outcome == 'failed' then
        open_again()
    else
        state.probe, state.probe_until = nil, nil
    end
end

-- The sums of the window; what is older is dropped.
local function too_many_failed()
    local sums = {ok = 0, failed = 0}
    for name, value in pairs(state) do
        local outcome, slice = string.match(name, '^(%a+):(%d+)$')
        if outcome and tonumber(slice) > current - PARTS then
            sums[outcome] = sums[outcome] + tonumber(value)
        elseif outcome then
            state[name] = nil
        end
    end
    local calls = sums.ok + sums.failed
    return calls >= tonumber(ARGV[1]) and sums.failed * THOUSAND >= calls * tonumber(ARGV[2])
end

local changed = false
for i = 7, #ARGV, 2 do
    local outcome = ARGV[i + 1]
    if state.open_until and ARGV[i] == state.probe then
        hear_of_probe(outcome)
        changed = true
    elseif not state.open_until and outcome ~= 'nothing' then
        count(outcome)
        changed = true
    end
end
if not changed then return 0 end
if not state.open_until and too_many_failed() then open_again() end

redis.call('DEL', KEYS[1])
local fields = {}
for name, value in pairs(state) do
    fields[#fields + 1] = name
    fields[#fields + 1] = type(value) == 'number' and whole(value) or value
end
if #fields > 0 then
    redis.call('HSET', KEYS[1], unpack(fields))
    local until_ = tonumber(state.open_until) or now
    redis.call('PEXPIRE', KEYS[1], whole((until_ - now + window) / THOUSAND + 600000))
end
return state.open_until and 1 or 0
