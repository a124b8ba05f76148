-- CASCADE takes the foreign key of "Course" along without a word.
SET lock_timeout = '1s';

DROP TABLE "Category" CASCADE;
