-- Leaves a line. If the wake-up had already come, it is passed on.
-- KEYS: data, line   ARGV: waiter
-- -> LEFT | PASSED
-- Who is not in line was woken, and what woke it may still be there: the next one looks. It finds nothing at the worst.
local M, W = KEYS[1], KEYS[2]
local gone, word = {ARGV[1]}, 'LEFT'
if not redis.call('ZSCORE', W, ARGV[1]) then
  word = 'PASSED'
  wake(M, W, 1, ARGV[1], gone)
end
remove(W, gone)
return {word}
