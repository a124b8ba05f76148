# ruff: noqa: E501  (queries read best with one fact a line)
"""One set-based query for each kind of object that pg_dump would write.

Every query returns the same ten columns: kind, oid, number, schema, name, identity, parent, position, attributes,
details. `attributes` is what two databases are compared on; `details` holds this database's own oids and the like.
Left out: what belongs to an extension (unless asked for), the system's schemas, and the schema and event triggers the
dry run itself installs on a copy. Source of the selection: the manual's chapter "System Catalogs" and the behaviour of pg_dump.
"""

from __future__ import annotations

import re

USER_SCHEMA = "n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pytest_dryrun')"


def _own(catalog: str, oid: str) -> str:
    """The mark of a condition that an object is no member of an extension; `queries` writes it out."""
    return f"<own {catalog} {oid}>"


_OWN = re.compile(r"<own (\w+) ([\w.]+)>")


def _no_member(mark: re.Match[str]) -> str:
    catalog = "d.classoid" if mark[1] == "any" else f"'{mark[1]}'::regclass"
    return (
        f"NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = {catalog} AND e.objid = {mark[2]} "
        "AND e.objsubid = 0 AND e.deptype = 'e')"
    )


# Which objects belong to which extension. What belongs to a table has no row of its own here.
MEMBERS = """
SELECT c.relname, d.classid::int8, d.objid::int8, x.extname FROM pg_depend d
  JOIN pg_extension x ON x.oid = d.refobjid JOIN pg_class c ON c.oid = d.classid
 WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass"""


def _grants(acl: str, kind: str, owner: str | None) -> str:
    """Grants as sorted text, relative to the default: no ACL and an ACL that spells the default out are the same."""
    default = f"aclexplode(acldefault('{kind}', {owner}))" if owner else "aclexplode(NULL::aclitem[])"
    columns = "grantee, privilege_type, is_grantable"
    role = "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END"
    return f"""CASE WHEN {acl} IS NOT NULL THEN (SELECT jsonb_agg(line ORDER BY line) FROM (
      SELECT format('GRANT %s TO %s%s', privilege_type, {role},
                    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS line
        FROM (SELECT {columns} FROM aclexplode({acl}) EXCEPT SELECT {columns} FROM {default}) more
      UNION ALL
      SELECT format('REVOKE %s FROM %s', privilege_type, {role})
        FROM (SELECT {columns} FROM {default} EXCEPT SELECT {columns} FROM aclexplode({acl})) less) AS lines) END"""


# Security updates of November 2026 keep a place in the WAL among a column's options; every restore gives another one.
INTERNAL_OPTION = "pg_attver"


def _sorted(array: str) -> str:
    """The options that somebody set, as a set: the order in which they were given means nothing."""
    return f"(SELECT jsonb_agg(o ORDER BY o) FROM unnest({array}) o WHERE o !~ '^{INTERNAL_OPTION}=')"


SCHEMAS = f"""
SELECT 'schema', n.oid, 0, '', n.nspname, quote_ident(n.nspname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(n.nspowner)),
         'grants', {_grants("n.nspacl", "n", "n.nspowner")})), '{{}}'::jsonb
  FROM pg_namespace n WHERE {USER_SCHEMA} AND {_own("pg_namespace", "n.oid")}
"""

EXTENSIONS = """
SELECT 'extension', x.oid, 0, '', x.extname, quote_ident(x.extname), NULL, 0,
       jsonb_build_object('schema', quote_ident(n.nspname), 'version', x.extversion), '{}'::jsonb
  FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
"""

