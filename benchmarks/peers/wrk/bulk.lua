-- A thousand digests a request, packed or as JSON. The bodies are made beforehand: making them is not what is measured.
local bodies, number = {}, 0

function init()
  where, key, kind = os.getenv("WHERE"), os.getenv("KEY"), os.getenv("KIND")
  local random = io.open("/dev/urandom", "rb")
  for i = 1, 64 do
    local packed = random:read(32000)
    if kind == "json" then
      local entries = {}
      for at = 0, 999 do
        local hex = packed:sub(at * 32 + 1, at * 32 + 32):gsub(".", function(c) return string.format("%02x", c:byte()) end)
        entries[#entries + 1] = '{"digest":"' .. hex .. '"}'
      end
      bodies[i] = '{"entries":[' .. table.concat(entries, ",") .. "]}"
    else
      bodies[i] = packed
    end
  end
  random:close()
end

function request()
  number = number % #bodies + 1
  return wrk.format("POST", where, {
    ["Content-Type"] = kind == "json" and "application/json" or "application/octet-stream",
    ["Authorization"] = "Bearer " .. key
  }, bodies[number])
end
