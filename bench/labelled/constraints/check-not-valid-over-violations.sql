-- family: constraints
-- label: unsafe
-- harm: 300 visits last 45 minutes: the next UPDATE of any of them fails.
-- rules: constraint-violated
-- base: clinic
-- @pending
SET lock_timeout = '2s';
ALTER TABLE visit ADD CONSTRAINT visit_short CHECK (minutes <= 30) NOT VALID;
-- @harm fails 23514
UPDATE visit SET remark = 'called' WHERE visit_id = (SELECT min(visit_id) FROM visit WHERE minutes = 45);
