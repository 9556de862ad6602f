"""Loading files: `activestore load` and DuckDB, in turn. Each gets the same files, a table that is there, and an empty disk."""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time

import duckdb

COLUMNS = (
    "device TEXT, region TEXT, model TEXT, ts TIMESTAMP, temperature DOUBLE, humidity DOUBLE, pressure DOUBLE,"
    " voltage DOUBLE, current DOUBLE, latitude DOUBLE, longitude DOUBLE, bytes_total BIGINT, status BIGINT"
)
KEY = "PRIMARY KEY ((device), ts)"
THREADS = 2
MB = 1e6


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json")
    return parser.parse_args()


def make(folder, rows):
    """2,000 devices that send a row every ten seconds, in turn; readings of one to five decimals."""
    database = duckdb.connect(config={"threads": THREADS})
    database.execute("SELECT setseed(0.5)")
    database.execute(f"""
        CREATE TABLE fleet AS SELECT
            'device-' || lpad((i % 2000)::TEXT, 5, '0') AS device,
            'region-' || (i % 8) AS region,
            'model-' || (i % 20) AS model,
            TIMESTAMP '2026-01-01' + to_seconds(10 * (i // 2000)) AS ts,
            round(20 + 10 * sin(i / 9e4) + random(), 2) AS temperature,
            round(50 + 20 * sin(i / 7e4) + random(), 1) AS humidity,
            round(1000 + 9 * sin(i / 5e4) + random(), 2) AS pressure,
            round(12 + random(), 3) AS voltage,
            round(5 + 4 * random(), 3) AS current,
            round(-60 + (i % 2000) * 0.05 + random() * 1e-3, 5) AS latitude,
            round(-180 + (i % 2000) * 0.15 + random() * 1e-3, 5) AS longitude,
            (i // 2000) * 1400 + (i % 97) AS bytes_total,
            CASE WHEN random() < 0.999 THEN 0 ELSE 1 END AS status
        FROM range({rows}) t(i)""")
    # What no encoding makes small: readings of all digits.
    database.execute("""
        CREATE TABLE noise AS SELECT device, region, model, ts, random() AS temperature, random() AS humidity,
            random() AS pressure, random() AS voltage, random() AS current, random() AS latitude,
            random() AS longitude, bytes_total, status
        FROM fleet""")
    files = {}
    for name, table, options in [
        ("csv", "fleet", "FORMAT csv, HEADER"),
        ("parquet", "fleet", "FORMAT parquet, COMPRESSION snappy"),
        ("zstd.parquet", "fleet", "FORMAT parquet, COMPRESSION zstd"),
        ("noise.csv", "noise", "FORMAT csv, HEADER"),
        ("noise.parquet", "noise", "FORMAT parquet, COMPRESSION snappy"),
    ]:
        path = os.path.join(folder, f"fleet.{name}")
        database.execute(f"COPY {table} TO '{path}' ({options})")
        files[name] = path
    return files


def values_mb(path):
    """What a Parquet file holds, unpacked."""
    sql = f"SELECT sum(total_uncompressed_size) FROM parquet_metadata('{path}')"
    return duckdb.sql(sql).fetchall()[0][0] / MB


class Node:
    def __init__(self, program, folder):
        self.program = program
        self.process = subprocess.Popen(
            [program, "start", "--http", "127.0.0.1:0", "--pg", "127.0.0.1:0", "--data-dir", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        listeners = os.path.join(folder, "listeners.json")
        deadline = time.monotonic() + 60
        while True:
            try:
                with open(listeners) as file:
                    said = json.load(file)
                if said["pid"] == self.process.pid:
                    self.url = f"http://{said['http']}"
                    return
            except (OSError, ValueError, KeyError):
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("the node does not start")
            time.sleep(0.02)

    def run(self, *words):
        return subprocess.run([self.program, *words, "--url", self.url], capture_output=True, text=True, check=True)

    def end(self):
        self.process.terminate()
        self.process.wait()


def ours(program, path, rows):
    folder = tempfile.mkdtemp(dir=os.path.dirname(path))
    node = Node(program, folder)
    try:
        node.run("sql", "-c", "CREATE KEYSPACE k")
        node.run("sql", "-c", f"CREATE TABLE k.fleet ({COLUMNS}, {KEY})")
        begun = time.perf_counter()
        node.run("load", path, "--table", "k.fleet", "--no-resume")
        took = time.perf_counter() - begun
        found = node.run("sql", "--format", "csv", "-c", "SELECT count(*) FROM k.fleet").stdout.split()
        if found[-1] != str(rows):
            raise SystemExit(f"{path}: {found[-1]} rows of {rows} are there")
        return took
    finally:
        node.end()
        shutil.rmtree(folder)


def theirs(path, rows):
    folder = tempfile.mkdtemp(dir=os.path.dirname(path))
    try:
        database = duckdb.connect(os.path.join(folder, "fleet.duckdb"), config={"threads": THREADS})
        columns = COLUMNS.replace(" TEXT", " VARCHAR")
        database.execute(f"CREATE TABLE fleet ({columns})")
        read = "read_csv" if path.endswith(".csv") else "read_parquet"
        begun = time.perf_counter()
        database.execute(f"INSERT INTO fleet SELECT * FROM {read}('{path}')")
        database.execute("CHECKPOINT")
        took = time.perf_counter() - begun
        assert database.sql("SELECT count(*) FROM fleet").fetchall()[0][0] == rows
        database.close()
        return took
    finally:
        shutil.rmtree(folder)


def main():
    task = arguments()
    print(f"load before: {os.getloadavg()[0]:.1f}; DuckDB {duckdb.__version__}; {task.rows:,} rows; best of {task.runs}")
    folder = tempfile.mkdtemp(prefix="bench-load-")
    figures = []
    try:
        files = make(folder, task.rows)
        print(f"{'file':14} {'MB':>7} {'unpacked':>8} | {'activestore':>23} | {'DuckDB':>14} | time, ours / theirs")
        for name, path in files.items():
            size = os.path.getsize(path) / MB
            unpacked = values_mb(path) if path.endswith(".parquet") else size
            mine, other = [], []
            for _ in range(task.runs):
                mine.append(ours(task.program, path, task.rows))
                other.append(theirs(path, task.rows))
            mine, other = min(mine), min(other)
            figure = {
                "file": name,
                "mb": size,
                "unpacked_mb": unpacked,
                "activestore_s": mine,
                "duckdb_s": other,
                "rows_s": task.rows / mine,
                "ratio": mine / other,
            }
            figures.append(figure)
            print(
                f"{name:14} {size:7.0f} {unpacked:8.0f} | {size / mine:5.0f} MB/s {task.rows / mine / 1e6:5.2f} M rows/s |"
                f" {size / other:5.0f} MB/s     | {mine / other:.2f}",
                flush=True,
            )
    finally:
        shutil.rmtree(folder)
    print(f"load after: {os.getloadavg()[0]:.1f}")
    if task.json:
        with open(task.json, "a") as out:
            for figure in figures:
                out.write(json.dumps(figure) + "\n")


main()
