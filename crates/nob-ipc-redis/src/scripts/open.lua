-- Links to an object, or makes one.
-- KEYS: name, new data, end of this creation [, old data, old set, old line, old senders]
-- ARGV: again, mode, new generation, old generation, n, n attributes of the name.., m, m attributes of the data..
-- -> CREATED attributes | LINKED attributes | ENOENT | EEXIST | RETRY old generation | GONE

-- Who may not wake others is told now, and not half-way through a send.
redis.call('SPUBLISH', KEYS[2] .. ':c:', '')
local again, mode, new, old = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local found = redis.call('HGETALL', KEYS[1])
local generation
for i = 1, #found, 2 do
  if found[i] == 'gen' then generation = found[i + 1] end
end
local over = redis.call('EXISTS', KEYS[3]) == 1
seal(KEYS[3], again)
if generation == new then return {'CREATED', found} end -- it has run before
if generation and mode == 'create' then return {'EEXIST'} end
if generation and mode ~= 'replace' then return {'LINKED', found} end
if mode == 'link' then return {'ENOENT'} end
if over then return {'GONE'} end
if mode == 'replace' and (generation or '') ~= old then return {'RETRY', generation or ''} end
if generation then
  redis.call('DEL', KEYS[1])
  if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('HSET', KEYS[4], 'orphan', '1') end
  for i = 4, #KEYS do redis.call('PEXPIRE', KEYS[i], IDLE) end
end
local n = tonumber(ARGV[5])
local m = tonumber(ARGV[6 + n])
redis.call('HSET', KEYS[1], 'gen', new, unpack(ARGV, 6, 5 + n))
redis.call('HSET', KEYS[2], unpack(ARGV, 7 + n, 6 + n + m))
return {'CREATED', redis.call('HGETALL', KEYS[1])}
