-- Gives permits to a semaphore.
-- KEYS: data, line, slot   ARGV: again, request, how many
-- -> OK | OVERFLOW | STALE
local M, W, D = KEYS[1], KEYS[2], KEYS[3]
local again, request, n = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local meta = redis.call('HMGET', M, 'val', 'orphan')
if not meta[1] then return {'STALE'} end
local before = answered(D, request)
if before then return before end
if tonumber(meta[1]) + n > 2147483647 then return nothing(D, request, again, {'OVERFLOW'}) end
redis.call('HINCRBY', M, 'val', n)
if meta[2] then redis.call('PEXPIRE', M, IDLE) end
local answer = note(D, request, {'OK'})
local gone = {}
wake(M, W, n, gone)
remove(W, gone)
return answer
