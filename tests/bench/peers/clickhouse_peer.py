"""ClickHouse in this process (chDB): MergeTree in the order of the key, synced after every insert."""

import pyarrow as pa
from chdb import session

from peer import FIELDS, KEY, TASK, averages, emit, ingest, reads, table

database = session.Session(TASK["dir"])
work = TASK["work"]
# Codec chains that are tried for the size; {} is the default, LZ4. The least sum wins, column by column.
CODECS = {
    "number": [
        "ZSTD(1)", "ZSTD(3)", "ZSTD(9)", "Delta, ZSTD(1)", "Delta, ZSTD(3)", "DoubleDelta, ZSTD(1)",
        "T64, ZSTD(1)",
    ],
    "float": [
        "ZSTD(1)", "ZSTD(3)", "ZSTD(9)", "Delta, ZSTD(1)", "Delta, ZSTD(3)", "Gorilla, ZSTD(1)", "FPC, ZSTD(1)",
        "ALP", "ALP, ZSTD(1)",
    ],
    "text": ["ZSTD(1)", "ZSTD(3)", "ZSTD(9)"],
}


def kind(field):
    if pa.types.is_floating(field.type):
        return "float"
    return "text" if pa.types.is_string(field.type) or pa.types.is_boolean(field.type) else "number"


def column(field, codec):
    name = {
        "double": "Float64", "int64": "Int64", "string": "String", "bool": "Bool", "timestamp[ms]": "DateTime64(3)",
    }[str(field.type)]
    if name == "String" and (field.name in KEY or TASK["data"]["name"] in ("fleet", "null-heavy")):
        name = "LowCardinality(String)" if field.name in KEY or not field.nullable else "LowCardinality(Nullable(String))"
    elif field.nullable and TASK["data"]["flexible"] and field.name not in KEY:
        name = f"Nullable({name})"
    return f"`{field.name}` {name}" + (f" CODEC({codec})" if codec else "")


def create(name, schema, codecs):
    columns = ", ".join(column(field, codecs.get(field.name)) for field in schema)
    settings = "fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 0"
    settings += ", allow_nullable_key = 1, min_rows_for_wide_part = 0"
    database.query(
        f"CREATE TABLE d.{name} ({columns}) ENGINE = MergeTree ORDER BY ({', '.join(KEY)}) SETTINGS {settings}"
    )


def insert_into(name, rows):
    database.query(f"INSERT INTO d.{name} SELECT * FROM Python(rows)")


def column_bytes(name):
    """Bytes of each column's file, with its marks, after a full merge."""
    database.query(f"OPTIMIZE TABLE d.{name} FINAL")
    text = database.query(
        "SELECT column, sum(column_bytes_on_disk) FROM system.parts_columns "
        f"WHERE database = 'd' AND table = '{name}' AND active GROUP BY column",
        "CSV",
    ).bytes()
    pairs = (line.rsplit(",", 1) for line in text.decode().split())
    return {name.strip('"'): int(size) for name, size in pairs}


def whole_bytes(name):
    database.query(f"OPTIMIZE TABLE d.{name} FINAL")
    sql = f"SELECT sum(bytes_on_disk) FROM system.parts WHERE database = 'd' AND table = '{name}' AND active"
    return int(database.query(sql, "CSV").bytes())


def size(rows):
    create("plain", rows.schema, {})
    insert_into("plain", rows)
    emit("lz4_bytes", whole_bytes("plain"))
    best = column_bytes("plain")
    chosen = {}
    for attempt in range(max(len(codecs) for codecs in CODECS.values())):
        codecs = {}
        for field in rows.schema:
            possible = CODECS[kind(field)]
            if attempt < len(possible):
                codecs[field.name] = possible[attempt]
        try:
            create("attempt", rows.schema, codecs)
        except Exception:  # a codec that this version does not have: the others are tried without it
            codecs = {name: codec for name, codec in codecs.items() if "ALP" not in codec}
            create("attempt", rows.schema, codecs)
        insert_into("attempt", rows)
        for name, found in column_bytes("attempt").items():
            if name in codecs and found < best[name]:
                best[name], chosen[name] = found, codecs[name]
        database.query("DROP TABLE d.attempt SYNC")
    create("best", rows.schema, chosen)
    insert_into("best", rows)
    emit("bytes", whole_bytes("best"))


database.query("CREATE DATABASE d ENGINE = Atomic")
if work == "ingest":
    schema = table().slice(0, 0).schema
    create("warm", schema, {})
    insert_into("warm", table().slice(0, 1_000))  # the first one loads libraries
    create("readings", schema, {})
    ingest(lambda batch: insert_into("readings", batch), lambda: None)
elif work == "size":
    size(table())
elif work == "reads":
    rows = table()
    create("readings", rows.schema, {})
    insert_into("readings", rows)
    emit("bytes", whole_bytes("readings"))

    def point(device, ts):
        sql = f"SELECT * FROM d.readings WHERE device = '{device}' AND ts = fromUnixTimestamp64Milli({ts})"
        return query(sql).num_rows

    def query(sql):
        return pa.ipc.open_file(pa.BufferReader(database.query(sql, "Arrow").bytes())).read_all()

    columns = ", ".join(f"argMax({field}, ts)" for field in FIELDS)
    TASK["points"] = min(TASK["points"], 200)
    reads(
        query,
        rows,
        point,
        [
            f"SELECT device, max(ts), {columns} FROM d.readings GROUP BY device",
            "SELECT * FROM d.readings ORDER BY ts DESC LIMIT 1 BY device",
        ],
        f"SELECT {averages()} FROM d.readings",
    )
else:
    raise SystemExit(f"ClickHouse does not do {work}")
