-- Settles a receive whose answer nobody waits for any more: what it took goes back to its old place. If it has not run,
-- it will not: a copy of it may still be in a socket's buffer.
-- KEYS: data, messages, line of receivers, line of senders, slot   ARGV: request
-- -> BACK how many | STALE
local M, Z, W, D = KEYS[1], KEYS[2], KEYS[3], KEYS[5]
local request = tonumber(ARGV[1])
local meta = redis.call('HMGET', M, 'max', 'orphan')
if not meta[1] then return {'STALE'} end
local before = answered(D, request)
if before and before[1] ~= 'OK' then return before end
if not before then return note(D, request, {'BACK', 0}) end
local add = {}
for i = 2, #before, 2 do
  add[#add + 1] = before[i + 1]
  add[#add + 1] = before[i]
end
local answer = note(D, request, {'BACK', #add / 2})
redis.call('ZADD', Z, unpack(add))
if meta[2] then redis.call('PEXPIRE', Z, IDLE) end
local gone = {}
wake(M, W, #add / 2, gone)
remove(W, gone)
return answer