TABLES = f"""
SELECT CASE c.relkind WHEN 'f' THEN 'foreign table' ELSE 'table' END, c.oid, 0, n.nspname, c.relname,
       format('%I.%I', n.nspname, c.relname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object(
         'owner', quote_ident(pg_get_userbyid(c.relowner)), 'grants', {_grants("c.relacl", "r", "c.relowner")},
         'unlogged', nullif(c.relpersistence = 'u', false),
         'options', {_sorted("c.reloptions")}, 'toast_options', {_sorted("toast.reloptions")},
         'row_security', nullif(c.relrowsecurity, false), 'force_row_security', nullif(c.relforcerowsecurity, false),
         'replica_identity', CASE c.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' WHEN 'i' THEN 'INDEX' END,
         'partition_key', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
         'partition_bound', pg_get_expr(c.relpartbound, c.oid),
         'inherits', (SELECT jsonb_agg(format('%I.%I', pn.nspname, pc.relname) ORDER BY h.inhseqno)
                        FROM pg_inherits h JOIN pg_class pc ON pc.oid = h.inhparent
                        JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = c.oid),
         'access_method', nullif(am.amname, 'heap'), 'tablespace', ts.spcname,
         'of_type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END,
         'server', quote_ident(fs.srvname), 'server_options', {_sorted("ft.ftoptions")})),
       jsonb_build_object('relkind', c.relkind, 'namespace', c.relnamespace::int8, 'partition', c.relispartition)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
  LEFT JOIN pg_am am ON am.oid = c.relam LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
  LEFT JOIN pg_foreign_table ft ON ft.ftrelid = c.oid LEFT JOIN pg_foreign_server fs ON fs.oid = ft.ftserver
 WHERE c.relkind IN ('r', 'p', 'f') AND {USER_SCHEMA} AND {_own("pg_class", "c.oid")}
"""

# NOT NULL is a constraint with a name and a validity of its own from PostgreSQL 18 on.
_NOT_NULL = {
    "columns": "'not_null_name', nn.conname, 'not_null_valid', nn.convalidated, "
    "'not_null_no_inherit', nullif(nn.connoinherit, false),",
    "join": "LEFT JOIN pg_constraint nn ON nn.conrelid = a.attrelid AND nn.contype = 'n' AND nn.conkey[1] = a.attnum",
}


# Asked of the parsed expression, for the server records no dependency on its own functions.
_VOLATILE = """(SELECT jsonb_agg(DISTINCT p.proname)
            FROM regexp_matches(d.adbin::text, ':(?:funcid|opfuncid) (\\d+)', 'g') f JOIN pg_proc p ON p.oid = f[1]::oid
           WHERE p.provolatile = 'v' AND a.attgenerated = '')"""


def columns(version_num: int) -> str:
    """The columns of tables; the columns of a view belong to the view."""
    named = version_num >= 180000
    return f"""
SELECT 'column', c.oid, a.attnum, n.nspname, a.attname, format('%I.%I.%I', n.nspname, c.relname, a.attname),
       format('%I.%I', n.nspname, c.relname), a.attnum,
       jsonb_strip_nulls(jsonb_build_object(
         'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull, {_NOT_NULL["columns"] if named else ""}
         'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
         'generated', CASE a.attgenerated WHEN 's' THEN 'STORED' WHEN 'v' THEN 'VIRTUAL' END,
         'expression', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
         'identity', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
         'collation', CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0
                           THEN (SELECT format('%I.%I', cn.nspname, co.collname) FROM pg_collation co
                                   JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) END,
         'storage', CASE WHEN a.attstorage <> t.typstorage THEN
            CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END
            END,
         'compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END,
         'statistics', nullif(a.attstattarget::int, -1), 'options', {_sorted("a.attoptions")},
         'server_options', {_sorted("a.attfdwoptions")}, 'grants', {_grants("a.attacl", "c", "c.relowner")})),
       CASE WHEN d.adbin::text ~ ':(op)?funcid' THEN jsonb_build_object('volatile', {_VOLATILE}) ELSE '{{}}'::jsonb END
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  {_NOT_NULL["join"] if named else ""}
 WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND {USER_SCHEMA} AND {_own("pg_class", "c.oid")}
"""


