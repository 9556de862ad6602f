"""One engine that `bench queries` asks, in a process of its own: loads the rows, then answers lines of JSON on stdin."""

import json
import os
import sys
import time

import pyarrow as pa

from peer import KEY, TASK, table


class DuckDb:
    """DuckDB's own format, sorted by the key, two threads."""

    def __init__(self, home):
        import duckdb

        self.database = duckdb.connect(os.path.join(home, "bench.duckdb"), config={"threads": 2})
        rows = table()
        self.database.register("arrived", rows)
        self.database.execute(f"CREATE TABLE readings AS SELECT * FROM arrived ORDER BY {', '.join(KEY)}")
        self.database.unregister("arrived")
        self.database.execute("CHECKPOINT")

    def ask(self, sql):
        return self.database.sql(sql).to_arrow_table()


class ClickHouse:
    """ClickHouse in process (chDB): MergeTree by the key, merged, two threads."""

    def __init__(self, home):
        from chdb import session

        self.database = session.Session(home)
        self.database.query("CREATE DATABASE d ENGINE = Atomic")
        rows = table()
        kinds = {"double": "Float64", "int64": "Int64", "string": "LowCardinality(String)", "timestamp[ms]": "DateTime64(3)"}
        columns = ", ".join(f"`{field.name}` {kinds[str(field.type)]}" for field in rows.schema)
        self.database.query(
            f"CREATE TABLE d.readings ({columns}) ENGINE = MergeTree ORDER BY ({', '.join(KEY)})"
        )
        self.database.query("INSERT INTO d.readings SELECT * FROM Python(rows)")
        self.database.query("OPTIMIZE TABLE d.readings FINAL")

    def ask(self, sql):
        answer = self.database.query(f"{sql} SETTINGS max_threads = 2", "Arrow")
        return pa.ipc.open_file(pa.BufferReader(answer.bytes())).read_all()


def main():
    engine, home = sys.argv[2], sys.argv[3]
    os.makedirs(home)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    asked = {"duckdb": DuckDb, "clickhouse": ClickHouse}[engine](home)
    print(json.dumps({"ready": True}), file=out, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        started = time.perf_counter()
        found = asked.ask(request["sql"])
        took = (time.perf_counter() - started) * 1e3
        if request.get("save"):
            with pa.OSFile(request["save"], "wb") as sink, pa.ipc.new_file(sink, found.schema) as writer:
                writer.write_table(found)
        print(json.dumps({"ms": took, "rows": found.num_rows}), file=out, flush=True)


main()
