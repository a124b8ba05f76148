"""Speaking to Postgres: connections, catalogs, fingerprints, backups, disposable servers."""
