-- The owner says that what its dead predecessor left is whole again.
-- KEYS: data   ARGV: token
-- -> OK | LOST | STALE
local meta = redis.call('HMGET', KEYS[1], 'kind', 'owner')
if not meta[1] then return {'STALE'} end
if meta[2] ~= ARGV[1] then return {'LOST'} end
redis.call('HSET', KEYS[1], 'died', '0')
return {'OK'}
