ALTER TABLE customer ALTER state SET DEFAULT 'fresh';
