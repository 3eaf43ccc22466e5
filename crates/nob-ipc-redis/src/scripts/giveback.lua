-- Settles an acquisition of a semaphore whose answer nobody waits for any more, as putback.lua does for a receive.
-- KEYS: data, line, slot   ARGV: request
-- -> BACK how many | STALE
local M, W, D = KEYS[1], KEYS[2], KEYS[3]
local request = tonumber(ARGV[1])
if not redis.call('HGET', M, 'val') then return {'STALE'} end
local before = answered(D, request)
if before and before[1] ~= 'OK' then return before end
if not before then return note(D, request, {'BACK', 0}) end
redis.call('HINCRBY', M, 'val', 1)
local answer = note(D, request, {'BACK', 1})
local gone = {}
wake(M, W, 1, gone)
remove(W, gone)
return answer
