-- breaks: sign_up
ALTER TABLE customer ALTER state DROP DEFAULT;
