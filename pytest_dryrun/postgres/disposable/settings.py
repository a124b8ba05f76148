"""How every disposable server is set, whoever provides it: fast, forgetful, its log readable by SQL."""

from __future__ import annotations

from collections.abc import Mapping

SUPERUSER = "postgres"
OLDEST_MAJOR, NEWEST_MAJOR = 14, 18
PRELOAD = "pg_stat_statements"

# Nothing here survives a crash on purpose: the server is thrown away (PostgreSQL manual, "Non-Durable Settings").
# The collector writes the log to a known file, so that pg_read_file can read it wherever the server runs.
_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",  # no subscription of a copy is ever served
    "autovacuum": "off",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    "listen_addresses": "127.0.0.1",
    "ssl": "off",
    "logging_collector": "on",
    "log_destination": "stderr",
    "log_directory": "log",
    "log_filename": "dryrun.log",
    "log_rotation_age": "0",
    "log_rotation_size": "0",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # a statement may carry a secret
    "log_statement": "none",
    "log_connections": "off",
    "log_disconnections": "off",
    "log_checkpoints": "off",
    "lc_messages": "C",
}


def arguments(settings: Mapping[str, str], *, preload: bool) -> list[str]:
    """Spell our settings, and the caller's over them, as `-c name=value` for the server's command line."""
    chosen = {**_SETTINGS, **({"shared_preload_libraries": PRELOAD} if preload else {}), **settings}
    return [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
