-- Some learners reviewed a course twice.
SET lock_timeout = '1s';

CREATE UNIQUE INDEX "Review_courseId_userId_key" ON "Review"("courseId", "userId");
