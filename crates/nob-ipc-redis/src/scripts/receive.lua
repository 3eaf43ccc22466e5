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
local there = redis.call('ZCARD', Z)
if there == 0 then
  stand(W, M, waiter, mode, meta[2])
  return nothing(D, request, again, {'EMPTY'})
end
local front = redis.call('ZRANGE', Z, 0, count - 1, 'WITHSCORES')
local take = #front / 2
local answer, members = {'OK'}, {}
for i = 1, #front do answer[i + 1] = front[i] end
for i = 1, take do members[i] = front[2 * i - 1] end
note(D, request, answer)
if meta[2] then
  redis.call('PEXPIRE', M, IDLE)
  redis.call('PEXPIRE', Z, IDLE)
end
redis.call('ZREM', Z, unpack(members))
local receivers, senders = {}, {}
if there > take then hand_on(M, W, waiter, receivers) end
wake(M, S, take, senders)
if waiter ~= '' then receivers[#receivers + 1] = waiter end
remove(W, receivers)
remove(S, senders)
return answer
