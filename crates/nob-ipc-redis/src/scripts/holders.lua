-- Who has permits of a bounded semaphore.
-- KEYS: data, permits
-- -> OK tokens.. | STALE
if redis.call('EXISTS', KEYS[1]) == 0 then return {'STALE'} end
local t = redis.call('TIME')
local now = string.format('(%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
return {'OK', unpack(redis.call('ZRANGE', KEYS[2], now, '+inf', 'BYSCORE', 'LIMIT', 0, 4096))}
