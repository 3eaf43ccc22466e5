-- Joined in front of every script but those that only look.
--
-- Rules that all scripts keep, because they must also run while their slot moves to another node:
--  * every key is in KEYS, and all are in one slot;
--  * a key that a script may have emptied is not touched again by it: it can have moved away. So what removes members
--    comes last on each key, and an expiry is only set on what is known to have members;
--  * loops are bounded.

local IDLE = 3600000    -- ms that an unlinked object lives after its last use
local MEMORY = 600000   -- ms that the answer to a request, and the end of an abandoned one, is remembered

-- Wakes the first `n` in line who have a connection. Those on the way who have none are dead. Whoever was looked at is
-- put into `gone`, for the caller to remove in its last step. `skip` is the caller itself.
local function wake(base, line, n, skip, gone)
  local at = 0
  while n > 0 do
    local page = redis.call('ZRANGE', line, at, at + 15)
    for _, waiter in ipairs(page) do
      if n <= 0 then break end
      if waiter ~= skip then
        local client, number = string.match(waiter, '^([^:]+):(.*)$')
        gone[#gone + 1] = waiter
        if redis.call('SPUBLISH', base .. ':c:' .. client, number) > 0 then n = n - 1 end
      end
    end
    if #page < 16 or at > 4000 then break end
    at = at + 16
  end
end

local function remove(line, gone)
  if #gone > 0 then redis.call('ZREM', line, unpack(gone)) end
end

-- The answer to this request if it has run before. An answer to a later one of the same slot means that this is an old
-- copy, to which nobody listens.
local function answered(slot, request)
  local last = redis.call('GET', slot)
  if not last then return nil end
  local colon = string.find(last, ':', 1, true)
  local number = tonumber(string.sub(last, 1, colon - 1))
  if number < request then return nil end
  if number > request then return {'OLD'} end
  return cmsgpack.unpack(string.sub(last, colon + 1))
end

-- Remembers the answer to a request. Numbers of requests stay below 10^14: Lua writes larger ones with an exponent.
local function note(slot, request, answer)
  redis.call('SET', slot, request .. ':' .. cmsgpack.pack(answer), 'PX', MEMORY)
  return answer
end

-- The answer of a request that has done nothing. If another copy of it may be under way (`again`), the answer is
-- remembered as any other, and the copy does nothing either: its caller has gone on.
local function nothing(slot, request, again, answer)
  if again == '1' then note(slot, request, answer) end
  return answer
end

-- The same for a request that has a token or generation of its own: none after this one takes or makes anything by it.
local function seal(tomb, again)
  if again == '1' then redis.call('SET', tomb, '1', 'PX', MEMORY) end
end

-- Stands in line (mode 'w'), or leaves it (any other). Who stands in front and has no connection leaves as well. Who
-- finds nothing uses the object as well.
local function stand(line, base, waiter, mode, orphan)
  if orphan then redis.call('PEXPIRE', base, IDLE) end
  if waiter == '' then return end
  if mode ~= 'w' then
    redis.call('ZREM', line, waiter)
    return
  end
  local head = redis.call('ZRANGE', line, 0, 0)[1]
  if not redis.call('ZSCORE', line, waiter) then
    redis.call('ZADD', line, redis.call('HINCRBY', base, 't', 1), waiter)
  end
  if orphan then redis.call('PEXPIRE', line, IDLE) end
  if head and head ~= waiter then
    if redis.call('SPUBLISH', base .. ':c:' .. string.match(head, '^[^:]+'), '') == 0 then
      redis.call('ZREM', line, head)
    end
  end
end

-- The server's clock in ms. It is the wall clock: there is no other here.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000), t
end

local function whole(number)
  return string.format('%.0f', number)
end

