-- The foreign keys lock "User" and "Course" against writers for as long as it takes to add a trigger to each.
SET lock_timeout = '1s';

-- CreateTable
CREATE TABLE "public"."LearningGoal" (
    "id" UUID NOT NULL,
    "userId" TEXT NOT NULL,
    "courseId" TEXT NOT NULL,
    "dueOn" DATE,
    "note" TEXT NOT NULL DEFAULT '',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "LearningGoal_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "LearningGoal_userId_courseId_key" ON "public"."LearningGoal"("userId", "courseId");

-- AddForeignKey
ALTER TABLE "public"."LearningGoal" ADD CONSTRAINT "LearningGoal_userId_fkey" FOREIGN KEY ("userId") REFERENCES "public"."User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "public"."LearningGoal" ADD CONSTRAINT "LearningGoal_courseId_fkey" FOREIGN KEY ("courseId") REFERENCES "public"."Course"("id") ON DELETE CASCADE ON UPDATE CASCADE;

RESET lock_timeout;
