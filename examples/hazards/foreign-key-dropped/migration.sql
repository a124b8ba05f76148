-- Without its foreign key nothing stops the lessons from going while progress still points at them.
SET lock_timeout = '1s';

ALTER TABLE "LessonProgress" DROP CONSTRAINT "LessonProgress_lessonId_fkey";

DELETE FROM "Lesson" WHERE "position" = 1 AND "kind" = 'VIDEO';
