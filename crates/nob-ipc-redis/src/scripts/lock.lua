-- Takes a lock, if nobody has it or its owner's lease is over.
-- KEYS: data, line, end of this token   ARGV: again, waiter or '', mode, token, lease in ms
-- -> OK fence died | EMPTY ms until the owner's lease ends, 0 if this token is over | STALE
-- The token is new for each acquisition, so one that has run before finds itself the owner.
local M, W, T = KEYS[1], KEYS[2], KEYS[3]
local again, waiter, mode, token, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local meta = redis.call('HMGET', M, 'kind', 'owner', 'until', 'fence', 'died', 'orphan')
if not meta[1] then return {'STALE'} end
local owner, died = meta[2] or '', meta[5] or '0'
if owner == token then
  seal(T, again)
  return {'OK', meta[4], died}
end
if redis.call('EXISTS', T) == 1 then return {'EMPTY', 0} end
local now, t = clock()
if owner ~= '' then
  local left = tonumber(meta[3]) - now
  if left > 0 then
    stand(W, M, waiter, mode, meta[6])
    seal(T, again)
    return {'EMPTY', left}
  end
  died = '1'
end
-- The clock keeps it growing also across a failover that has lost the last holds, where a counter would repeat itself.
local fence = whole(math.max(tonumber(meta[4] or '0') + 1, t[1] * 1000000 + t[2]))
redis.call('HSET', M, 'owner', token, 'until', whole(now + lease), 'fence', fence, 'died', died)
if meta[6] then redis.call('PEXPIRE', M, IDLE) end
seal(T, again)
if waiter ~= '' then redis.call('ZREM', W, waiter) end
return {'OK', fence, died}
