-- Takes up to `count` messages from the front.
-- KEYS: data, messages, line of receivers, line of senders, slot
-- ARGV: again, request, waiter or '', mode, count
-- -> OK member score .. | EMPTY | STALE
local M, Z, W, S, D = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local again, request, waiter, mode, count = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], tonumber(ARGV[5])
local meta = redis.call('HMGET', M, 'max', 'orphan')
if not meta[1] then return {'STALE'} end
local before = answered(D, request)
if before then return before end
-- Most often nobody stands in line, and one look says so.
local lines = redis.call('EXISTS', W, S) > 0
-- Where nobody waits, nobody asks how many are left.
local there = lines and redis.call('ZCARD', Z)
if meta[2] then redis.call('PEXPIRE', Z, IDLE) end
if not redis.acl_check_cmd('SET', D, '') then
  return redis.error_reply('NOPERM this user may not run SET: nothing was taken')
end
if lines and there > 0 then
  local receivers, senders = {}, {}
  if there > count then hand_on(M, W, waiter, receivers) end
  wake(M, S, math.min(there, count), senders)
  if waiter ~= '' then receivers[#receivers + 1] = waiter end
  remove(W, receivers)
  remove(S, senders)
end
if meta[2] then redis.call('PEXPIRE', M, IDLE) end
-- Last, since messages that were taken would be gone if something failed behind it.
local front = redis.call('ZPOPMIN', Z, count)
if #front == 0 then
  stand(W, M, waiter, mode, meta[2])
  return nothing(D, request, again, {'EMPTY'})
end
local answer = {'OK'}
for i = 1, #front do answer[i + 1] = front[i] end
return note(D, request, answer)
