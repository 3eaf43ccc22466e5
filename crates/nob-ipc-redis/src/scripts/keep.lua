-- Renews the leases of all permits of a handle.
-- KEYS: data, permits   ARGV: lease in ms, tokens..
-- -> OK, then for each token 1 if it is there | STALE
local M, Z = KEYS[1], KEYS[2]
local meta = redis.call('HMGET', M, 'bound', 'orphan')
if not meta[1] then return {'STALE'} end
local till = whole(clock() + tonumber(ARGV[1]))
local answer = {'OK'}
for i = 2, #ARGV do
  local there = redis.call('ZSCORE', Z, ARGV[i])
  if there then redis.call('ZADD', Z, till, ARGV[i]) end
  answer[i] = there and 1 or 0
end
if meta[2] then
  redis.call('PEXPIRE', M, IDLE)
  redis.call('PEXPIRE', Z, IDLE)
end
return answer
