"""Thirteen queries of a fleet, asked of activestore over HTTP, of DuckDB and of ClickHouse in turn; equal answers are made sure of."""

import json
import math
import os
import statistics
import subprocess
import sys

import pyarrow as pa
import pyarrow.compute as pc

from node import Node
from peer import TASK, emit, table
from statements import DEVICES, statements

RELATIVE = 1e-9  # sums of floats depend on their order


class Peer:
    """An engine in a process of its own."""

    def __init__(self, name):
        home = os.path.join(TASK["dir"], name)
        here = os.path.dirname(os.path.abspath(__file__))
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(here, "queried.py"), json.dumps(TASK), name, home],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"it ended with {self.process.wait()}")
        return json.loads(line)

    def time(self, sql, save=None):
        self.process.stdin.write(json.dumps({"sql": sql, "save": save}) + "\n")
        self.process.stdin.flush()
        return self.answer()["ms"]

    def saved(self, sql):
        path = os.path.join(TASK["dir"], "answer.arrow")
        self.time(sql, path)
        with pa.OSFile(path) as source:
            return pa.ipc.open_file(source).read_all()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """The program, with the peers' words."""

    def __init__(self, node):
        self.node = node

    def time(self, sql):
        import time

        started = time.perf_counter()
        self.node.ask(sql)
        return (time.perf_counter() - started) * 1e3

    def saved(self, sql):
        return self.node.ask(sql)

    def close(self):
        self.node.close()


def plain(found):
    """The answer in types that all engines share, its rows in one order."""
    columns = []
    for column in found.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        kind = column.type
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.timestamp("ns", kind.tz)).cast(pa.int64())
        elif pa.types.is_uint32(kind):
            # ClickHouse gives whole seconds as numbers.
            column = pc.multiply(column.cast(pa.int64()), 1_000_000_000)
        elif pa.types.is_integer(kind):
            column = column.cast(pa.int64())
        elif pa.types.is_floating(kind):
            column = column.cast(pa.float64())
        else:
            column = column.cast(pa.string())
        columns.append(column)
    rows = pa.table(columns, names=[str(place) for place in range(len(columns))])
    keys = [str(place) for place, column in enumerate(columns) if not pa.types.is_floating(column.type)]
    keys += [name for name in rows.column_names if name not in keys]
    return rows.take(pc.sort_indices(rows, [(key, "ascending") for key in keys]))


def same(left, right):
    """Why two answers differ; nothing if they do not."""
    if left.num_rows != right.num_rows or left.num_columns != right.num_columns:
        return f"{left.num_rows} rows of {left.num_columns} columns and {right.num_rows} of {right.num_columns}"
    for place, (mine, theirs) in enumerate(zip(left.columns, right.columns)):
        if mine.type != theirs.type and not {mine.type, theirs.type} <= {pa.int64(), pa.float64()}:
            return f"column {place} is {mine.type} and {theirs.type}"
        for row, (one, other) in enumerate(zip(mine.to_pylist(), theirs.to_pylist())):
            near = isinstance(one, float) and isinstance(other, (float, int))
            if one != other and not (near and math.isclose(one, other, rel_tol=RELATIVE)):
                return f"row {row}, column {place}: {one!r} and {other!r}"
    return None


def started():
    """The engines that could be started and loaded."""
    rows = table()
    node = Node(TASK["program"], os.path.join(TASK["dir"], "activestore"))
    node.load(rows, DEVICES, TASK["runs"])
    node.rest()
    emit("files", node.runs())
    engines = {"activestore": Ours(node)}
    for name in TASK["peers"]:
        print(f"loading {name}", file=sys.stderr)
        try:
            engines[name] = Peer(name)
        except Exception as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
    return engines


def main():
    engines = started()
    said = {name: statements(name) for name in engines}
    for query in said["activestore"]:
        answers = {name: plain(engine.saved(said[name][query][0])) for name, engine in engines.items()}
        for name, answer in answers.items():
            differs = same(answers["activestore"], answer)
            if differs:
                raise SystemExit(f"activestore and {name} differ in {query}: {differs}")
        times = {(name, form): [] for name in engines for form in range(len(said[name][query]))}
        order = list(times)
        for turn in range(TASK["repeats"] + 1):
            # Nobody is always the one after the same other.
            for name, form in order[turn % len(order):] + order[:turn % len(order)]:
                took = engines[name].time(said[name][query][form])
                if turn > 0:
                    times[name, form].append(took)
        number = query.split()[0]
        for name in engines:
            forms = [times[key] for key in times if key[0] == name]
            best = min(forms, key=statistics.median)
            emit(f"{number} {name} median", statistics.median(best))
            emit(f"{number} {name} least", min(best))
        print(query, {key: round(statistics.median(took), 2) for key, took in times.items()}, file=sys.stderr)
    for engine in engines.values():
        engine.close()


main()
