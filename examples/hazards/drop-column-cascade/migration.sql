-- CASCADE takes the view "CourseRating" along without a word.
SET lock_timeout = '1s';

ALTER TABLE "Review" DROP COLUMN "rating" CASCADE;