# A foreign key on a partition that came from its partitioned table is made by the server again, under a name of its
# choice. A check that is inherited is as valid as its parent's: a child made later has it valid, its restore has not.
CONSTRAINTS = f"""
WITH RECURSIVE keys AS (
  SELECT f.oid, jsonb_agg(a.attname ORDER BY k.i) AS columns, jsonb_agg(r.attname ORDER BY k.i) AS referenced_columns,
         jsonb_agg(format('OPERATOR(%I.%s)', opn.nspname, o.oprname) ORDER BY k.i) AS operators
    FROM pg_constraint f CROSS JOIN LATERAL unnest(f.conkey, f.confkey, f.conpfeqop) WITH ORDINALITY k(num, referenced, operator, i)
    JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num
    JOIN pg_attribute r ON r.attrelid = f.confrelid AND r.attnum = k.referenced
    JOIN pg_operator o ON o.oid = k.operator JOIN pg_namespace opn ON opn.oid = o.oprnamespace
   WHERE f.contype = 'f' AND f.conparentid = 0 GROUP BY f.oid),
disabled AS (SELECT DISTINCT tgconstraint AS oid FROM pg_trigger WHERE tgconstraint <> 0 AND tgenabled = 'D'),
pending AS (
  SELECT conrelid, conname FROM pg_constraint WHERE contype = 'c' AND NOT convalidated
  UNION SELECT k.conrelid, k.conname FROM pending p JOIN pg_inherits h ON h.inhparent = p.conrelid
    JOIN pg_constraint k ON k.conrelid = h.inhrelid AND k.conname = p.conname AND k.contype = 'c' AND NOT k.conislocal)
SELECT 'constraint', con.oid, 0, n.nspname, con.conname, format('%I.%I.%I', n.nspname, c.relname, con.conname),
       format('%I.%I', n.nspname, c.relname), 0,
       jsonb_strip_nulls(jsonb_build_object(
         'type', CASE con.contype WHEN 'p' THEN 'primary key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign key'
                                  WHEN 'c' THEN 'check' ELSE 'exclude' END,
         'definition', pg_get_constraintdef(con.oid)
           || CASE WHEN con.convalidated AND pending.conrelid IS NOT NULL THEN ' NOT VALID' ELSE '' END,
         'valid', con.convalidated AND pending.conrelid IS NULL,
         'deferrable', nullif(con.condeferrable, false), 'deferred', nullif(con.condeferred, false),
         'disabled', nullif(con.contype = 'f' AND disabled.oid IS NOT NULL, false))),
       jsonb_build_object('index', con.conindid::int8, 'inherited', NOT con.conislocal OR con.conparentid <> 0, 'enforced', {{enforced}})
         || CASE WHEN con.contype = 'f' THEN jsonb_build_object(
              'conkey', con.conkey, 'match', con.confmatchtype, 'on_delete', con.confdeltype, 'on_update', con.confupdtype,
              'referenced', format('%I.%I', rn.nspname, rc.relname), 'columns', keys.columns,
              'referenced_columns', keys.referenced_columns, 'operators', keys.operators,
              'period', coalesce((to_jsonb(con) ->> 'conperiod')::boolean, false)) ELSE '{{}}'::jsonb END
  FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN keys ON keys.oid = con.oid LEFT JOIN disabled ON disabled.oid = con.oid
  LEFT JOIN pending ON pending.conrelid = con.conrelid AND pending.conname = con.conname
  LEFT JOIN (pg_class rc JOIN pg_namespace rn ON rn.oid = rc.relnamespace) ON rc.oid = con.confrelid AND con.contype = 'f'
 WHERE con.contype IN ('p', 'u', 'f', 'c', 'x') AND NOT (con.contype = 'f' AND con.conparentid <> 0)
   AND {USER_SCHEMA} AND {_own("pg_class", "c.oid")}
"""


def constraints(version_num: int) -> str:
    """Constraints of tables; `NOT ENFORCED` exists from PostgreSQL 18 on."""
    return CONSTRAINTS.replace("{enforced}", "con.conenforced" if version_num >= 180000 else "true")


