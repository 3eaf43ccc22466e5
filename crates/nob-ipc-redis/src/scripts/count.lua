-- How many messages or permits there are.
-- KEYS: data, messages
-- -> OK number | STALE
local meta = redis.call('HMGET', KEYS[1], 'kind', 'val')
if not meta[1] then return {'STALE'} end
if meta[2] then return {'OK', tonumber(meta[2])} end
return {'OK', redis.call('ZCARD', KEYS[2])}
