"""activestore as its users meet it: the program started on free ports, rows and statements over HTTP."""

import http.client
import json
import os
import subprocess
import time

import numpy as np
import pyarrow as pa

BATCH_ROWS = 50_000
PATIENCE_S = 120


class Node:
    """A running program. `close` ends it."""

    def __init__(self, program, home):
        os.makedirs(home)
        keep = {name: value for name, value in os.environ.items() if not name.startswith("ACTIVESTORE_")}
        self.said = open(os.path.join(home, "node.log"), "wb")
        data = os.path.join(home, "data")
        self.process = subprocess.Popen(
            [program, "start", "--http", "127.0.0.1:0", "--pg", "127.0.0.1:0", "--data-dir", data],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.said, env=keep,
        )
        listeners = os.path.join(data, "listeners.json")
        for _ in range(PATIENCE_S * 50):
            if os.path.exists(listeners):
                break
            if self.process.poll() is not None:
                raise SystemExit(f"the program ended with {self.process.returncode}")
            time.sleep(0.02)
        with open(listeners) as file:
            self.listeners = json.load(file)
        host, port = self.listeners["http"].rsplit(":", 1)
        self.http = http.client.HTTPConnection(host, int(port), timeout=600)

    def request(self, path, body, kind):
        self.http.request("POST", path, body, {"Content-Type": kind})
        answer = self.http.getresponse()
        found = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {found[:500]!r}")
        return found

    def sql(self, sql):
        """The answer as JSON."""
        return json.loads(self.request("/v1/sql", sql, "text/plain"))

    def ask(self, sql):
        """The answer as a table, from the request to the last row decoded."""
        found = self.request("/v1/sql?format=arrow", sql, "text/plain")
        return pa.ipc.open_stream(pa.BufferReader(found)).read_all()

    def load(self, rows, devices, runs):
        """Sends the rows in `runs` passes of every `runs`-th tick, so that what they leave behind overlaps row by row."""
        self.sql("CREATE KEYSPACE bench")
        kinds = {"double": "DOUBLE", "int64": "BIGINT", "string": "TEXT", "timestamp[ms]": "TIMESTAMP"}
        columns = ", ".join(f"{field.name} {kinds[str(field.type)]}" for field in rows.schema)
        self.sql(f"CREATE TABLE bench.readings ({columns}, PRIMARY KEY ((device), ts))")
        ticks = np.arange(rows.num_rows) // devices
        for turn in range(runs):
            passed = rows if runs == 1 else rows.filter(pa.array(ticks % runs == turn))
            for start in range(0, passed.num_rows, BATCH_ROWS):
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, rows.schema) as writer:
                    writer.write_table(passed.slice(start, BATCH_ROWS).combine_chunks())
                self.request(
                    "/v1/tables/bench/readings/rows", sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream"
                )

    def rest(self):
        """Waits until the program has done nothing for a second."""
        def ticks():
            with open(f"/proc/{self.process.pid}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        before, quiet = ticks(), 0
        for _ in range(PATIENCE_S * 5):
            time.sleep(0.2)
            now = ticks()
            quiet = quiet + 1 if now - before < 2 else 0
            before = now
            if quiet >= 5:
                return

    def runs(self):
        """Files of the table."""
        return self.sql("SELECT count(*) FROM system.sstables")["rows"][0][0]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