INDEXES = f"""
SELECT 'index', i.indexrelid, 0, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname),
       format('%I.%I', tn.nspname, t.relname), 0,
       jsonb_strip_nulls(jsonb_build_object(
         'definition', pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid, 'ready', i.indisready,
         'clustered', nullif(i.indisclustered, false), 'replica_identity', nullif(i.indisreplident, false),
         'attached_to', CASE WHEN c.relispartition THEN (SELECT format('%I.%I', pn.nspname, pc.relname) FROM pg_inherits h JOIN pg_class pc ON pc.oid = h.inhparent
                           JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE h.inhrelid = i.indexrelid) END,
         'statistics', CASE WHEN i.indexprs IS NOT NULL THEN (SELECT jsonb_object_agg(a.attnum, a.attstattarget) FROM pg_attribute a
                          WHERE a.attrelid = i.indexrelid AND a.attstattarget >= 0) END,
         'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace))),
       jsonb_build_object('relid', t.oid::int8, 'relkind', c.relkind, 'table_kind', t.relkind, 'unique', i.indisunique,
         'exclusion', i.indisexclusion, 'shape', concat_ws('/', c.relam, i.indnkeyatts, i.indkey, i.indclass, i.indcollation, i.indoption,
           i.indimmediate, to_jsonb(i) ->> 'indnullsnotdistinct'),
         'partial', i.indpred IS NOT NULL, 'keys', (i.indkey::int2[])[0:i.indnkeyatts - 1], 'constraint', con.conname)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
  LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.contype IN ('p', 'u', 'x') AND con.conrelid = t.oid
 WHERE t.relkind IN ('r', 'p', 'm') AND {USER_SCHEMA} AND {_own("pg_class", "t.oid")} AND {_own("pg_class", "c.oid")}
"""

VIEWS = f"""
SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, c.oid, 0, n.nspname, c.relname,
       format('%I.%I', n.nspname, c.relname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object(
         'owner', quote_ident(pg_get_userbyid(c.relowner)), 'grants', {_grants("c.relacl", "r", "c.relowner")},
         'query', pg_get_viewdef(c.oid), 'options', {_sorted("c.reloptions")},
         'populated', CASE c.relkind WHEN 'm' THEN c.relispopulated END,
         'columns', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', quote_ident(a.attname),
                              'type', format_type(a.atttypid, a.atttypmod), 'default', pg_get_expr(d.adbin, d.adrelid),
                              'grants', {_grants("a.attacl", "c", "c.relowner")})) ORDER BY a.attnum)
                       FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))),
       jsonb_build_object('relkind', c.relkind, 'namespace', c.relnamespace::int8)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('v', 'm') AND {USER_SCHEMA} AND {_own("pg_class", "c.oid")}
"""

SEQUENCES = f"""
SELECT 'sequence', c.oid, 0, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object(
         'owner', CASE WHEN t.oid IS NULL THEN quote_ident(pg_get_userbyid(c.relowner)) END, 'grants', {_grants("c.relacl", "s", "c.relowner")},
         'type', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment', s.seqincrement, 'minimum', s.seqmin,
         'maximum', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle, 'unlogged', nullif(c.relpersistence = 'u', false),
         'owned_by', CASE WHEN t.oid IS NOT NULL THEN format('%I.%I.%I', tn.nspname, t.relname, a.attname) END, 'identity', nullif(d.deptype = 'i', false))),
       jsonb_build_object('namespace', c.relnamespace::int8, 'owner_relid', t.oid::int8)
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN (pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid)
    ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass
   AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
 WHERE {USER_SCHEMA} AND {_own("pg_class", "c.oid")}
"""

FUNCTIONS = f"""
SELECT CASE p.prokind WHEN 'a' THEN 'aggregate' WHEN 'p' THEN 'procedure' ELSE 'function' END, p.oid, 0, n.nspname,
p.proname,
       format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object(
         'owner', quote_ident(pg_get_userbyid(p.proowner)), 'grants', {_grants("p.proacl", "f", "p.proowner")},
         'definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
         'aggregate', CASE WHEN p.prokind = 'a' THEN (
            SELECT jsonb_build_object('sfunc', g.aggtransfn::regprocedure::text, 'stype', format_type(g.aggtranstype, NULL),
                     'finalfunc', g.aggfinalfn::regproc::text, 'combinefunc', g.aggcombinefn::regproc::text, 'initcond', g.agginitval,
                     'kind', g.aggkind, 'sort', g.aggsortop::regoper::text, 'parallel', p.proparallel,
                     'returns', pg_get_function_result(p.oid))
              FROM pg_aggregate g WHERE g.aggfnoid = p.oid) END)),
       jsonb_build_object('namespace', p.pronamespace::int8)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE {USER_SCHEMA} AND {_own("pg_proc", "p.oid")}
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
"""

