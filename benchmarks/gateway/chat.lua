-- wrk script: args are the file of headers ("Name: value" a line), the file of the body, and the
-- word "fresh" where each request shall carry text never sent before in place of "@@@@@@@@@@@@".
local fresh_from, fresh_to, count, salt = nil, nil, 0, 0

function init(args)
  wrk.method = "POST"
  for line in io.lines(args[1]) do
    local name, value = line:match("^([^:]+): (.*)$")
    if name then wrk.headers[name] = value end
  end
  local file = io.open(args[2], "rb")
  wrk.body = file:read("*a")
  file:close()
  whole = wrk.format(nil, wrk.path)
  if args[3] == "fresh" then
    salt = os.time() % 1000000
    fresh_from, fresh_to = whole:find("@@@@@@@@@@@@", 1, true)
  end
end

function request()
  if not fresh_from then return whole end
  count = count + 1
  local text = string.format("%06d%06d", salt, count % 1000000)
  return whole:sub(1, fresh_from - 1) .. text .. whole:sub(fresh_to + 1)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"n_requests": %d, "wall_s": %.6f, "n_errors": %d, "p50_ms": %.4f, "p99_ms": %.4f}\n',
    summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
