"""Documents as report.json holds them: GO, NO-GO, a migrated target, an unfinished run, nothing at all, and malice."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

from pytest_dryrun.report.model import SCHEMA
from pytest_dryrun.report.parts import Finding, Table

Document = dict[str, Any]

SECTIONS = {
    1: "Environment",
    2: "Migration status",
    3: "Backup",
    4: "Review of the pending migrations",
    5: "Apply",
    6: "Integrity",
    7: "Smoke",
    8: "Rollback",
    9: "Performance",
    10: "Documentation",
}

CRITERIA = {
    "migrations-applied": "All migrations applied",
    "no-data-loss": "No data loss",
    "crud-pass": "CRUD tests pass",
    "latency": "Query latency < 500 ms",
    "no-p0": "No P0 bugs detected",
    "no-stalls": "No reader or writer blocked too long",
    "release-compatible": "The running release keeps working",
    "rollback-proven": "Rollback proven",
}

PENDING = ["20260110090000_course_slug", "20260114101500_enrolment_indexes", "20260120083000_payment_currency"]
APPLIED_BEFORE = [
    "20251201000000_init",
    "20251204120000_sessions",
    "20251210093000_lessons",
    "20251217141500_payments",
    "20260105070000_audit",
]


def fact(name: str, value: Any, unit: str = "") -> Document:
    """One fact."""
    return {"name": name, "value": value, "unit": unit}


def finding(rule: str, severity: str, message: str, **more: Any) -> Document:
    """One finding; whatever is not given is empty."""
    empty = {"migration": None, "line": None, "table": None, "evidence": {}, "waived": False}
    return Finding.complete({"rule": rule, "severity": severity, "message": message, **empty, **more})


EXPLANATION = (
    "{title}: whoever signs relies on it, and nothing later in the run repeats it.\n\n"
    "Look at the reason and the facts beside it, repair what they name on the target or in the migration, "
    "and run the whole checklist again; a single check is never repeated alone."
)


def check(number: str, slug: str, criterion: str, title: str, *facts: Document, **more: Any) -> Document:
    """One check that passed, unless said otherwise."""
    section = int(number.partition(".")[0])
    return {
        "slug": slug,
        "number": number,
        "section": section,
        "section_title": SECTIONS[section],
        "title": title,
        "explanation": EXPLANATION.format(title=title),
        "criterion": criterion,
        "blocking": True,
        "outcome": "passed",
        "reason": "",
        "duration_ms": 12.4,
        "facts": list(facts),
        "findings": [],
        "blocked_by": [],
        "own_reason": None,
        **more,
    }


def checks() -> list[Document]:
    """The whole checklist of a run on a local target in which everything that applies has passed."""
    local = {"outcome": "not-applicable", "reason": "target local has no [targets.local.ssh]", "duration_ms": 0.0}
    lint = finding(
        "lint/prefer-text-field",
        "info",
        "Changing the size of a varchar field requires an ACCESS EXCLUSIVE lock.",
        migration=PENDING[0],
        line=3,
    )
    renamed = finding(
        "writes-blocked",
        "warning",
        'Writers of public."Enrolment" would wait 310 ms at production size.',
        migration=PENDING[1],
        line=2,
        table='public."Enrolment"',
        evidence={"ms": 31.0, "scaled_ms": 310.0, "lock": "ShareLock"},
    )
    waived = finding(
        "column-dropped",
        "blocker",
        'Column public."Course"."legacyCode" is dropped with 1,204 non-null values.',
        migration=PENDING[0],
        line=9,
        table='public."Course"',
        evidence={"rows": 1204, "non_null": 1204},
        waived=True,
    )
    return [
        check("1.1", "ssh-access", "no-p0", "The target's host can be reached over SSH", **local),
        check(
            "1.2",
            "database-credentials",
            "no-p0",
            "The database accepts the application's credentials",
            fact("Host", "127.0.0.1:41873"),
            fact("Server version", "16.4"),
        ),
        check(
            "1.3",
            "schema-version",
            "no-p0",
            "The schema's version is known",
            fact("Schema version", APPLIED_BEFORE[-1]),
        ),
        check(
            "1.4",
            "backup-space",
            "no-p0",
            "There is room for the backup",
            fact("Free", 48_318_382_080, "bytes"),
            fact("Database", 264_241_152, "bytes"),
        ),
        check(
            "2.1",
            "migration-status",
            "migrations-applied",
            "The migration table and the folder agree",
            fact("Current", APPLIED_BEFORE[-1]),
            fact("Applied", 5, "migrations"),
        ),
        check(
            "2.2",
            "pending-migrations",
            "migrations-applied",
            "The pending migrations are the expected ones",
            fact("Pending", PENDING),
        ),
        check(
            "3.1",
            "backup-created",
            "no-data-loss",
            "A backup was made in this run",
            fact("Size", 18_874_368, "bytes"),
            fact("Dump", 2113.0, "ms"),
            duration_ms=2190.0,
        ),
        check(
            "3.2",
            "backup-restores",
            "no-data-loss",
            "The backup restores to the very same rows",
            fact("Restore", 3382.0, "ms"),
            fact("Tables compared", 12),
            duration_ms=4120.0,
        ),
        check(
            "3.3", "backup-checksum", "no-data-loss", "The backup's checksum is recorded", fact("SHA-256", "9f2c" * 16)
        ),
        check("4.1", "schema-diff", "no-p0", "The schema difference was reviewed", fact("Difference", SCHEMA_DIFF)),
        check(
            "4.2",
            "no-destructive-operations",
            "no-data-loss",
            "No pending statement destroys data",
            outcome="waived",
            reason="1 finding is excused: approved by A. Brandt until 2026-12-31",
            findings=[waived, lint],
        ),
        check("4.3", "safe-defaults", "no-stalls", "New columns have defaults that need no rewrite"),
        check("4.4", "foreign-keys-preserve-integrity", "no-data-loss", "New foreign keys hold for every existing row"),
        check(
            "4.5",
            "indexes-do-not-block",
            "no-stalls",
            "Indexes are built without keeping writers out",
            findings=[renamed],
            blocking=True,
        ),
        check(
            "4.6",
            "running-release",
            "release-compatible",
            "The running release keeps working on the migrated database",
            fact("Statements tried", 212),
        ),
        check(
            "5.1",
            "migrations-applied",
            "migrations-applied",
            "Every pending migration is applied",
            fact("Applied", 3, "migrations"),
            fact("Time", 1.84, "s"),
            fact("Warnings", []),
            duration_ms=1840.0,
        ),
        check("5.2", "status-after-apply", "migrations-applied", "Nothing is pending any more"),
        check("5.3", "schema-as-rehearsed", "migrations-applied", "The schema came out as rehearsed"),
        check(
            "6.1",
            "rows-intact",
            "no-data-loss",
            "Every row that was there still is",
            fact("Rows before", 214_220),
            fact("Rows after", 214_220),
            duration_ms=960.0,
        ),
        check("6.2", "column-defaults", "no-data-loss", "New columns take their defaults"),
        check(
            "6.3", "no-orphaned-foreign-keys", "no-data-loss", "No foreign key points nowhere", fact("Foreign keys", 14)
        ),
        check("6.4", "indexes-valid", "no-data-loss", "Every index and constraint is valid"),
        check(
            "7.1",
            "api-health",
            "crud-pass",
            "The API answers its health request",
            fact("Status", 200),
            fact("Time", 4.21, "ms"),
        ),
        check(
            "7.2",
            "smoke-command",
            "crud-pass",
            "The project's smoke command succeeds",
            outcome="not-applicable",
            reason="[targets.local.smoke] has no command",
            blocking=False,
        ),
        check("7.3", "user-crud", "crud-pass", "Users can be created, read, changed and deleted", duration_ms=88.0),
        check("7.4", "course-crud", "crud-pass", "Courses can be created, read, changed and deleted", duration_ms=93.0),
        check(
            "8.1",
            "rollback-restores",
            "rollback-proven",
            "The backup brings the old state back",
            fact("Seconds to restore", 3.41, "s"),
            duration_ms=3500.0,
        ),
        check("8.2", "rollback-rows-match", "rollback-proven", "After the rollback every row is as before"),
        check("8.3", "rollback-health", "rollback-proven", "The API runs on the restored database"),
        check("8.4", "rollback-smoke", "rollback-proven", "The smoke tests pass on the restored database"),
        check(
            "9.1",
            "latency-p95",
            "latency",
            "The 95th percentile stays below 500 ms",
            fact("p50", 2.9, "ms"),
            fact("p95", 7.7, "ms"),
            fact("p99", 11.2, "ms"),
            duration_ms=1620.0,
        ),
        check("9.2", "slow-queries", "latency", "No query became slow"),
        check(
            "9.3",
            "stalls",
            "no-stalls",
            "Nobody waited longer than allowed",
            fact("Readers waited", 4.0, "ms"),
            fact("Writers waited", 31.0, "ms"),
        ),
        check(
            "9.4",
            "memory",
            "no-p0",
            "Memory stays within bounds",
            fact("API peak", 96_468_992, "bytes"),
            blocking=False,
        ),
        check("9.5", "cpu", "no-p0", "CPU was recorded", fact("API peak", 61.5, "percent"), blocking=False),
        check(
            "10.1",
            "history-recorded",
            "no-p0",
            "The run is in the migration history",
            fact("Entry", "## 2026-11-22: edfinance\n\n- Decision: **GO**\n"),
        ),
    ]


SCHEMA_DIFF = """ALTER TABLE public."Course" ADD COLUMN slug text NOT NULL DEFAULT '';
ALTER TABLE public."Course" DROP COLUMN "legacyCode";
CREATE INDEX "Enrolment_courseId_idx" ON public."Enrolment" USING btree ("courseId");
ALTER TABLE public."Payment" ADD COLUMN currency character(3) NOT NULL DEFAULT 'EUR'::bpchar;
"""


def criteria(of: list[Document]) -> list[Document]:
    """Every row met, with the checks that feed it."""
    return [
        {
            "id": name,
            "title": title,
            "required": True,
            "met": True,
            "reasons": [],
            "checks": [item["slug"] for item in of if item["criterion"] == name],
            "own_reasons": [],
        }
        for name, title in CRITERIA.items()
    ]


SLUGS = """UPDATE "Course"
   SET "slug" = lower(regexp_replace("title", '[^a-zA-Z0-9]+', '-', 'g'))
 WHERE "slug" = '';"""


def statements() -> list[Document]:
    """What three migrations did."""
    empty: Document = {
        "locks": [],
        "rewrites": [],
        "scanned": [],
        "dropped": [],
        "read_stall_ms": 0.0,
        "write_stall_ms": 0.0,
        "count": 1,
    }
    course = [{"relation": 'public."Course"', "mode": "AccessExclusiveLock"}]
    return [
        {
            **empty,
            "migration": PENDING[0],
            "line": 3,
            "sql": 'ALTER TABLE "Course" ADD COLUMN "slug" TEXT NOT NULL DEFAULT \'\';',
            "duration_ms": 2.1,
            "locks": course,
        },
        {
            **empty,
            "migration": PENDING[0],
            "line": 5,
            "sql": SLUGS,
            "duration_ms": 48.0,
            "scanned": [{"relation": 'public."Course"', "rows": 1204}],
        },
        {
            **empty,
            "migration": PENDING[0],
            "line": 9,
            "sql": 'ALTER TABLE "Course" DROP COLUMN "legacyCode";',
            "duration_ms": 0.8,
            "locks": course,
            "dropped": ['public."Course"."legacyCode"'],
            "read_stall_ms": 4.0,
            "write_stall_ms": 4.1,
        },
        {
            **empty,
            "migration": PENDING[1],
            "line": 2,
            "sql": 'CREATE INDEX "Enrolment_courseId_idx" ON "Enrolment"("courseId");',
            "duration_ms": 33.7,
            "locks": [{"relation": 'public."Enrolment"', "mode": "ShareLock"}],
            "scanned": [{"relation": 'public."Enrolment"', "rows": 120_000}],
            "write_stall_ms": 31.0,
        },
        {
            **empty,
            "migration": PENDING[2],
            "line": 1,
            "sql": 'ALTER TABLE "Payment" ADD COLUMN "currency" CHAR(3) NOT NULL DEFAULT \'EUR\';',
            "duration_ms": 1.9,
            "locks": [{"relation": 'public."Payment"', "mode": "AccessExclusiveLock"}],
        },
    ]


def table(name: str, rows: int | None, after: int | None, change: str = "none", **more: Any) -> Document:
    """One table of the comparison."""
    figures = {"inserted": 0, "updated": 0, "deleted": 0, "columns_changed": []}
    return Table.complete(
        {"table": name, "rows_before": rows, "rows_after": after, "change": change, **figures, **more}
    )


def go() -> Document:
    """A run on a local target that earned its GO."""
    listed = checks()
    series = [[t / 4, 6e7 + 3.4e7 * (1 - math.exp(-t / 9)), 30 + 28 * math.sin(t / 3) ** 2] for t in range(48)]
    return {
        "schema": SCHEMA,
        "finished": True,
        "target": "local",
        "role": "local",
        "project": {
            "name": "edfinance",
            "epic": "ved-e1js",
            "executed_by": "release-bot",
            "reviewed_by": "",
            "next_step": "production deployment checklist",
        },
        "started_at": "2026-11-22T10:15:00Z",
        "finished_at": "2026-11-22T10:15:42.250000Z",
        "decision": "GO",
        "criteria": criteria(listed),
        "checks": listed,
        "migrations": {
            "tool": "prisma",
            "applied_before": list(APPLIED_BEFORE),
            "pending": list(PENDING),
            "applied": list(PENDING),
        },
        "statements": statements(),
        "tables": [
            table('public."Course"', 1204, 1204, columns_changed=["slug"], updated=1204),
            table('public."Enrolment"', 120_000, 120_000),
            table('public."Lesson"', 14_800, 14_800),
            table('public."Payment"', 52_216, 52_216, not_verified=["metadata (xml has no hash function)"]),
            table('public."Session"', 6000, 6004, "rows-added", inserted=4),
            table('public."User"', 20_000, 20_000),
            table("public.audit_log", None, 0, "created", inserted=None, updated=None, deleted=None),
        ],
        "findings": every_finding(listed),
        "backup": {
            "file": "/var/backups/edfinance/edfinance-20261122T101500Z.dump",
            "size_bytes": 18_874_368,
            "sha256": "9f2c" * 16,
            "dump_ms": 2113.0,
            "restore_ms": 3382.0,
        },
        "artifacts": {"signoff": "signoff.html", "annex": "pytest.html", "checklist": "checklist.md"},
        "run_id": "20261122T101500Z-ab12",
        "plugin_version": "0.1.0",
        "headline": "GO",
        "sections": [{"number": number, "title": title} for number, title in SECTIONS.items()],
        "target_migrated": True,
        "state_unknown": False,
        "rolled_back": False,
        "rollback": {"host": "", "commands": [], "outcome": "", "said": []},
        "running_release": {"statements": 212, "relations": 12, "not_tried": [], "duration_ms": 431.5},
        "versions": {"server": "PostgreSQL 16.4", "provider": "binaries"},
        "schema_diff": SCHEMA_DIFF,
        "notes": [
            "The copy runs PostgreSQL 16.4, the target 16.2.",
            'public."Course" holds 1,204 rows here: too few to predict how long production would wait.',
        ],
        "not_verified": ['public."Payment".metadata: xml has no hash function, so its values were not compared.'],
        "latency": {
            "before": {"p50_ms": 2.8, "p95_ms": 7.4, "p99_ms": 12.9, "samples": 200},
            "after": {"p50_ms": 2.9, "p95_ms": 7.7, "p99_ms": 11.2, "samples": 200},
        },
        "resources": [
            {
                "name": "API",
                "memory_peak_bytes": 96_468_992,
                "cpu_mean_percent": 18.4,
                "cpu_peak_percent": 61.5,
                "series": series,
                "not_measured": "",
                "programs": ["node", "PM2 v5.4.3: God"],
            },
            {
                "name": "PostgreSQL",
                "memory_peak_bytes": 214_958_080,
                "cpu_mean_percent": 9.1,
                "cpu_peak_percent": 97.0,
                "series": [],
                "not_measured": "",
                "programs": [],
            },
            {
                "name": "Everything else",
                "memory_peak_bytes": None,
                "cpu_mean_percent": None,
                "cpu_peak_percent": None,
                "series": [],
                "not_measured": "the host shows the login user no processes of other users (hidepid)",
                "programs": [],
            },
        ],
        "resources_of_run": False,
        "load": {"cpu_count": 4, "last": 0.5, "peak": 1.375, "series": [[t, 0.5 + t % 7 / 8] for t in range(48)]},
        "top_statements": [
            {
                "query": 'SELECT "id", "title" FROM "Course" WHERE "slug" = $1',
                "calls": 4100,
                "mean_ms": 0.21,
                "max_ms": 4.02,
            },
            {
                "query": 'INSERT INTO "Session" ("userId", "token") VALUES ($1, $2)',
                "calls": 4,
                "mean_ms": 0.63,
                "max_ms": 0.9,
            },
        ],
    }


def every_finding(listed: list[Document]) -> list[Document]:
    """The findings of these checks, each with its check."""
    return [{**item, "check": one["slug"]} for one in listed for item in one["findings"]]


def amend(document: Document, slug: str, **changes: Any) -> None:
    """Change one check of a document, and its findings in the list of all."""
    for item in document["checks"]:
        if item["slug"] == slug:
            item.update(changes)
    document["findings"] = every_finding(document["checks"])


def judge(
    document: Document, name: str, *, met: bool | None, reasons: list[str], own: Sequence[str] | None = ()
) -> None:
    """Change one row of the matrix; `own` of its reasons come from none of its checks, None: it is not known which."""
    for row in document["criteria"]:
        if row["id"] == name:
            row.update(met=met, reasons=reasons, own_reasons=None if own is None else list(own))


BLOCKED = "blocked by 4.2 no-destructive-operations (failed), 4.3 safe-defaults (failed)"


def no_go() -> Document:
    """A run that stopped before touching its target: rows would be lost, so everything after the review was blocked."""
    document = copy.deepcopy(go())
    dropped = finding(
        "column-dropped",
        "blocker",
        'Column public."User"."phone" is dropped with 18,411 non-null values.',
        migration=PENDING[0],
        line=9,
        table='public."User"',
        evidence={"rows": 20_000, "non_null": 18_411, "keys": ["1", "2", "5"]},
    )
    lost = finding(
        "rows-lost",
        "blocker",
        '37 rows of public."Session" disappear.',
        migration=PENDING[0],
        line=12,
        table='public."Session"',
        evidence={"rows": 37, "bytes": 90112},
    )
    sequence = finding(
        "sequence-reset",
        "blocker",
        'The sequence of public."Session".id hands out numbers that are taken.',
        migration=PENDING[0],
        line=12,
        object='public."Session_id_seq"',
        evidence={"position": 1, "highest": 6000},
        cascaded=True,
    )
    waits = finding(
        "table-rewritten",
        "blocker",
        'public."Enrolment" is rewritten while nobody can read it: 13.6 s here, 136 s at production size.',
        migration=PENDING[1],
        line=1,
        table='public."Enrolment"',
        evidence={"bytes": 91_226_112, "ms": 13_600.0},
    )
    amend(
        document,
        "no-destructive-operations",
        outcome="failed",
        reason="The pending migrations destroy data on the copy.",
        findings=[dropped, lost, sequence],
        duration_ms=412.0,
    )
    amend(document, "safe-defaults", outcome="failed", reason="", findings=[waits])
    amend(
        document,
        "database-credentials",
        outcome="broken",
        reason="The server at 127.0.0.1:41873 ended the session.\nTwo later checks used a new one.\nLook into its log.",
    )
    for item in document["checks"]:
        if 5 <= item["section"] <= 9 and item["outcome"] != "not-applicable":
            item.update(
                outcome="blocked",
                reason=f"{BLOCKED}: the target was not touched",
                blocked_by=["no-destructive-operations", "safe-defaults"],
                own_reason="the target was not touched",
                duration_ms=0.0,
                facts=[],
            )
    document.update(
        decision="NO-GO",
        headline="NO-GO",
        target_migrated=False,
        latency={"before": document["latency"]["before"], "after": None},
        resources=[],
        top_statements=[],
    )
    document["migrations"]["applied"] = []
    document["tables"][4] = table(
        'public."Session"',
        6000,
        5963,
        "rows-lost",
        deleted=37,
        keys=["118", "242", "903"],
        rows_lost=37,
        moved={"archive.session": 12},
    )
    document["tables"][5] = table(
        'public."User"',
        20_000,
        20_000,
        "content-changed",
        columns_changed=["phone", "locale"],
        keys=["1", "2", "5"],
        rows_changed=18_411,
        values_changed={"phone": 18_411},
        filled={"locale": 20_000},
        columns_gone={"fax": 3},
        samples=[{"key": "5", "column": "phone", "before": "+62 21 555", "after": None}],
        replaced=True,
    )
    document["statements"][1]["count"] = 47_999
    judge(document, "migrations-applied", met=None, reasons=["5.1 migrations-applied was blocked"])
    judge(document, "no-data-loss", met=False, reasons=["4.2 no-destructive-operations failed"])
    judge(document, "crud-pass", met=None, reasons=["7.1 api-health was blocked"])
    judge(document, "latency", met=None, reasons=["9.1 latency-p95 was blocked"])
    judge(document, "no-p0", met=False, reasons=["1.2 database-credentials broke"])
    judge(document, "no-stalls", met=False, reasons=["4.3 safe-defaults failed"])
    judge(document, "rollback-proven", met=None, reasons=["8.1 rollback-restores was blocked"])
    return document


def rollback_and_fix() -> Document:
    """A run that migrated its target and then found it wrong; one row of the matrix does not apply."""
    document = copy.deepcopy(go())
    orphans = finding(
        "orphaned-rows",
        "blocker",
        '12 rows of public."Enrolment" point to no public."User".',
        table='public."Enrolment"',
        evidence={"rows": 12, "constraint": "Enrolment_userId_fkey"},
    )
    amend(document, "no-orphaned-foreign-keys", outcome="failed", reason="", findings=[orphans])
    document.update(decision="NO-GO", headline="ROLLBACK & FIX", role="staging", target="staging")
    document["rollback"] = {
        "host": "deploy@staging",
        "commands": [
            "export PGHOST=127.0.0.1 PGPORT=5432 PGUSER=postgres",
            "dropdb --if-exists --force edfinance",
            "createdb --template=template0 --owner=edfinance --encoding=UTF8 edfinance",
            "pg_restore --exit-on-error --jobs=2 --dbname=edfinance /var/backups/edfinance/" + "long-" * 30 + ".dump",
        ],
        "outcome": "",
        "said": [],
    }
    judge(document, "no-data-loss", met=False, reasons=["6.3 no-orphaned-foreign-keys failed"])
    excuse = "this repository has no API"
    for row in document["criteria"]:
        if row["id"] == "crud-pass":
            row.update(required=False, met=None, reasons=[excuse], own_reasons=[excuse])
    return document


def unfinished() -> Document:
    """What stands in the report's place while a run goes on, and stays when it is killed."""
    document = copy.deepcopy(go())
    for item in document["checks"]:
        item.update(outcome="not-run", reason="the run has not come to it", duration_ms=0.0, facts=[], findings=[])
    for row in document["criteria"]:
        row.update(met=None, reasons=["the run has not ended"], own_reasons=["the run has not ended"])
    nothing = {
        "statements": [],
        "tables": [],
        "findings": [],
        "resources": [],
        "load": None,
        "top_statements": [],
        "notes": [],
        "not_verified": [],
    }
    migrations = {"tool": "prisma", "applied_before": [], "pending": [], "applied": []}
    document.update(
        **nothing,
        migrations=migrations,
        finished=False,
        finished_at=None,
        decision="NO-GO",
        headline="NO-GO",
        backup=None,
        schema_diff="",
        target_migrated=False,
        latency={"before": None, "after": None},
    )
    return document