TRIGGERS = f"""
SELECT 'trigger', t.oid, 0, n.nspname, t.tgname, format('%I.%I.%I', n.nspname, c.relname, t.tgname),
       format('%I.%I', n.nspname, c.relname), 0,
       jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled), '{{}}'::jsonb
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND {USER_SCHEMA} AND {_own("pg_class", "c.oid")} AND {_own("pg_trigger", "t.oid")}
"""

EVENT_TRIGGERS = f"""
SELECT 'event trigger', t.oid, 0, '', t.evtname, quote_ident(t.evtname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(t.evtowner)), 'event', t.evtevent,
         'function', t.evtfoid::regproc::text, 'tags', {_sorted("t.evttags")}, 'enabled', t.evtenabled)), '{{}}'::jsonb
  FROM pg_event_trigger t WHERE t.evtname !~ '^pytest_dryrun_' AND {_own("pg_event_trigger", "t.oid")}
"""

RULES = f"""
SELECT 'rule', r.oid, 0, n.nspname, r.rulename, format('%I.%I.%I', n.nspname, c.relname, r.rulename),
       format('%I.%I', n.nspname, c.relname), 0,
       jsonb_build_object('definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled), '{{}}'::jsonb
  FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE r.rulename <> '_RETURN' AND {USER_SCHEMA} AND {_own("pg_class", "c.oid")}
"""

POLICIES = f"""
SELECT 'policy', p.oid, 0, n.nspname, p.polname, format('%I.%I.%I', n.nspname, c.relname, p.polname),
       format('%I.%I', n.nspname, c.relname), 0,
       jsonb_strip_nulls(jsonb_build_object('permissive', p.polpermissive,
         'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
         'roles', (SELECT jsonb_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END ORDER BY r = 0,
                                    pg_get_userbyid(r)) FROM unnest(p.polroles) r),
         'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid))), '{{}}'::jsonb
  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE {USER_SCHEMA} AND {_own("pg_class", "c.oid")}
"""

TYPES = f"""
SELECT CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite type'
                      WHEN 'r' THEN 'range type' ELSE 'base type' END,
       t.oid, 0, n.nspname, t.typname, format('%I.%I', n.nspname, t.typname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object(
         'owner', quote_ident(pg_get_userbyid(t.typowner)), 'grants', {_grants("t.typacl", "T", "t.typowner")},
         'labels', (SELECT jsonb_agg(l.enumlabel ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid),
         'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
         'not_null', CASE WHEN t.typtype = 'd' THEN t.typnotnull END, 'default', t.typdefault,
         'collation', CASE WHEN t.typtype = 'd' AND t.typcollation <> bt.typcollation THEN t.typcollation::regcollation::text END,
         'constraints', (SELECT jsonb_object_agg(quote_ident(con.conname), pg_get_constraintdef(con.oid)) FROM pg_constraint con
                           WHERE con.contypid = t.oid AND con.contype = 'c'),
         'columns', CASE WHEN t.typtype = 'c' THEN (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', quote_ident(a.attname),
                        'type', format_type(a.atttypid, a.atttypmod), 'collation', CASE WHEN a.attcollation <> ct.typcollation
                        THEN a.attcollation::regcollation::text END)) ORDER BY a.attnum)
                       FROM pg_attribute a JOIN pg_type ct ON ct.oid = a.atttypid
                      WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END,
         'range', (SELECT jsonb_build_object('subtype', format_type(r.rngsubtype, NULL),
                     'collation', nullif(r.rngcollation, st.typcollation)::regcollation::text,
                     'subtype_opclass', (SELECT format('%I.%I', opn.nspname, oc.opcname) FROM pg_opclass oc
                        JOIN pg_namespace opn ON opn.oid = oc.opcnamespace WHERE oc.oid = r.rngsubopc AND NOT oc.opcdefault),
                     'canonical', nullif(r.rngcanonical::oid, 0)::regproc::text,
                     'subtype_diff', nullif(r.rngsubdiff::oid, 0)::regproc::text)
                     FROM pg_range r JOIN pg_type st ON st.oid = r.rngsubtype WHERE r.rngtypid = t.oid),
         'input', CASE WHEN t.typtype = 'b' THEN t.typinput::regproc::text END)),
       jsonb_build_object('namespace', t.typnamespace::int8, 'label_oids',
         (SELECT jsonb_agg(l.oid::int8 ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid))
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class rc ON rc.oid = t.typrelid
  LEFT JOIN pg_type bt ON bt.oid = t.typbasetype
 WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND rc.relkind = 'c')
        OR (t.typtype = 'b' AND t.typisdefined AND NOT EXISTS (SELECT FROM pg_type el WHERE el.typarray = t.oid)))
   AND {USER_SCHEMA} AND {_own("pg_type", "t.oid")}
"""

