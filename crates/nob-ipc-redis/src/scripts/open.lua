-- Links to an object, or makes one.
-- KEYS: name, new data [, old data, old set, old line, old senders]
-- ARGV: mode, new generation, old generation, n, n attributes of the name.., m, m attributes of the data..
-- -> CREATED attributes | LINKED attributes | ENOENT | EEXIST | RETRY old generation

-- Who may not wake others is told now, and not half-way through a send.
redis.call('SPUBLISH', KEYS[2] .. ':c:', '')
local mode, new, old = ARGV[1], ARGV[2], ARGV[3]
local found = redis.call('HGETALL', KEYS[1])
local generation
for i = 1, #found, 2 do
  if found[i] == 'gen' then generation = found[i + 1] end
end
if generation == new then return {'CREATED', found} end -- it has run before
if generation and mode == 'create' then return {'EEXIST'} end
if generation and mode ~= 'replace' then return {'LINKED', found} end
if mode == 'link' then return {'ENOENT'} end
if mode == 'replace' and (generation or '') ~= old then return {'RETRY', generation or ''} end
if generation then
  redis.call('DEL', KEYS[1])
  if redis.call('EXISTS', KEYS[3]) == 1 then redis.call('HSET', KEYS[3], 'orphan', '1') end
  for i = 3, #KEYS do redis.call('PEXPIRE', KEYS[i], IDLE) end
end
local n = tonumber(ARGV[4])
local m = tonumber(ARGV[5 + n])
redis.call('HSET', KEYS[1], 'gen', new, unpack(ARGV, 5, 4 + n))
redis.call('HSET', KEYS[2], unpack(ARGV, 6 + n, 5 + n + m))
return {'CREATED', redis.call('HGETALL', KEYS[1])}
