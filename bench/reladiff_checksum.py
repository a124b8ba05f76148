"""Run by an environment that holds reladiff: its count and checksum of one table, timed, as a line of JSON."""

import json
import os
import sys
import time

from reladiff import connect_to_table

database = {
    "driver": "postgresql",
    "host": os.environ["PGHOST"],
    "port": int(os.environ["PGPORT"]),
    "user": os.environ["PGUSER"],
    "password": os.environ["PGPASSWORD"],
    "dbname": os.environ["PGDATABASE"],
}
key, *columns = sys.argv[1:]
table = connect_to_table(database, "payment", key, extra_columns=tuple(columns)).with_schema()
began = time.perf_counter()
rows, checksum = table.count_and_checksum()
milliseconds = (time.perf_counter() - began) * 1000
table.database.close()
print(json.dumps({"rows": rows, "checksum": str(checksum), "milliseconds": milliseconds}))