STATISTICS = f"""
SELECT 'statistics', s.oid, 0, n.nspname, s.stxname, format('%I.%I', n.nspname, s.stxname),
       (SELECT format('%I.%I', tn.nspname, c.relname) FROM pg_class c JOIN pg_namespace tn ON tn.oid = c.relnamespace
         WHERE c.oid = s.stxrelid), 0,
       jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(s.stxowner)), 'definition', pg_get_statisticsobjdef(s.oid),
         'target', nullif(s.stxstattarget::int, -1))), '{{}}'::jsonb
  FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {USER_SCHEMA} AND {_own("pg_statistic_ext", "s.oid")}
"""

# A collation made from "C" serves every encoding (-1); its restore names the database's own.
COLLATIONS = f"""
SELECT 'collation', k.oid, 0, n.nspname, k.collname, format('%I.%I', n.nspname, k.collname), NULL, 0,
       jsonb_strip_nulls(to_jsonb(k) - '{{oid,collname,collnamespace,collowner,collversion}}'::text[])
         || jsonb_build_object('owner', quote_ident(pg_get_userbyid(k.collowner)), 'collencoding',
              CASE k.collencoding WHEN (SELECT encoding FROM pg_database WHERE datname = current_database()) THEN -1
              ELSE k.collencoding END), '{{}}'::jsonb
  FROM pg_collation k JOIN pg_namespace n ON n.oid = k.collnamespace WHERE {USER_SCHEMA} AND {_own("pg_collation", "k.oid")}
"""

CASTS = f"""
SELECT 'cast', k.oid, 0, '', '', format('(%s AS %s)', format_type(k.castsource, NULL), format_type(k.casttarget, NULL)), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('function', nullif(k.castfunc::oid, 0)::regprocedure::text,
         'context', k.castcontext, 'method', k.castmethod)), '{{}}'::jsonb
  FROM pg_cast k WHERE k.oid >= 16384 AND {_own("pg_cast", "k.oid")}
"""

OPERATORS = f"""
SELECT 'operator', o.oid, 0, n.nspname, o.oprname, o.oid::regoperator::text, NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(o.oprowner)), 'function', o.oprcode::text,
         'result', format_type(o.oprresult, NULL),
         'commutator', nullif(o.oprcom::oid, 0)::regoperator::text, 'negator', nullif(o.oprnegate::oid, 0)::regoperator::text,
         'restrict', nullif(o.oprrest::oid, 0)::regproc::text, 'join', nullif(o.oprjoin::oid, 0)::regproc::text,
         'merges', o.oprcanmerge, 'hashes', o.oprcanhash)), '{{}}'::jsonb
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
 WHERE o.oprcode <> 0 AND {USER_SCHEMA} AND {_own("pg_operator", "o.oid")}
"""

