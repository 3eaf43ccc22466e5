-- Removes the name. The object lives until nobody has used it for an hour.
-- KEYS: name, data, set, line, senders, end of its creation   ARGV: generation, token of this call, how
-- how: 'unlink'; 'undo': the creation shall not have been, and a copy of it that is still under way does nothing.
-- -> OK | ENOENT | OTHER
seal(KEYS[6], ARGV[3] == 'undo' and '1' or '0')
local generation = redis.call('HGET', KEYS[1], 'gen')
if generation ~= ARGV[1] then
  -- It may have run before.
  if redis.call('HGET', KEYS[2], 'by') == ARGV[2] then return {'OK'} end
  return {generation and 'OTHER' or 'ENOENT'}
end
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('HSET', KEYS[2], 'orphan', '1', 'by', ARGV[2])
end
for i = 2, 5 do redis.call('PEXPIRE', KEYS[i], IDLE) end
return {'OK'}
