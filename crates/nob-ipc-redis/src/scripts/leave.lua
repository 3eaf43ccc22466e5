-- Leaves a line. If the wake-up had already come, it is passed on.
-- KEYS: data, line   ARGV: waiter, how
-- how: 'end'; 'late': it has ended before, and was woken since. Then it is in line only if a request of it has come late,
-- or a failover has brought back its place.
-- -> LEFT | PASSED
-- What woke it may still be there: the next one looks. It finds nothing at the worst. Who ends and is not in line any
-- more had no connection for a while, and may have been woken before.
local M, W = KEYS[1], KEYS[2]
local gone, word = {ARGV[1]}, 'LEFT'
local score = redis.call('ZSCORE', W, ARGV[1])
if score and tonumber(score) < 0 or not score and ARGV[2] == 'end' then
  word = 'PASSED'
  wake(M, W, 1, gone)
end
remove(W, gone)
return {word}
