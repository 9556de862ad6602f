"""What the peers in Python share: the task, the rows, the figures."""

import json
import resource
import sys
import time

import pyarrow as pa
import pyarrow.compute as pc

TASK = json.loads(sys.argv[1])
FIELDS = [
    "temperature", "humidity", "pressure", "voltage", "current", "usage_user", "latitude", "longitude",
    "bytes_total", "status",
]
KEY = TASK["data"]["partition"] + TASK["data"]["clustering"]


def emit(metric, value):
    print(json.dumps({"metric": metric, "value": float(value)}), flush=True)


def table():
    """All rows, timestamps as integers of their finest unit that loses nothing."""
    with pa.OSFile(TASK["data"]["arrow"]) as source:
        rows = pa.ipc.open_file(source).read_all()
    for index, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            ms = rows.column(index).cast(pa.timestamp("ms"))
            rows = rows.set_column(index, pa.field(field.name, pa.timestamp("ms")), ms)
    return rows


def batches(rows):
    """The rows as tables of TASK["batch"] rows, each in one piece."""
    count = TASK["batch"]
    for start in range(0, rows.num_rows, count):
        yield rows.slice(start, count).combine_chunks()


def percentile(times, share):
    times = sorted(times)
    return times[int((len(times) - 1) * share)] if times else float("nan")


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def ingest(insert, settle):
    """Inserts batch after batch for as long as the task allows, then settles."""
    pieces = list(batches(table()))
    times, rows, cpu, begun = [], 0, cpu_s(), time.perf_counter()
    for piece in pieces:
        started = time.perf_counter()
        insert(piece)
        times.append((time.perf_counter() - started) * 1e3)
        rows += piece.num_rows
        if time.perf_counter() - begun > TASK["seconds"]:
            break
    acknowledged = time.perf_counter() - begun
    settle()
    settled = time.perf_counter() - begun
    emit("rows", rows)
    emit("rows_s", rows / acknowledged)
    emit("settled_rows_s", rows / settled)
    emit("rows_cpu_s", rows / (cpu_s() - cpu))
    emit("p50_ms", percentile(times, 0.5))
    emit("p99_ms", percentile(times, 0.99))


def reads(query, rows, point, last, scan):
    """Point reads by `point(device, ts)`, the fastest of the `last` queries, the `scan` query."""
    import random

    random.seed(7)
    picked = [random.randrange(rows.num_rows) for _ in range(min(TASK["points"], 2_000))]
    devices = rows["device"].take(pa.array(picked)).to_pylist()
    stamps = rows["ts"].take(pa.array(picked)).cast(pa.int64()).to_pylist()
    times = []
    for device, ts in zip(devices, stamps):
        started = time.perf_counter()
        found = point(device, ts)
        times.append((time.perf_counter() - started) * 1e6)
        assert found == 1, f"{found} rows of {device} at {ts}"
    for name, share in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)]:
        emit(f"point_{name}_us", percentile(times, share))

    def median(sql, wanted):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            found = query(sql)
            times.append((time.perf_counter() - started) * 1e3)
            assert found.num_rows == wanted, f"{found.num_rows} rows of {sql}"
        return percentile(times, 0.5)

    count = len(pc.unique(rows["device"]))
    emit("last_ms", min(median(sql, count) for sql in last))
    emit("scan_ms", median(scan, 1))
    emit("scan_sum", sum(column[0].as_py() for column in query(scan).columns))


def averages():
    return ", ".join(f"avg({field})" for field in FIELDS)
