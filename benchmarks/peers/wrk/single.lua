-- One distinct digest a request: to our own service as JSON with a key, to Tessera as the body.
local counter = 0

function init()
  where, key = os.getenv("WHERE"), os.getenv("KEY")
  local random = io.open("/dev/urandom", "rb")
  salt = random:read(8):gsub(".", function(c) return string.format("%02x", c:byte()) end)
  random:close()
end

function request()
  counter = counter + 1
  local digest = string.format("%s%048x", salt, counter)
  if key then
    return wrk.format("POST", where, {
      ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. key
    }, '{"entries":[{"digest":"' .. digest .. '"}]}')
  end
  return wrk.format("POST", where, nil, digest:sub(33))
end
