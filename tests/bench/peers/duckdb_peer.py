"""DuckDB: a durable transaction a batch; for reads and size, a table in the order of the key."""

import os

import duckdb

from peer import FIELDS, KEY, TASK, averages, emit, ingest, reads, table

path = os.path.join(TASK["dir"], "bench.duckdb")
database = duckdb.connect(path, config={"threads": 2})
work = TASK["work"]


def insert(batch):
    database.register("batch", batch)
    database.execute("INSERT INTO readings SELECT * FROM batch")  # autocommit: the log is synced


def settle():
    database.unregister("batch")
    database.execute("CHECKPOINT")


if work == "ingest":
    first = table().slice(0, 0)
    database.register("first", first)
    database.execute("CREATE TABLE readings AS SELECT * FROM first")
    insert(table().slice(0, 1_000))  # the first one loads libraries
    database.execute("DELETE FROM readings")
    settle()
    ingest(insert, settle)
elif work in ("size", "reads"):
    rows = table()
    database.register("rows", rows)
    database.execute(f"CREATE TABLE readings AS SELECT * FROM rows ORDER BY {', '.join(KEY)}")
    database.unregister("rows")
    database.execute("CHECKPOINT")
    emit("bytes", os.path.getsize(path))
    if work == "reads":
        columns = ", ".join(f"arg_max({field}, ts)" for field in FIELDS)

        def point(device, ts):
            sql = "SELECT * FROM readings WHERE device = ? AND ts = make_timestamp(? * 1000)"
            return len(database.execute(sql, [device, ts]).fetchall())

        reads(
            lambda sql: database.sql(sql).to_arrow_table(),
            rows,
            point,
            [
                f"SELECT device, max(ts), {columns} FROM readings GROUP BY device",
                "SELECT r.* FROM readings r JOIN (SELECT device, max(ts) AS ts FROM readings GROUP BY device)"
                " USING (device, ts)",
            ],
            f"SELECT {averages()} FROM readings",
        )
else:
    raise SystemExit(f"DuckDB does not do {work}")
