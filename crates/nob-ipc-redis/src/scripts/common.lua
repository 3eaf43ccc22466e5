-- Joined in front of every script but those that only look.
--
-- Rules that all scripts keep, because they must also run while their slot moves to another node:
--  * every key is in KEYS, and all are in one slot;
--  * a key that a script may have emptied is not touched again by it: it can have moved away. So what removes members
--    comes last on each key, and an expiry is only set on what is known to have members;
--  * loops are bounded.

local IDLE = 3600000    -- ms that an unlinked object lives after its last use
local MEMORY = 600000   -- ms that the answer to a request, and the end of an abandoned one, is remembered

-- A line is a sorted set; the score is the place. Who was woken stays in it until it comes, with its place less this as
-- the score: in front of the others, who are above 0.
local WOKEN = 4503599627370496 -- 2^52

-- Goes through a line from this score on, until it has come to `n` who have a connection, and wakes those who have not
-- been woken. Whoever has none is dead, and put into `gone`, for the caller to remove in its last step. `skip` is the
-- caller itself, or '': nobody in line. Who was woken, stands in front of the caller and has not come is woken again: it
-- looks, or its client says that it is not there any more.
local function go_through(base, line, from, n, skip, gone)
  local at, size, seen, behind = 0, math.min(n + 1, 16), 0, skip ~= ''
  while n > 0 and seen < 4000 do
    local page = redis.call('ZRANGE', line, from, '+inf', 'BYSCORE', 'LIMIT', at, size, 'WITHSCORES')
    for i = 1, #page, 2 do
      if n <= 0 then break end
      local waiter, score = page[i], tonumber(page[i + 1])
      local client, number = string.match(waiter, '^([^:]+):(.*)$')
      if waiter == skip then
        behind = false
        at = at + 1
      elseif redis.call('SPUBLISH', base .. ':c:' .. client, (score > 0 or behind) and number or '') == 0 then
        gone[#gone + 1] = waiter
        at = at + 1
      else
        if score > 0 then redis.call('ZADD', line, score - WOKEN, waiter) end
        n = n - 1
      end
    end
    if #page < 2 * size then break end
    seen = seen + size
    size = math.min(2 * size, 256)
  end
end

-- There is something for `n` more: wakes the first who have not been woken.
local function wake(base, line, n, gone)
  go_through(base, line, '(0', n, '', gone)
end

-- Something is left. Those that it was for are on their way, unless they have died: the first one in line comes, or is
-- woken. More would only overtake who was woken before.
local function hand_on(base, line, skip, gone)
  go_through(base, line, '-inf', 1, skip, gone)
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

-- Stands in line (mode 'w'), or leaves it (any other). Who was woken and has found nothing keeps its place. Who stands
-- in front and has no connection leaves as well. Who finds nothing uses the object as well.
local function stand(line, base, waiter, mode, orphan)
  if orphan then redis.call('PEXPIRE', base, IDLE) end
  if waiter == '' then return end
  if mode ~= 'w' then
    redis.call('ZREM', line, waiter)
    return
  end
  local head = redis.call('ZRANGE', line, 0, 0)[1]
  local score = redis.call('ZSCORE', line, waiter)
  if not score then
    redis.call('ZADD', line, redis.call('HINCRBY', base, 't', 1), waiter)
  elseif tonumber(score) < 0 then
    redis.call('ZADD', line, score + WOKEN, waiter)
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

