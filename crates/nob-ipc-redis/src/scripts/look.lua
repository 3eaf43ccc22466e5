-- Which object has the name, and whether one of this generation is there.
-- KEYS: name, data
-- -> OK generation or '', 1 if the data is there
return {'OK', redis.call('HGET', KEYS[1], 'gen') or '', redis.call('EXISTS', KEYS[2])}