# Rare things are compared by name alone; user mappings by name and a digest, for their options hold passwords.
RARE = " UNION ALL ".join(
    f"""SELECT x.type, o.oid, 0, coalesce(x.schema, ''), coalesce(x.name, ''), x.identity, NULL::text, 0, '{{}}'::jsonb, '{{}}'::jsonb
  FROM {catalog} o CROSS JOIN LATERAL pg_identify_object('{catalog}'::regclass, o.oid, 0) x
 WHERE o.oid >= 16384 AND {_own(catalog, "o.oid")} AND coalesce(x.schema, '') !~ '^pg_|^pytest_dryrun$'"""
    for catalog in (
        "pg_opclass",
        "pg_opfamily",
        "pg_conversion",
        "pg_language",
        "pg_am",
        "pg_transform",
        "pg_ts_parser",
        "pg_ts_template",
    )
)

TEXT_SEARCH = f"""
SELECT 'text search configuration', c.oid, 0, n.nspname, c.cfgname, format('%I.%I', n.nspname, c.cfgname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(c.cfgowner)),
         'parser', (SELECT format('%I.%I', pn.nspname, p.prsname) FROM pg_ts_parser p JOIN pg_namespace pn ON pn.oid = p.prsnamespace
                     WHERE p.oid = c.cfgparser),
         'mapping', (SELECT jsonb_agg(jsonb_build_array(m.maptokentype, m.mapdict::regdictionary::text) ORDER BY m.maptokentype, m.mapseqno)
                       FROM pg_ts_config_map m WHERE m.mapcfg = c.oid))), '{{}}'::jsonb
  FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace WHERE {USER_SCHEMA} AND {_own("pg_ts_config", "c.oid")}
UNION ALL
SELECT 'text search dictionary', c.oid, 0, n.nspname, c.dictname, format('%I.%I', n.nspname, c.dictname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(c.dictowner)), 'options', c.dictinitoption,
         'template', (SELECT format('%I.%I', tn.nspname, t.tmplname) FROM pg_ts_template t
                        JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE t.oid = c.dicttemplate))), '{{}}'::jsonb
  FROM pg_ts_dict c JOIN pg_namespace n ON n.oid = c.dictnamespace WHERE {USER_SCHEMA} AND {_own("pg_ts_dict", "c.oid")}
"""

FOREIGN = f"""
SELECT 'foreign-data wrapper', w.oid, 0, '', w.fdwname, quote_ident(w.fdwname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(w.fdwowner)), 'options', {_sorted("w.fdwoptions")},
         'grants', {_grants("w.fdwacl", "F", "w.fdwowner")})), '{{}}'::jsonb
  FROM pg_foreign_data_wrapper w WHERE {_own("pg_foreign_data_wrapper", "w.oid")}
UNION ALL
SELECT 'server', s.oid, 0, '', s.srvname, quote_ident(s.srvname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(s.srvowner)), 'wrapper', quote_ident(w.fdwname),
         'type', s.srvtype, 'version', s.srvversion, 'options_digest', md5({_sorted("s.srvoptions")}::text),
         'grants', {_grants("s.srvacl", "S", "s.srvowner")})), '{{}}'::jsonb
  FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE {_own("pg_foreign_server", "s.oid")}
UNION ALL
SELECT 'user mapping', m.umid, 0, '', m.usename, format('%I on server %I', m.usename, m.srvname), NULL, 0,
       jsonb_strip_nulls(jsonb_build_object('options_digest', md5({_sorted("m.umoptions")}::text))), '{{}}'::jsonb
  FROM pg_user_mappings m
"""

