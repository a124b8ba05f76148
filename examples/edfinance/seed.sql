-- A believable platform, the same on every machine: every choice is a hash of a label and a number, nothing is random
-- and nothing is "now". Plain SQL, to be run after the migration that `[baseline] through` names.

CREATE FUNCTION pg_temp.fraction(label text, n bigint) RETURNS double precision LANGUAGE sql IMMUTABLE AS
$$ SELECT (hashtextextended(label, n) & 4294967295) / 4294967296.0::double precision $$;

CREATE FUNCTION pg_temp.pick(label text, n bigint, choices integer) RETURNS integer LANGUAGE sql IMMUTABLE AS
$$ SELECT ((hashtextextended(label, n) & 4294967295) % choices)::integer $$;

CREATE FUNCTION pg_temp.cuid(kind text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT 'c' || left(md5(kind || n::text), 24) $$;

-- People: the one who can log in (demo@edfinance.example, "learn-by-doing"), then 19,999 whose passwords nobody knows.
INSERT INTO "User" ("id", "email", "name", "role", "passwordHash", "locale", "createdAt", "updatedAt")
VALUES (
    pg_temp.cuid('User', 0), 'demo@edfinance.example', 'Demo Öğretmen', 'TEACHER',
    'pbkdf2_sha256$10000$5eed0000000000000000000000000001$c79c627423c3ccbd03e93fd697c2dea5202a8d588e9fead98d688c9632ffabc1',
    'tr', '2024-01-08 09:00:00', '2025-11-30 18:30:00.125'
);

INSERT INTO "User" ("id", "email", "name", "role", "passwordHash", "locale", "avatar", "preferences", "createdAt", "updatedAt")
SELECT
    pg_temp.cuid('User', n),
    mailbox || '.' || replace(lower(surname_ascii), ' ', '') || n || '@'
        || (ARRAY['gmail.com', 'outlook.com', 'proton.me', 'uni-graz.example', 'school.example'])[1 + pg_temp.pick('domain', n, 5)],
    CASE WHEN pg_temp.pick('anonymous', n, 50) > 0 THEN given || ' ' || surname END,
    (CASE WHEN n <= 12 THEN 'ADMIN' WHEN n <= 180 THEN 'TEACHER' ELSE 'STUDENT' END)::"Role",
    'pbkdf2_sha256$10000$' || md5('salt' || n) || '$' || encode(sha256(convert_to('nobody knows ' || n, 'UTF8')), 'hex'),
    (ARRAY['en', 'en', 'en', 'de', 'es', 'fr', 'vi', 'pl', 'tr', 'pt-BR'])[1 + pg_temp.pick('locale', n, 10)],
    CASE WHEN pg_temp.pick('avatar', n, 12) = 0 THEN '\x89504e470d0a1a0a'::bytea || decode(md5('avatar' || n), 'hex') END,
    CASE pg_temp.pick('preferences', n, 4)
        WHEN 0 THEN jsonb_build_object('theme', 'dark', 'digest', 'weekly')
        WHEN 1 THEN jsonb_build_object('captions', true, 'speed', 1.25)
        ELSE '{}'
    END,
    joined,
    joined + pg_temp.fraction('seen', n) * (timestamp '2026-02-20' - joined)
FROM (
    SELECT
        n,
        (ARRAY['Zoë', 'Łukasz', 'Søren', 'María', 'Nguyễn', 'Ömer', 'Chloé', 'Jürgen', 'Олена', '美咲', 'Aarav', 'Amara', 'Noah', 'Fatima', 'Björk', 'Liam'])[1 + g] AS given,
        (ARRAY['zoe', 'lukasz', 'soren', 'maria', 'nguyen', 'omer', 'chloe', 'juergen', 'olena', 'misaki', 'aarav', 'amara', 'noah', 'fatima', 'bjork', 'liam'])[1 + g] AS mailbox,
        (ARRAY['O''Brien', 'Müller', 'García', 'Šimić', 'Kowalski', 'Trần', 'Yılmaz', 'de la Cruz', 'Smith', 'Okafor', 'Andersson', '佐藤', 'Dubois', 'Rossi'])[1 + s] AS surname,
        (ARRAY['OBrien', 'Mueller', 'Garcia', 'Simic', 'Kowalski', 'Tran', 'Yilmaz', 'de la Cruz', 'Smith', 'Okafor', 'Andersson', 'Sato', 'Dubois', 'Rossi'])[1 + s] AS surname_ascii,
        date_trunc('milliseconds', timestamp '2024-01-08' + pg_temp.fraction('joined', n) * interval '740 days') AS joined
    FROM (SELECT n, pg_temp.pick('given', n, 16) AS g, pg_temp.pick('surname', n, 14) AS s FROM generate_series(1, 19999) AS n) AS numbered
) AS people;

INSERT INTO "Session" ("id", "tokenHash", "userId", "userAgent", "createdAt", "expiresAt")
SELECT
    pg_temp.cuid('Session', n),
    sha256(convert_to('session ' || n, 'UTF8')),
    pg_temp.cuid('User', 1 + pg_temp.pick('session user', n, 19999)),
    (ARRAY['Mozilla/5.0 (X11; Linux x86_64)', 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_2)', 'Edfinance/4.1 (Android 15)', NULL])[1 + pg_temp.pick('agent', n, 4)],
    started,
    started AT TIME ZONE 'UTC' + interval '30 days'
FROM (
    SELECT n, date_trunc('milliseconds', timestamp '2025-11-01' + pg_temp.fraction('started', n) * interval '110 days') AS started
    FROM generate_series(1, 10000) AS n
) AS sessions;

INSERT INTO "Category" ("slug", "name", "parentId")
VALUES
    ('money', 'Personal Money', NULL), ('markets', 'Markets', NULL), ('accounting', 'Accounting', NULL),
    ('code', 'Code for Finance', NULL), ('budgeting', 'Budgeting', 1), ('pensions', 'Pensions & Retraite', 1),
    ('equities', 'Equities', 2), ('bonds', 'Bonds', 2), ('crypto', 'Crypto – sober', 2), ('ifrs', 'IFRS', 3),
    ('bookkeeping', 'Bookkeeping', 3), ('python', 'Python', 4), ('sql', 'SQL', 4);

INSERT INTO "Course" (
    "id", "slug", "title", "subtitle", "description", "price", "status", "tags", "metadata", "authorId", "categoryId",
    "publishedAt", "createdAt", "updatedAt"
)
SELECT
    pg_temp.cuid('Course', n),
    replace(lower(level), ' ', '-') || '-' || lower(subject) || '-' || n,
    subject || ': ' || level,
    CASE WHEN pg_temp.pick('subtitle', n, 4) > 0 THEN 'From zero to “' || lower(subject) || '” in ' || 2 + pg_temp.pick('weeks', n, 9) || ' weeks' END,
    repeat('You learn by doing: read a case, make a plan, defend it. ', 2 + pg_temp.pick('description', n, 6)),
    (ARRAY[0, 19, 29.5, 49, 79.99, 129])[1 + pg_temp.pick('price', n, 6)],
    status,
    CASE WHEN pg_temp.pick('tags', n, 10) > 0 THEN ARRAY[lower(subject), CASE WHEN n % 3 = 0 THEN 'with certificate' ELSE 'self-paced' END] END,
    CASE WHEN n % 5 > 0 THEN jsonb_build_object('cover', 'covers/' || n || '.webp', 'minutes', 90 + pg_temp.pick('minutes', n, 600)) END,
    pg_temp.cuid('User', 13 + pg_temp.pick('author', n, 168)),
    CASE WHEN n % 20 > 0 THEN 1 + pg_temp.pick('category', n, 13) END,
    CASE WHEN status <> 'DRAFT' THEN created AT TIME ZONE 'UTC' + interval '21 days' END,
    created,
    created + interval '40 days'
FROM (
    SELECT
        n,
        (ARRAY['Budgeting', 'Bonds', 'Equities', 'IFRS', 'Pensions', 'Python', 'SQL', 'Taxes', 'Valuation', 'Risk'])[1 + pg_temp.pick('subject', n, 10)] AS subject,
        (ARRAY['First Steps', 'In Practice', 'Case Studies', 'Masterclass'])[1 + pg_temp.pick('level', n, 4)] AS level,
        (ARRAY['PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'PUBLISHED', 'DRAFT', 'ARCHIVED'])[1 + pg_temp.pick('status', n, 6)]::"CourseStatus" AS status,
        date_trunc('milliseconds', timestamp '2024-01-15' + pg_temp.fraction('course', n) * interval '500 days') AS created
    FROM generate_series(1, 600) AS n
) AS courses;

INSERT INTO "Lesson" ("id", "courseId", "position", "title", "kind", "durationSeconds", "content", "updatedAt")
SELECT
    pg_temp.cuid('Lesson', course * 100 + place),
    pg_temp.cuid('Course', course),
    place,
    'Lesson ' || place || ': ' || (ARRAY['Why it matters', 'Vocabulary', 'A worked example', 'Common mistakes', 'Your turn', 'Élan & risk'])[1 + pg_temp.pick('lesson', course * 100 + place, 6)],
    kind,
    CASE WHEN kind = 'VIDEO' THEN 120 + pg_temp.pick('length', course * 100 + place, 1500) END,
    jsonb_build_object('blocks', 1 + pg_temp.pick('blocks', course * 100 + place, 9), 'asset', md5('asset' || course * 100 + place)),
    timestamp '2025-06-01' + (course * 100 + place) * interval '3 minutes'
FROM (
    SELECT course, place, (ARRAY['VIDEO', 'VIDEO', 'ARTICLE', 'QUIZ'])[1 + place % 4]::"LessonKind" AS kind
    FROM generate_series(1, 600) AS course, generate_series(1, 8 + pg_temp.pick('lessons', course, 13)) AS place
) AS lessons;

-- A few courses have most of the learners.
INSERT INTO "Enrollment" ("id", "userId", "courseId", "status", "enrolledAt", "completedAt", "updatedAt")
SELECT
    pg_temp.cuid('Enrollment', n), pg_temp.cuid('User', learner), pg_temp.cuid('Course', course), status, enrolled,
    CASE WHEN status = 'COMPLETED' THEN enrolled + (10 + pg_temp.pick('days', n, 80)) * interval '1 day' END,
    enrolled + interval '10 days'
FROM (
    SELECT DISTINCT ON (learner, course) *
    FROM (
        SELECT
            n,
            1 + pg_temp.pick('learner', n, 19999) AS learner,
            1 + floor(600 * pg_temp.fraction('popularity', n) ^ 2.5)::integer AS course,
            (ARRAY['ACTIVE', 'ACTIVE', 'ACTIVE', 'ACTIVE', 'COMPLETED', 'COMPLETED', 'CANCELLED'])[1 + pg_temp.pick('enrolled as', n, 7)]::"EnrollmentStatus" AS status,
            date_trunc('milliseconds', timestamp '2024-06-01' + pg_temp.fraction('enrolled', n) * interval '620 days') AS enrolled
        FROM generate_series(1, 24000) AS n
    ) AS wishes
    ORDER BY learner, course, n
) AS enrollments;

-- The planner needs to know what it joins next.
ANALYZE "Lesson", "Enrollment";

-- Most learners leave early, those who completed saw everything.
INSERT INTO "LessonProgress" ("enrollmentId", "lessonId", "secondsWatched", "completed", "lastSeenAt")
SELECT
    e."id", l."id", seconds, seconds > 300,
    date_trunc('milliseconds', e."enrolledAt" AT TIME ZONE 'UTC' + l."position" * interval '31 hours 7 minutes')
FROM (SELECT *, row_number() OVER (ORDER BY "id") AS n FROM "Enrollment" WHERE "status" <> 'CANCELLED') AS e
JOIN "Lesson" AS l ON l."courseId" = e."courseId" AND l."position" <= floor(8 * pg_temp.fraction('stamina', e.n) ^ 4)
CROSS JOIN LATERAL (SELECT pg_temp.pick('watched', e.n * 100 + l."position", 1500) AS seconds) AS watched;

INSERT INTO "Coupon" ("code", "percentOff", "validUntil")
SELECT 'SAVE' || lpad(n::text, 2, '0'), 5 * (1 + n % 6), CASE WHEN n % 3 > 0 THEN date '2025-01-31' + n * 20 END
FROM generate_series(1, 30) AS n;

-- Payments remember the coupon's code, and some of those coupons are gone.
INSERT INTO "Payment" (
    "id", "enrollmentId", "amount", "currency", "status", "couponCode", "providerPayload", "paidAt", "createdAt", "updatedAt"
)
SELECT
    md5('payment' || n)::uuid, "id",
    (CASE WHEN status = 'REFUNDED' THEN -1 ELSE 1 END) * (19 + pg_temp.pick('amount', n, 1100000) / 10000.0)::numeric(12, 4),
    (ARRAY['EUR', 'EUR', 'EUR', 'USD', 'USD', 'PLN', 'GBP'])[1 + pg_temp.pick('currency', n, 7)],
    status,
    CASE WHEN pg_temp.pick('coupon', n, 6) = 0 THEN 'SAVE' || lpad((1 + pg_temp.pick('code', n, 33))::text, 2, '0') END,
    CASE WHEN status <> 'PENDING' THEN jsonb_build_object('intent', 'pi_' || left(md5('intent' || n), 16), 'card', jsonb_build_object('brand', (ARRAY['visa', 'mastercard', 'amex'])[1 + pg_temp.pick('card', n, 3)], 'last4', lpad(pg_temp.pick('last4', n, 10000)::text, 4, '0'))) END,
    CASE WHEN status IN ('SUCCEEDED', 'REFUNDED') THEN "enrolledAt" AT TIME ZONE 'UTC' + interval '90 seconds' END,
    "enrolledAt",
    "enrolledAt" + interval '2 minutes'
FROM (
    SELECT
        e.*,
        (ARRAY['SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED', 'FAILED', 'REFUNDED', 'PENDING'])[1 + pg_temp.pick('payment status', n, 10)]::"PaymentStatus" AS status
    FROM (SELECT "id", "enrolledAt", row_number() OVER (ORDER BY "id") AS n FROM "Enrollment") AS e
    WHERE n <= 18000
) AS payments;

INSERT INTO "Review" ("id", "courseId", "userId", "rating", "body", "createdAt")
SELECT
    pg_temp.cuid('Review', n),
    pg_temp.cuid('Course', 1 + floor(600 * pg_temp.fraction('reviewed', n) ^ 2.5)::integer),
    pg_temp.cuid('User', 1 + pg_temp.pick('reviewer', n, 19999)),
    (ARRAY[1, 2, 3, 4, 4, 4, 5, 5, 5, 5])[1 + pg_temp.pick('rating', n, 10)],
    (ARRAY['Très clair, merci !', 'Lots to take home.', 'Zu schnell für mich', 'とても良い', NULL, NULL])[1 + pg_temp.pick('body', n, 6)],
    date_trunc('milliseconds', timestamp '2024-09-01' + pg_temp.fraction('review', n) * interval '530 days')
FROM generate_series(1, 7000) AS n;

INSERT INTO "Certificate" ("id", "enrollmentId", "serialNumber", "digest", "issuedAt")
SELECT md5('certificate' || n)::uuid, "id", 'EDF-' || lpad(n::text, 6, '0'), sha256(convert_to("id", 'UTF8')), "completedAt" AT TIME ZONE 'UTC'
FROM (
    SELECT "id", "completedAt", row_number() OVER (ORDER BY "completedAt", "id") AS n
    FROM "Enrollment" WHERE "status" = 'COMPLETED'
) AS completed;

INSERT INTO "AuditEvent" ("actorId", "kind", "detail", "ip", "occurredAt")
SELECT
    pg_temp.cuid('User', 1 + pg_temp.pick('actor', n, 19999)),
    (ARRAY['login', 'login', 'login', 'course.viewed', 'course.viewed', 'payment.created', 'profile.changed'])[1 + pg_temp.pick('kind', n, 7)],
    jsonb_build_object('request', left(md5('request' || n), 12)),
    CASE WHEN n % 7 > 0 THEN ('10.' || n % 250 || '.' || n / 250 % 250 || '.7')::inet END,
    timestamptz '2025-03-01 00:00:00+00' + n * interval '276 seconds'
FROM generate_series(1, 110000) AS n;

INSERT INTO "RetentionPolicy" ("kind", "keepUntil")
VALUES ('course.viewed', '2024-12-01 00:00:00+00'), ('profile.changed', '2023-01-01 00:00:00+00');

INSERT INTO "reporting"."DailyRevenue" ("day", "currency", "amount", "payments")
SELECT ("paidAt" AT TIME ZONE 'UTC')::date, "currency", sum("amount"), count(*)
FROM "Payment" WHERE "paidAt" IS NOT NULL
GROUP BY 1, 2;

DROP FUNCTION pg_temp.fraction(text, bigint), pg_temp.pick(text, bigint, integer), pg_temp.cuid(text, bigint);
