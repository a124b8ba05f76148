# ruff: noqa: E501  (SQL reads best with one statement a line)
"""Each remedy with a migration that makes a finding print it; `s.` stands for a schema of the case's own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_dryrun.rehearsal.judge.remedies.remedy import Family

ROWS = 2500
REWRITTEN, SCANNED, INDEXED = "table-rewritten", "scanned-under-lock", "index-blocks-writes"


@dataclass(frozen=True)
class Case:
    """`unsafe` makes a finding of `rule` that prints the remedy of `family`, or of another one on old servers.

    `reach` makes the schema that the remedy must reach, where the unsafe form does not make it itself. `after`: the
    remedy is run after the unsafe form, not in its place. `fails`: the unsafe form is refused. `fill` gives old rows the
    values that only their owner knows. `differs` are the objects that the safe form is known to make otherwise.
    """

    name: str
    family: Family
    rule: str
    setup: str
    unsafe: str
    reach: str = ""
    old_family: Family | None = None
    new_in: int = 18
    since: int = 14
    after: bool = False
    fails: bool = False
    fill: str = ""
    differs: frozenset[tuple[str, str]] = frozenset()
    online: bool = True

    @property
    def schema(self) -> str:
        """Where the case's objects are."""
        return "in_" + self.name.replace("-", "_")

    def family_on(self, major: int) -> Family:
        """The remedy on this server."""
        return self.old_family if self.old_family is not None and major < self.new_in else self.family

    def sql(self, text: str) -> str:
        """A text about the case's own schema."""
        return re.sub(r"\bs\.", f"{self.schema}.", text)


CREW = f"""
CREATE TABLE s.crew (badge int NOT NULL, reg_no int, "Full Name" text NOT NULL, mail text, born date);
INSERT INTO s.crew SELECT g, g, 'Sailor ' || g, 's' || g, date '1980-01-01' + g FROM generate_series(1, {ROWS}) g;
"""
KEYED = f"""
CREATE TABLE s.toll (id bigint PRIMARY KEY, price int NOT NULL, quantity int, label varchar(40) NOT NULL);
INSERT INTO s.toll SELECT g, 1 + g % 90, 1 + g % 7, 'toll ' || g FROM generate_series(1, {ROWS}) g;
"""
LOG = f"""
CREATE TABLE s.log (at date NOT NULL, line text, ref int) PARTITION BY RANGE (at);
CREATE TABLE s.log_24 PARTITION OF s.log FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE s.log_25 PARTITION OF s.log FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY RANGE (at);
CREATE TABLE s.log_25a PARTITION OF s.log_25 FOR VALUES FROM ('2025-01-01') TO ('2025-07-01');
CREATE TABLE s."log_25 B" PARTITION OF s.log_25 FOR VALUES FROM ('2025-07-01') TO ('2026-01-01');
INSERT INTO s.log SELECT date '2024-01-01' + g % 730, 'line ' || g, g FROM generate_series(1, {ROWS}) g;
"""
REST = f"""
CREATE TABLE s.log_rest PARTITION OF s.log DEFAULT;
INSERT INTO s.log SELECT date '2028-01-01' + g % 300, 'rest ' || g, g FROM generate_series(1, {ROWS}) g;
"""
APART = f"""
CREATE TABLE s.log_26 (at date NOT NULL, line text, ref int);
INSERT INTO s.log_26 SELECT date '2026-01-01' + g % 300, 'line ' || g, g FROM generate_series(1, {ROWS}) g;
"""
DOMAIN = f"""
CREATE DOMAIN s.bounded AS int CHECK (VALUE > 0);
CREATE DOMAIN s.free AS int;
CREATE TABLE s.levy (id int, amount s.free);
INSERT INTO s.levy SELECT g, g FROM generate_series(1, {ROWS}) g;
"""
VIEW = KEYED + "CREATE MATERIALIZED VIEW s.sums AS SELECT id, price FROM s.toll;"

