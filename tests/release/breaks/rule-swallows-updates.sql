-- breaks: raise_credit
CREATE RULE frozen AS ON UPDATE TO customer DO INSTEAD NOTHING;
