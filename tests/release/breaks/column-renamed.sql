-- breaks: look_up
ALTER TABLE customer RENAME name TO full_name;
