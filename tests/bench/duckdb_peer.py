"""Inserts an Arrow file into DuckDB batch by batch and measures reads; prints one line of figures."""

import os
import random
import statistics
import sys
import time

import duckdb
import pyarrow as pa

rows_path, database_path, points = sys.argv[1], sys.argv[2], int(sys.argv[3])
with pa.memory_map(rows_path) as source:
    reader = pa.ipc.open_file(source)
    batches = [pa.Table.from_batches([reader.get_batch(i)]) for i in range(reader.num_record_batches)]

database = duckdb.connect(database_path, config={"threads": 2})
fields = [name for name in batches[0].schema.names if name not in ("device", "ts")]
database.execute(
    "CREATE TABLE readings (device VARCHAR, ts BIGINT, " + ", ".join(f"{f} DOUBLE" for f in fields) + ")"
)
rows = sum(batch.num_rows for batch in batches)
begun = time.perf_counter()
for batch in batches:
    database.register("batch", batch)
    database.execute("INSERT INTO readings SELECT * FROM batch")  # autocommit: the log is synced
ingest = rows / (time.perf_counter() - begun)
database.unregister("batch")
database.execute("CHECKPOINT")
disk = os.path.getsize(database_path)

random.seed(7)
times = []
for _ in range(points):
    batch = random.choice(batches)
    row = random.randrange(batch.num_rows)
    device, ts = batch["device"][row].as_py(), batch["ts"][row].as_py()
    begun = time.perf_counter()
    database.execute("SELECT * FROM readings WHERE device = ? AND ts = ?", [device, ts]).fetchone()
    times.append((time.perf_counter() - begun) * 1e6)
times.sort()

scans, total = [], 0.0
for _ in range(5):
    begun = time.perf_counter()
    total = sum(database.execute("SELECT " + ", ".join(f"avg({f})" for f in fields) + " FROM readings").fetchone())
    scans.append((time.perf_counter() - begun) * 1e3)
print(
    duckdb.__version__, ingest, disk, times[len(times) // 2], times[int(len(times) * 0.99)],
    statistics.median(scans), total,
)
