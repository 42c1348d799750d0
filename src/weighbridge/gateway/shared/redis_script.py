"""The one script that Redis or Valkey runs: all draws of an exchange in one round trip.

The server's own clock refills rates and ends holds, so that replicas' clocks do not matter. Numbers
are doubles: amounts of money are whole 10^-9 dollars, exact up to nine million dollars.

Arguments: process, seconds that a hold lasts, thresholds (a comma between), then ten for each key:
kind, capacity, rate, want, least, give, keep, spent, floor, seconds to keep the count.
"""

SCRIPT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local me, hold_s = ARGV[1], tonumber(ARGV[2])
local fracs = {}
for frac in string.gmatch(ARGV[3], '[^,]+') do fracs[#fracs + 1] = tonumber(frac) end

local function text(number) return string.format('%.17g', number) end

local function grant(want, least, free)
  if free < least then return 0 end
  return math.max(math.min(want, free), 0)
end

local function rate(key, capacity, per_s, want, least, give)
  local kept = redis.call('HMGET', key, 'level', 'stamp')
  local level, stamp = tonumber(kept[1]) or capacity, tonumber(kept[2]) or now
  if now > stamp then level = level + (now - stamp) * per_s end
  level = math.min(level + give, capacity)
  local granted = grant(want, least, math.floor(level))
  level = level - granted
  redis.call('HSET', key, 'level', text(level), 'stamp', text(math.max(now, stamp)))
  redis.call('EXPIRE', key, math.ceil((capacity - level) / per_s) + 60)
  return {text(granted), text(level), '0', '0', 0, 0}
end

local function holds(key)
  local held, kept = 0, redis.call('HGETALL', key)
  for i = 1, #kept, 2 do
    if string.sub(kept[i], 1, 2) == 'h:' and kept[i] ~= 'h:' .. me then
      local amount, ends = string.match(kept[i + 1], '^(%S+) (%S+)$')
      if tonumber(ends) > now then
        held = held + tonumber(amount)
      else
        redis.call('HDEL', key, kept[i])
      end
    end
  end
  return held
end

local function pool(key, capacity, want, least, keep, spent, floor, ttl_s, has_money)
  local total, from, to = 0, 0, 0
  if has_money then
    local kept = redis.call('HMGET', key, 'total', 's:' .. me, 'told')
    total = (tonumber(kept[1]) or 0) + spent - (tonumber(kept[2]) or 0)
    if total < floor then total = floor end
    from = tonumber(kept[3]) or 0
    to = from
    for i = 1, #fracs do
      if total >= math.max(fracs[i] * capacity, 1) then to = math.max(to, i) end
    end
    redis.call('HSET', key, 'total', text(total), 's:' .. me, text(spent), 'told', to)
  end
  local held = holds(key) + keep
  local granted = grant(want, least, capacity - total - held)
  if keep + granted > 0 then
    redis.call('HSET', key, 'h:' .. me, text(keep + granted) .. ' ' .. text(now + hold_s))
  else
    redis.call('HDEL', key, 'h:' .. me)
  end
  redis.call('EXPIRE', key, math.ceil(ttl_s))
  local free = capacity - total - held - granted
  return {text(granted), text(free), text(total), text(held + granted), from, to}
end

local answers = {text(now)}
for i, key in ipairs(KEYS) do
  local a = {}
  for j = 1, 10 do a[j] = tonumber(ARGV[3 + (i - 1) * 10 + j]) end
  if a[1] == 0 then
    answers[i + 1] = rate(key, a[2], a[3], a[4], a[5], a[6])
  else
    answers[i + 1] = pool(key, a[2], a[4], a[5], a[7], a[8], a[9], a[10], a[1] == 2)
  end
end
return answers
"""
