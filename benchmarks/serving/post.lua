-- wrk script: POST one body again and again; arguments after "--": FILE CONTENT-TYPE [JSON-BYTES].
-- Ends with one line "RESULT {...}" of exact counts and latencies in microseconds.
local request_bytes

function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   file:close()
   wrk.headers["Content-Type"] = args[2]
   if args[3] then
      wrk.headers["Inference-Header-Content-Length"] = args[3]
   end
   request_bytes = wrk.format()
end

function request()
   return request_bytes
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      'RESULT {"requests":%d,"duration_us":%d,"p50_us":%.1f,"p99_us":%.1f,"max_us":%.1f,' ..
      '"not_2xx":%d,"broken":%d,"timeouts":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
      e.status, e.connect + e.read + e.write, e.timeout))
end