def empty() -> Document:
    """A finished document without a single criterion or check."""
    document = unfinished()
    document.update(finished=True, finished_at="2026-11-22T10:15:01Z", criteria=[], checks=[], sections=[])
    return document


MALICE = (
    "<script>alert(1)</script></script><img src=x onerror=alert(2)> \"double\" 'single' `tick` **bold** | pipe & "
    "[link](javascript:alert(3)) {{ 7 * 7 }} {% raw %} --> <!-- \u202egnp.exe\u202c \u2066iso\u2069 zero\u200bwidth "
    "\x1b[31mred\x1b[0m \x00nul \x7fdel \x85next \ud800half \ufffe"
)
LONG_NAME = 'public."' + "W" * 63 + '"'


def hostile() -> Document:
    """A NO-GO in which every text that comes from outside is an attack, and names are as long as Postgres allows."""
    document = no_go()
    document["project"] = dict.fromkeys(document["project"], MALICE)
    document.update(
        target=MALICE, run_id=MALICE, plugin_version=MALICE, schema_diff=MALICE, notes=[MALICE], not_verified=[MALICE]
    )
    document["sections"] = [{"number": number, "title": MALICE} for number in SECTIONS]
    document["backup"].update(file=MALICE, sha256=MALICE)
    document["rollback"] = {"host": MALICE, "commands": [MALICE, LONG_NAME], "outcome": "failed", "said": [MALICE]}
    document["migrations"] = {
        "tool": MALICE,
        "applied_before": [MALICE],
        "pending": [MALICE, LONG_NAME],
        "applied": [LONG_NAME],
    }
    bad = finding(
        MALICE,
        "blocker",
        MALICE,
        migration=MALICE,
        line=1,
        table=LONG_NAME,
        evidence={MALICE: MALICE, "nested": {"a": [MALICE]}},
    )
    document["checks"] = document["checks"][:12]
    for item in document["checks"]:
        item.update(
            title=MALICE,
            reason=MALICE,
            explanation=MALICE,
            facts=[
                fact(MALICE, MALICE, MALICE),
                fact("list", [MALICE, LONG_NAME]),
                fact("block", MALICE + "\n" + MALICE),
            ],
            findings=[bad, {**bad, "severity": "info"}, {**bad, "waived": True}],
        )
    for row in document["criteria"]:
        row.update(title=MALICE, reasons=[MALICE], own_reasons=[MALICE])
    for item in document["statements"]:
        item.update(
            migration=MALICE,
            sql=MALICE + "X" * 3000,
            locks=[{"relation": LONG_NAME, "mode": MALICE}],
            rewrites=[MALICE],
            dropped=[LONG_NAME],
            scanned=[{"relation": MALICE, "rows": 1}],
        )
    for item in document["tables"]:
        item.update(table=LONG_NAME, renamed_to=MALICE, columns_changed=[MALICE], keys=[MALICE], not_verified=[MALICE])
    document["resources"] = [
        {
            "name": MALICE,
            "memory_peak_bytes": None,
            "cpu_mean_percent": None,
            "cpu_peak_percent": None,
            "series": [[0, 1, 1], [1, 2, None], [2, 3, 5]],
            "not_measured": MALICE,
            "programs": [MALICE],
        }
    ]
    document["load"] = {"cpu_count": 1, "last": 0, "peak": 12345.678, "series": []}
    document["top_statements"] = [{"query": MALICE, "calls": 1, "mean_ms": 1.0, "max_ms": 1.0}]
    return document
