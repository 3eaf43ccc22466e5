-- Which commands this user may run. Nothing is run.
-- ARGV: for each command the number of its words, and these
-- -> for each command 1, or 0 if it is refused or unknown
local answer, at = {}, 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local known, allowed = pcall(redis.acl_check_cmd, unpack(ARGV, at + 1, at + count))
  answer[#answer + 1] = known and allowed and 1 or 0
  at = at + count + 1
end
return answer
