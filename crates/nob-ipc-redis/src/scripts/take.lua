-- Takes a permit of a bounded semaphore. The set has a token for each permit, with the end of its lease.
-- KEYS: data, permits, line, end of this token   ARGV: again, waiter or '', mode, token, lease in ms
-- -> OK | EMPTY ms until the first lease ends, 0 if this token is over | STALE
local M, Z, W, T = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local again, waiter, mode, token, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local meta = redis.call('HMGET', M, 'bound', 'orphan')
if not meta[1] then return {'STALE'} end
local now = clock()
local score = redis.call('ZSCORE', Z, token)
if score and tonumber(score) > now then -- it has run before
  seal(T, again)
  return {'OK'}
end
if redis.call('EXISTS', T) == 1 then return {'EMPTY', 0} end
local living = redis.call('ZCOUNT', Z, '(' .. whole(now), '+inf')
local bound = tonumber(meta[1])
if living >= bound then
  local first = redis.call('ZRANGE', Z, '(' .. whole(now), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  stand(W, M, waiter, mode, meta[2])
  if meta[2] then redis.call('PEXPIRE', Z, IDLE) end
  seal(T, again)
  return {'EMPTY', tonumber(first[2]) - now}
end
seal(T, again)
-- In this order: the set is never empty in between.
redis.call('ZADD', Z, whole(now + lease), token)
redis.call('ZREMRANGEBYSCORE', Z, '-inf', whole(now))
if meta[2] then
  redis.call('PEXPIRE', M, IDLE)
  redis.call('PEXPIRE', Z, IDLE)
end
local gone = {}
if living + 1 < bound then hand_on(M, W, waiter, gone) end
if waiter ~= '' then gone[#gone + 1] = waiter end
remove(W, gone)
return {'OK'}
