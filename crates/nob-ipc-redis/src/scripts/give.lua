-- Gives permits of a bounded semaphore back.
-- KEYS: data, permits, line, slot, end of the first token   ARGV: request, how, tokens..
-- how: 'release'; 'undo': the one taking shall not have been, and a copy of it that is still under way does nothing.
-- -> OK how many of them were lost before | STALE
-- A token that is there counts, also one whose lease is over: nobody has taken a permit since.
local M, Z, W, D, T = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local request, how = tonumber(ARGV[1]), ARGV[2]
local meta = redis.call('HMGET', M, 'bound', 'orphan')
if not meta[1] then return {'STALE'} end
local before = answered(D, request)
if before then return before end
if how == 'undo' then redis.call('SET', T, '1', 'PX', MEMORY) end
local there = {}
for i = 3, #ARGV do
  if redis.call('ZSCORE', Z, ARGV[i]) then there[#there + 1] = ARGV[i] end
end
local answer = note(D, request, {'OK', #ARGV - 2 - #there})
if meta[2] then
  redis.call('PEXPIRE', M, IDLE)
  redis.call('PEXPIRE', Z, IDLE)
end
local gone = {}
wake(M, W, #there, gone)
remove(W, gone)
remove(Z, there)
return answer
