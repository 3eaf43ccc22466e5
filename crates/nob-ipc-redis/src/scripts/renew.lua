-- Renews the lease of a lock. One that is over counts as long as nobody else has taken the lock.
-- KEYS: data   ARGV: token, lease in ms
-- -> OK | LOST | STALE
local meta = redis.call('HMGET', KEYS[1], 'kind', 'owner', 'orphan')
if not meta[1] then return {'STALE'} end
if meta[2] ~= ARGV[1] then return {'LOST'} end
redis.call('HSET', KEYS[1], 'until', whole(clock() + tonumber(ARGV[2])))
if meta[3] then redis.call('PEXPIRE', KEYS[1], IDLE) end
return {'OK'}
