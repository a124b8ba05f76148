-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "reporting";

-- CreateTable
CREATE TABLE "reporting"."DailyRevenue" (
    "day" DATE NOT NULL,
    "currency" CHAR(3) NOT NULL,
    "amount" DECIMAL(14,4) NOT NULL,
    "payments" INTEGER NOT NULL,

    CONSTRAINT "DailyRevenue_pkey" PRIMARY KEY ("day", "currency")
);
