-- What an object holds and who waits, for people who look at it.
-- KEYS: name, data, set, line, senders   ARGV: generation, version, how many tokens at most
-- -> OK clock in ms, waiting, waiting to send, then
--      s: permits | q: messages, sent so far | l: owner, end of its lease, 1 if an owner has died
--      b: permits taken, then their tokens with the ends of their leases, the first to end first
--    GONE | OTHER | VERSION | STALE
local name = redis.call('HMGET', KEYS[1], 'gen', 'pv')
if not name[1] then return {'GONE'} end
if name[1] ~= ARGV[1] then return {'OTHER'} end
if name[2] ~= ARGV[2] then return {'VERSION'} end
local meta = redis.call('HMGET', KEYS[2], 'kind', 'val', 'seq', 'owner', 'until', 'died')
local kind = meta[1]
if not kind then return {'STALE'} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local answer = {'OK', now, redis.call('ZCARD', KEYS[4]), redis.call('ZCARD', KEYS[5])}
local function say(...)
  for _, value in ipairs({...}) do answer[#answer + 1] = value end
end
if kind == 's' then
  say(meta[2] or '0')
elseif kind == 'q' then
  say(redis.call('ZCARD', KEYS[3]), meta[3] or '0')
elseif kind == 'l' then
  say(meta[4] or '', meta[5] or '0', meta[6] or '0')
elseif kind == 'b' then
  local after = string.format('(%.0f', now)
  say(redis.call('ZCOUNT', KEYS[3], after, '+inf'))
  say(unpack(redis.call('ZRANGE', KEYS[3], after, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')))
end
return answer
