-- The statement names lessons; the learners' progress in them goes by ON DELETE CASCADE.
DELETE FROM "Lesson" WHERE "kind" = 'QUIZ';