CASES = (
    Case(
        "index",
        Family.INDEX,
        INDEXED,
        CREW,
        'CREATE INDEX mail_idx ON s.crew (lower(mail), "Full Name" DESC) WHERE reg_no > 5',
    ),
    Case("index-unique", Family.INDEX, INDEXED, CREW, "CREATE UNIQUE INDEX ON s.crew (badge)"),
    Case(
        "index-tablespace",
        Family.INDEX,
        INDEXED,
        CREW,
        "CREATE INDEX far ON s.crew (mail) TABLESPACE remedy_far WHERE badge > 5",
    ),
    Case("index-in-do", Family.INDEX, INDEXED, CREW, "DO $$ BEGIN CREATE INDEX mail_idx ON s.crew (mail); END $$"),
    Case("index-view", Family.INDEX, INDEXED, VIEW, "CREATE INDEX sums_price ON s.sums (price)"),
    Case("partitioned", Family.INDEX_OF_PARTITIONED, INDEXED, LOG, "CREATE INDEX log_at_idx ON s.log (at, line)"),
    Case(
        "partitioned-half",
        Family.INDEX_OF_PARTITIONED,
        INDEXED,
        LOG + "CREATE INDEX own ON s.log_24 (ref);",
        "CREATE INDEX log_ref_idx ON s.log (ref)",
    ),
    Case(
        "reindex", Family.REINDEX, INDEXED, CREW + "CREATE INDEX mail_idx ON s.crew (mail);", "REINDEX INDEX s.mail_idx"
    ),
    Case("reindex-table", Family.REINDEX, INDEXED, KEYED, "REINDEX TABLE s.toll"),
    Case("reindex-schema", Family.REINDEX, INDEXED, KEYED, "REINDEX SCHEMA in_reindex_schema"),
    Case(
        "reindex-far",
        Family.REINDEX,
        INDEXED,
        CREW + "CREATE INDEX mail_idx ON s.crew (mail);",
        "ALTER INDEX s.mail_idx SET TABLESPACE remedy_far",
    ),
    Case(
        "reindex-exclude",
        Family.REINDEX_EXCLUSION,
        INDEXED,
        CREW + "ALTER TABLE s.crew ADD CONSTRAINT one EXCLUDE (badge WITH =);",
        "REINDEX INDEX s.one",
        online=False,
    ),
    Case(
        "drop-index",
        Family.DROP_INDEX,
        INDEXED,
        CREW + "CREATE INDEX mail_idx ON s.crew (mail);",
        "DROP INDEX s.mail_idx",
    ),
    Case(
        "drop-partitioned",
        Family.DROP_PARTITIONED_INDEX,
        INDEXED,
        LOG + "CREATE INDEX i ON s.log (at);",
        "DROP INDEX s.i",
        online=False,
    ),
    Case(
        "unique",
        Family.UNIQUE,
        SCANNED,
        CREW,
        "ALTER TABLE s.crew ADD UNIQUE (badge, mail) INCLUDE (born) DEFERRABLE INITIALLY DEFERRED",
    ),
    Case(
        "unique-late",
        Family.UNIQUE,
        SCANNED,
        CREW,
        "ALTER TABLE s.crew ADD COLUMN rank int; ALTER TABLE s.crew ADD CONSTRAINT one UNIQUE (badge)",
        "ALTER TABLE s.crew ADD CONSTRAINT one UNIQUE (badge)",
    ),
    Case("primary-key", Family.UNIQUE, SCANNED, CREW, "ALTER TABLE s.crew ADD PRIMARY KEY (badge)"),
    Case(
        "primary-key-nullable",
        Family.UNIQUE,
        SCANNED,
        CREW,
        'ALTER TABLE s.crew ADD CONSTRAINT "Crew PK" PRIMARY KEY (reg_no, mail)',
    ),
    Case(
        "unique-partitioned",
        Family.UNIQUE_OF_PARTITIONED,
        SCANNED,
        LOG,
        "ALTER TABLE s.log ADD CONSTRAINT log_one UNIQUE (at, ref)",
    ),
    Case(
        "primary-key-partitioned",
        Family.UNIQUE_OF_PARTITIONED,
        SCANNED,
        LOG,
        "ALTER TABLE s.log ADD PRIMARY KEY (at, ref)",
    ),
    Case(
        "using-index",
        Family.USING_INDEX,
        SCANNED,
        CREW + "CREATE UNIQUE INDEX reg ON s.crew (reg_no);",
        "ALTER TABLE s.crew ADD CONSTRAINT crew_pk PRIMARY KEY USING INDEX reg",
    ),
    Case(
        "exclude",
        Family.EXCLUDE,
        SCANNED,
        CREW,
        "ALTER TABLE s.crew ADD CONSTRAINT one EXCLUDE (badge WITH =)",
        online=False,
    ),
    Case(
        "not-null",
        Family.NOT_NULL,
        SCANNED,
        CREW,
        "ALTER TABLE s.crew ALTER COLUMN mail SET NOT NULL, ALTER reg_no SET NOT NULL",
    ),
    Case(
        "not-null-late",
        Family.NOT_NULL,
        SCANNED,
        CREW,
        "ALTER TABLE s.crew ADD COLUMN rank int; ALTER TABLE s.crew ALTER COLUMN mail SET NOT NULL",
        "ALTER TABLE s.crew ALTER COLUMN mail SET NOT NULL",
    ),
    Case("not-null-partitioned", Family.NOT_NULL, SCANNED, LOG, "ALTER TABLE s.log ALTER COLUMN ref SET NOT NULL"),
    Case(
        "check",
        Family.CHECK,
        SCANNED,
        CREW,
        "ALTER TABLE s.crew ADD CONSTRAINT grown CHECK (badge > 0 AND mail <> 'where') NO INHERIT",
    ),
    Case("check-partitioned", Family.CHECK, SCANNED, LOG, "ALTER TABLE s.log ADD CHECK (ref > 0)"),
    Case(
        "foreign-key",
        Family.CHECK,
        SCANNED,
        KEYED + "CREATE TABLE s.visit AS SELECT id AS toll_id FROM s.toll; CREATE INDEX ON s.visit (toll_id);",
        "ALTER TABLE s.visit ADD FOREIGN KEY (toll_id) REFERENCES s.toll (id) ON DELETE CASCADE",
    ),
    Case(
        "key-of-partitioned",
        Family.CHECK,
        SCANNED,
        LOG + f"CREATE TABLE s.ref (id int PRIMARY KEY); INSERT INTO s.ref SELECT generate_series(1, {ROWS});",
        "ALTER TABLE s.log ADD CONSTRAINT log_ref FOREIGN KEY (ref) REFERENCES s.ref (id)",
        old_family=Family.KEY_OF_PARTITIONED,
    ),
    Case(
        "validate",
        Family.VALIDATE,
        "constraint-not-valid",
        CREW,
        "ALTER TABLE s.crew ADD CONSTRAINT grown CHECK (badge > 0) NOT VALID",
        "ALTER TABLE s.crew ADD CONSTRAINT grown CHECK (badge > 0)",
        after=True,
    ),
    Case(
        "apart",
        Family.APART,
        SCANNED,
        CREW,
        "ALTER TABLE s.crew ADD CONSTRAINT grown CHECK (badge > 0) NOT VALID; ALTER TABLE s.crew VALIDATE CONSTRAINT grown",
        "ALTER TABLE s.crew ADD CONSTRAINT grown CHECK (badge > 0) NOT VALID; ALTER TABLE s.crew VALIDATE CONSTRAINT grown",
        after=True,
    ),
    Case(
        "domain",
        Family.DOMAIN,
        SCANNED,
        DOMAIN,
        "ALTER DOMAIN s.free ADD CONSTRAINT c CHECK (VALUE > 0)",
        "ALTER DOMAIN s.free ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID",
    ),
    Case(
        "domain-validate",
        Family.DOMAIN_VALIDATE,
        SCANNED,
        DOMAIN + "ALTER DOMAIN s.free ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID;",
        "ALTER DOMAIN s.free VALIDATE CONSTRAINT c",
        online=False,
    ),
    Case(
        "column-checked",
        Family.NEW_COLUMN,
        SCANNED,
        CREW,
        "ALTER TABLE s.crew ADD COLUMN rank int NOT NULL DEFAULT 1 CHECK (rank > 0)",
    ),
    Case("column-unique", Family.NEW_COLUMN, SCANNED, CREW, 'ALTER TABLE s.crew ADD COLUMN "Nick Name" text UNIQUE'),
    Case(
        "column-volatile",
        Family.FILLED_COLUMN,
        REWRITTEN,
        KEYED,
        "ALTER TABLE s.toll ADD COLUMN mark uuid NOT NULL DEFAULT gen_random_uuid()",
    ),
    Case(
        "column-volatile-partitioned",
        Family.FILLED_COLUMN,
        REWRITTEN,
        LOG,
        "ALTER TABLE s.log ADD COLUMN noise float DEFAULT random()",
    ),
    Case(
        "column-unsafe-default",
        Family.FILLED_COLUMN,
        "unsafe-default",
        CREW,
        "ALTER TABLE s.crew ADD COLUMN seen timestamptz DEFAULT clock_timestamp()",
    ),
    Case("column-serial", Family.FILLED_COLUMN, REWRITTEN, CREW, "ALTER TABLE s.crew ADD COLUMN id serial PRIMARY KEY"),
    Case(
        "column-identity",
        Family.IDENTITY,
        REWRITTEN,
        CREW,
        "ALTER TABLE s.crew ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY (START WITH 10 INCREMENT BY 5)",
    ),
    Case(
        "column-identity-key",
        Family.IDENTITY,
        REWRITTEN,
        CREW,
        "ALTER TABLE s.crew ADD COLUMN id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
    ),
    Case(
        "stored",
        Family.VIRTUAL,
        REWRITTEN,
        KEYED,
        "ALTER TABLE s.toll ADD COLUMN total int GENERATED ALWAYS AS (price * quantity) STORED",
        old_family=Family.STORED,
        differs=frozenset(
            {("column", "total"), ("function", "toll_total_compute()"), ("trigger", "toll_total_compute")}
        ),
    ),
    Case(
        "column-domain",
        Family.DOMAIN_COLUMN,
        REWRITTEN,
        DOMAIN,
        "ALTER TABLE s.levy ADD COLUMN due s.bounded DEFAULT 5",
        differs=frozenset({("column", "due"), ("constraint", "levy_due_check")}),
    ),
    Case(
        "required",
        Family.REQUIRED_COLUMN,
        "constraint-violated",
        KEYED,
        "ALTER TABLE s.toll ADD COLUMN hull_no text NOT NULL",
        "DELETE FROM s.toll; ALTER TABLE s.toll ADD COLUMN hull_no text NOT NULL",
        fails=True,
        fill="UPDATE s.toll SET hull_no = 'H' || id",
    ),
    Case("type", Family.TYPE, REWRITTEN, KEYED, "ALTER TABLE s.toll ALTER COLUMN price TYPE bigint", online=False),
    Case(
        "expression",
        Family.EXPRESSION,
        REWRITTEN,
        KEYED + "ALTER TABLE s.toll ADD COLUMN twice int GENERATED ALWAYS AS (price * 2) STORED;",
        "ALTER TABLE s.toll ALTER COLUMN twice SET EXPRESSION AS (price * 3)",
        since=17,
        online=False,
    ),
    Case(
        "attach",
        Family.ATTACH,
        SCANNED,
        LOG + APART,
        "ALTER TABLE s.log ATTACH PARTITION s.log_26 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    ),
    Case(
        "attach-beside-default",
        Family.ATTACH,
        SCANNED,
        LOG
        + REST
        + APART
        + "CREATE INDEX log_at_idx ON s.log (at); ALTER TABLE s.log ADD CONSTRAINT log_one UNIQUE (at, line);",
        "ALTER TABLE s.log ATTACH PARTITION s.log_26 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    ),
    Case(
        "attach-with-key",
        Family.ATTACH,
        SCANNED,
        LOG
        + APART
        + f"CREATE TABLE s.ref (id int PRIMARY KEY); INSERT INTO s.ref SELECT generate_series(1, {ROWS}); ALTER TABLE s.log ADD CONSTRAINT log_ref FOREIGN KEY (ref) REFERENCES s.ref (id);",
        "ALTER TABLE s.log ATTACH PARTITION s.log_26 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    ),
    Case(
        "attach-hash",
        Family.ATTACH,
        SCANNED,
        f"CREATE TABLE s.h (id int NOT NULL) PARTITION BY HASH (id); CREATE TABLE s.h0 PARTITION OF s.h FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE s.h1 PARTITION OF s.h FOR VALUES WITH (MODULUS 2, REMAINDER 1); INSERT INTO s.h SELECT generate_series(1, {ROWS}); ALTER TABLE s.h DETACH PARTITION s.h1;",
        "ALTER TABLE s.h ATTACH PARTITION s.h1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    ),
    Case(
        "attach-default",
        Family.ATTACH,
        SCANNED,
        LOG + REST + "ALTER TABLE s.log DETACH PARTITION s.log_rest;",
        "ALTER TABLE s.log ATTACH PARTITION s.log_rest DEFAULT",
    ),
    Case(
        "new-partition",
        Family.NEW_PARTITION,
        SCANNED,
        LOG + REST,
        "CREATE TABLE s.log_26 PARTITION OF s.log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    ),
    Case("unlogged", Family.PERSISTENCE, REWRITTEN, KEYED, "ALTER TABLE s.toll SET UNLOGGED", online=False),
    Case(
        "logged",
        Family.PERSISTENCE,
        REWRITTEN,
        KEYED + "ALTER TABLE s.toll SET UNLOGGED;",
        "ALTER TABLE s.toll SET LOGGED",
        online=False,
    ),
    Case("storage", Family.STORAGE, REWRITTEN, CREW, "ALTER TABLE s.crew SET TABLESPACE remedy_far", online=False),
    Case(
        "refresh",
        Family.REFRESH,
        REWRITTEN,
        VIEW + "CREATE UNIQUE INDEX ON s.sums (id);",
        "REFRESH MATERIALIZED VIEW s.sums",
    ),
    Case(
        "refresh-without",
        Family.REFRESH_WITHOUT_INDEX,
        REWRITTEN,
        VIEW,
        "REFRESH MATERIALIZED VIEW s.sums",
        online=False,
    ),
    Case("repack", Family.REPACK, REWRITTEN, KEYED, "CLUSTER s.toll USING toll_pkey", online=False),
    Case("repack-full", Family.REPACK, REWRITTEN, KEYED, "VACUUM FULL s.toll", online=False),
    Case(
        "key-index",
        Family.INDEX_OF_KEY,
        "foreign-key-without-index",
        KEYED.replace("s.toll", "s.due") + "CREATE TABLE s.call AS SELECT id AS toll_id FROM s.due;",
        "ALTER TABLE s.call ADD CONSTRAINT k FOREIGN KEY (toll_id) REFERENCES s.due (id) NOT VALID",
        "ALTER TABLE s.call ADD CONSTRAINT k FOREIGN KEY (toll_id) REFERENCES s.due (id) NOT VALID; CREATE INDEX ON s.call (toll_id)",
        after=True,
    ),
    Case(
        "key-index-partitioned",
        Family.INDEX_OF_PARTITIONED_KEY,
        "foreign-key-without-index",
        LOG.replace("s.log", "s.diary")
        + f"CREATE TABLE s.page (id int PRIMARY KEY); INSERT INTO s.page SELECT generate_series(1, {ROWS});",
        "ALTER TABLE s.diary ADD CONSTRAINT diary_ref FOREIGN KEY (ref) REFERENCES s.page (id)",
        "ALTER TABLE s.diary ADD CONSTRAINT diary_ref FOREIGN KEY (ref) REFERENCES s.page (id); CREATE INDEX ON s.diary (ref)",
        after=True,
    ),
    Case(
        "index-missing",
        Family.INDEX_MISSING,
        "invalid-index",
        LOG + "CREATE INDEX own ON s.log_24 (at);",
        "CREATE INDEX log_at_idx ON ONLY s.log (at); CREATE INDEX log_25_idx ON s.log_25 (at); ALTER INDEX s.log_at_idx ATTACH PARTITION s.log_25_idx",
        "CREATE INDEX log_25_idx ON s.log_25 (at); CREATE INDEX log_at_idx ON s.log (at)",
        after=True,
    ),
    Case(
        "index-missing-built",
        Family.INDEX_MISSING,
        "invalid-index",
        LOG,
        "CREATE INDEX whole ON ONLY s.log (at); CREATE INDEX whole_25 ON s.log_25 (at); ALTER INDEX s.whole ATTACH PARTITION s.whole_25",
        "CREATE INDEX whole_25 ON s.log_25 (at); CREATE INDEX log_24_whole_part ON s.log_24 (at); CREATE INDEX whole ON s.log (at)",
        after=True,
    ),
    Case(
        "index-invalid",
        Family.INVALID_INDEX,
        "invalid-index",
        CREW.replace("s.crew", "s.broken") + "CREATE INDEX post_idx ON s.broken (mail);",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 's.post_idx'::regclass",
        "SELECT 1",
        after=True,
    ),
    Case(
        "index-left",
        Family.LEFT_INDEX,
        "invalid-index",
        CREW.replace("s.crew", "s.half") + "CREATE INDEX left_idx_ccnew ON s.half (mail);",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 's.left_idx_ccnew'::regclass",
        "DROP INDEX s.left_idx_ccnew",
        after=True,
    ),
    Case(
        "not-enforced",
        Family.ADDED_AGAIN,
        "enforcement-off",
        CREW.replace("s.crew", "s.chief")
        + "CREATE TABLE s.rating (badge int); ALTER TABLE s.chief ADD CONSTRAINT one UNIQUE (badge); ALTER TABLE s.rating ADD CONSTRAINT k FOREIGN KEY (badge) REFERENCES s.chief (badge); CREATE INDEX ON s.rating (badge); INSERT INTO s.rating SELECT badge FROM s.chief;",
        "ALTER TABLE s.rating ALTER CONSTRAINT k NOT ENFORCED",
        "SELECT 1",
        since=18,
        after=True,
    ),
    Case(
        "triggers-gone",
        Family.TRIGGERS_GONE,
        "enforcement-off",
        CREW.replace("s.crew", "s.master")
        + "CREATE TABLE s.mate (badge int); ALTER TABLE s.master ADD CONSTRAINT one UNIQUE (badge); ALTER TABLE s.mate ADD CONSTRAINT k FOREIGN KEY (badge) REFERENCES s.master (badge); CREATE INDEX ON s.mate (badge); INSERT INTO s.mate SELECT badge FROM s.master;",
        "DELETE FROM pg_trigger WHERE tgconstraint = (SELECT oid FROM pg_constraint WHERE conrelid = 's.mate'::regclass AND conname = 'k')",
        online=False,
    ),
    Case(
        "triggers-off",
        Family.TRIGGERS,
        "enforcement-off",
        KEYED.replace("s.toll", "s.fare")
        + "CREATE TABLE s.ride AS SELECT id AS toll_id FROM s.fare; CREATE INDEX ON s.ride (toll_id); ALTER TABLE s.ride ADD CONSTRAINT k FOREIGN KEY (toll_id) REFERENCES s.fare (id);",
        "ALTER TABLE s.ride DISABLE TRIGGER ALL",
        "SELECT 1",
        after=True,
    ),
    Case(
        "unpopulated",
        Family.POPULATE,
        "object-changed",
        VIEW.replace("s.sums", "s.totals"),
        "REFRESH MATERIALIZED VIEW s.totals WITH NO DATA",
        "SELECT 1",
        after=True,
    ),
    Case(
        "computed-index",
        Family.REINDEX,
        "object-changed",
        CREW
        + "CREATE FUNCTION s.fold(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)'; CREATE INDEX folded ON s.crew (s.fold(mail));",
        "CREATE OR REPLACE FUNCTION s.fold(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT upper($1)'",
        after=True,
    ),
    Case(
        "unknown", Family.UNKNOWN, INDEXED, CREW, "CREATE INDEX gone ON s.crew (mail); DROP INDEX s.gone", online=False
    ),
)
