-- A new enum value cannot be used before the transaction that adds it has ended.
ALTER TYPE "CourseStatus" ADD VALUE 'PAUSED';

UPDATE "Course" SET "status" = 'PAUSED' WHERE "status" = 'ARCHIVED' AND "price" = 0;
