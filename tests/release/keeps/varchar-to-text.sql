ALTER TABLE customer ALTER name TYPE text;
