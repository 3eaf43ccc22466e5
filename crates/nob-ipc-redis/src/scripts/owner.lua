-- Who has a lock.
-- KEYS: data
-- -> OK token or '', 1 if an owner has died and nobody has repaired it | STALE
local meta = redis.call('HMGET', KEYS[1], 'kind', 'owner', 'until', 'died')
if not meta[1] then return {'STALE'} end
local owner, died = meta[2] or '', tonumber(meta[4] or '0')
if owner ~= '' then
  local t = redis.call('TIME')
  if tonumber(meta[3]) <= t[1] * 1000 + math.floor(t[2] / 1000) then owner, died = '', 1 end
end
return {'OK', owner, died}
