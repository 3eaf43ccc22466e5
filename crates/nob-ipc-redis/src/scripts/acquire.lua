-- Takes a permit of a semaphore.
-- KEYS: data, line, slot   ARGV: again, request, waiter or '', mode
-- -> OK | EMPTY | STALE
local M, W, D = KEYS[1], KEYS[2], KEYS[3]
local again, request, waiter, mode = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local meta = redis.call('HMGET', M, 'val', 'orphan')
if not meta[1] then return {'STALE'} end
local before = answered(D, request)
if before then return before end
local value = tonumber(meta[1])
if value <= 0 then
  stand(W, M, waiter, mode, meta[2])
  return nothing(D, request, again, {'EMPTY'})
end
redis.call('HINCRBY', M, 'val', -1)
if meta[2] then redis.call('PEXPIRE', M, IDLE) end
local answer = note(D, request, {'OK'})
local gone = {}
if value > 1 then hand_on(M, W, waiter, gone) end
if waiter ~= '' then gone[#gone + 1] = waiter end
remove(W, gone)
return answer