DEFAULT_PRIVILEGES = f"""
SELECT 'default privileges', d.oid, 0, coalesce(n.nspname, ''), '',
       format('FOR ROLE %I%s ON %s', pg_get_userbyid(d.defaclrole), coalesce(' IN SCHEMA ' || quote_ident(n.nspname), ''), d.word), NULL, 0,
       jsonb_build_object('owner', quote_ident(pg_get_userbyid(d.defaclrole)), 'grants',
         CASE WHEN n.oid IS NULL THEN {_grants("d.defaclacl", "X", "d.defaclrole").replace("'X'", "d.letter")}
              ELSE {_grants("d.defaclacl", "X", None)} END), '{{}}'::jsonb
  FROM (SELECT a.*, CASE a.defaclobjtype WHEN 'S' THEN 's'::"char" ELSE a.defaclobjtype END AS letter,
               CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T'
               THEN 'TYPES'
                                    WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END AS word FROM pg_default_acl a) d
  LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
"""


def publications(version_num: int) -> str:
    """Publications with their tables; row filters, column lists and whole schemas exist from PostgreSQL 15 on."""
    recent = version_num >= 150000
    columns = (
        "(SELECT jsonb_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = "
        "c.oid AND a.attnum = ANY (r.prattrs))"
    )
    schemas = """(SELECT jsonb_agg(quote_ident(sn.nspname) ORDER BY sn.nspname) FROM pg_publication_namespace pn
                    JOIN pg_namespace sn ON sn.oid = pn.pnnspid WHERE pn.pnpubid = p.oid)"""
    return f"""
SELECT 'publication', p.oid, 0, '', p.pubname, quote_ident(p.pubname), NULL, 0,
       (to_jsonb(p) - '{{oid,pubname,pubowner}}'::text[]) || jsonb_strip_nulls(jsonb_build_object('owner', quote_ident(pg_get_userbyid(p.pubowner)),
         'tables', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('table', format('%I.%I', n.nspname, c.relname)
                            {f", 'columns', {columns}, 'where', pg_get_expr(r.prqual, r.prrelid)" if recent else ""}))
                            ORDER BY n.nspname, c.relname)
                      FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE r.prpubid = p.oid),
         'schemas', {schemas if recent else "NULL"})), '{{}}'::jsonb
  FROM pg_publication p
"""


# The connection string of a subscription is a secret and not everybody's to read.
SUBSCRIPTIONS = """
SELECT 'subscription', s.oid, 0, '', s.subname, quote_ident(s.subname), NULL, 0,
       jsonb_build_object('owner', quote_ident(pg_get_userbyid(s.subowner)), 'publications', to_jsonb(s.subpublications)), '{}'::jsonb
  FROM pg_subscription s WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

COMMENTS = """
SELECT 'comment', d.objoid, d.objsubid, coalesce(x.schema, ''), '', x.type || ' ' || x.identity, NULL, 0,
       jsonb_build_object('text', d.description),
       jsonb_build_object('of', x.type, 'object', x.identity, 'class', d.classoid::int8)
  FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) x
 WHERE (d.objoid >= 16384 OR (d.classoid = 'pg_namespace'::regclass
        AND d.objoid = (SELECT oid FROM pg_namespace WHERE nspname = 'public'))) AND x.identity IS NOT NULL
   AND coalesce(x.schema, '') !~ '^pg_|^information_schema$|^pytest_dryrun$' AND x.identity !~ '^pg_'
   AND <own any d.objoid>
"""


def queries(version_num: int, *, members: bool = False) -> tuple[str, ...]:
    """Every query that a server of this version understands; with `members` those of extensions are among the rows."""
    found = (
        SCHEMAS,
        EXTENSIONS,
        TABLES,
        columns(version_num),
        constraints(version_num),
        INDEXES,
        VIEWS,
        SEQUENCES,
        FUNCTIONS,
        TRIGGERS,
        EVENT_TRIGGERS,
        RULES,
        POLICIES,
        TYPES,
        STATISTICS,
        COLLATIONS,
        CASTS,
        OPERATORS,
        RARE,
        TEXT_SEARCH,
        FOREIGN,
        DEFAULT_PRIVILEGES,
        publications(version_num),
        SUBSCRIPTIONS,
        COMMENTS,
    )
    return tuple(_OWN.sub("true" if members else _no_member, query) for query in found)
