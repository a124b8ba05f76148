-- The running release still writes and filters by PUBLISHED.
ALTER TYPE "CourseStatus" RENAME VALUE 'PUBLISHED' TO 'LIVE';
