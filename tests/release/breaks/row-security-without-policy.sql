-- breaks: look_up
ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
