-- CASCADE takes the foreign key of "Course" along without a word.
SET lock_timeout = '2s';

DROP TABLE "Category" CASCADE;
