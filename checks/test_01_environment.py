"""Environment"""

from pytest_dryrun import check


@check("ssh-access", criterion="no-p0")
def test_ssh_access(target, ssh_access, record):
    """The target's host can be reached over SSH.

    Everything else is done through this connection, so nothing else is tried without it.

    When it is red: check address, user, key and `known_hosts`; an unknown or changed host key is never accepted.
    """
    if target.role == "local":
        record.not_applicable('the target has role = "local": its server is started here, nothing is reached over SSH')
    access = ssh_access()
    record.fact("Host", access.name)
    record.fact("Address", access.address)
    record.fact("Host key", access.host_key)
    record.fact("System", access.system)


@check("database-credentials", criterion="no-p0")
def test_database_credentials(database, record):
    """The credentials open the target's database.

    A wrong database name is not repaired by creating one: an empty database would pass every later check.

    When it is red: compare host, port, user and database with what the application itself uses.
    """
    identity = database.identify()
    record.fact("Host", database.place)
    record.fact("Database", identity.name)
    record.fact("Server version", identity.version)
    record.fact("System identifier", identity.system_identifier)
    assert identity.name == database.conninfo.dbname, (
        f"asked for {database.conninfo.dbname!r}, reached {identity.name!r}"
    )


@check("schema-version", criterion="no-p0")
def test_schema_version(status, database, programs, version_differences, record):
    """The schema's version is known, and the copy runs on the same major version of the server.

    The rehearsal tells what the target's server would do only where both are alike.

    When it is yellow: rehearse on the target's major version; locks and rewrites differ between them.
    """
    record.fact("Schema version", status.current or "none: no migration is applied")
    record.fact("Server version", database.identify().version)
    for name, version in programs.items():
        record.fact(name, version)
    record.note(version_differences)


@check("backup-space", criterion="no-p0")
def test_backup_space(backup_room, database_rooms, record):
    """There is room for the backup.

    A dump that fills the disk can take the database on it down. For a host's database there has to be room for what is
    made of the backup, too: for the copies here, and for what stands beside the target.

    When it is red: free space, or name another `[backup] directory`; what else there is to do stands with the figures.
    """
    record.fact("Directory", backup_room.directory)
    record.fact("Free", backup_room.free_bytes, "bytes")
    record.fact("Needed at most", backup_room.needed_bytes, "bytes")
    for room in database_rooms:
        record.fact(f"Free for {room.purpose}", room.free_bytes, "bytes")
        record.fact(f"Needed for {room.purpose}", room.needed_bytes, "bytes")
    shortages = [text for room in (backup_room, *database_rooms) if (text := room.shortage())]
    assert not shortages, "\n".join(shortages)
