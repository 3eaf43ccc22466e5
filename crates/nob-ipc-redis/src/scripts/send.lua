-- Sends as many of the messages as there is room for.
-- KEYS: data, messages, line of receivers, line of senders, slot
-- ARGV: again, request, waiter or '', mode, count, then for each message: score, body
-- -> OK how many | FULL | STALE
local M, Z, W, S, D = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local again, request, waiter, mode, count = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local meta = redis.call('HMGET', M, 'max', 'orphan')
if not meta[1] then return {'STALE'} end
local before = answered(D, request)
if before then return before end
local room = tonumber(meta[1]) - redis.call('ZCARD', Z)
if room <= 0 then
  stand(S, M, waiter, mode, meta[2])
  if meta[2] then redis.call('PEXPIRE', Z, IDLE) end
  return nothing(D, request, again, {'FULL'})
end
local take = math.min(room, count)
local last = redis.call('HINCRBY', M, 'seq', take) - take
local add = {}
for i = 1, take do
  add[2 * i - 1] = ARGV[4 + 2 * i]
  add[2 * i] = string.format('%014x', last + i) .. ARGV[5 + 2 * i]
end
redis.call('ZADD', Z, unpack(add))
if meta[2] then
  redis.call('PEXPIRE', M, IDLE)
  redis.call('PEXPIRE', Z, IDLE)
end
local answer = note(D, request, {'OK', take})
-- Most often nobody stands in line, and one look says so.
if redis.call('EXISTS', W, S) > 0 then
  local receivers, senders = {}, {}
  wake(M, W, take, receivers)
  if room > take then hand_on(M, S, waiter, senders) end
  if waiter ~= '' then senders[#senders + 1] = waiter end
  remove(W, receivers)
  remove(S, senders)
end
return answer
