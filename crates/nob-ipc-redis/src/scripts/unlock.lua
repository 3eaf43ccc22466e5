-- Gives a lock up.
-- KEYS: data, line, slot, end of this token   ARGV: request, token, how
-- how: 'release'; 'abandon': the next owner is told; 'undo': the acquisition shall not have been, and a copy of it that
-- is still under way does nothing.
-- -> OK | LOST | STALE
local M, W, D, T = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local request, token, how = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local meta = redis.call('HMGET', M, 'kind', 'owner', 'orphan')
if not meta[1] then return {'STALE'} end
local before = answered(D, request)
if before then return before end
if how == 'undo' then redis.call('SET', T, '1', 'PX', MEMORY) end
if meta[2] ~= token then
  return note(D, request, {how == 'undo' and 'OK' or 'LOST'})
end
redis.call('HSET', M, 'owner', '', 'until', '0')
if how == 'abandon' then redis.call('HSET', M, 'died', '1') end
if meta[3] then redis.call('PEXPIRE', M, IDLE) end
local answer = note(D, request, {'OK'})
local gone = {}
wake(M, W, 1, gone)
remove(W, gone)
return answer
