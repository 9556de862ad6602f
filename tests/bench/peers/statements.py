"""The thirteen queries of `bench queries`, in the words of each engine: for each a list of forms, of which the fastest counts."""

from peer import FIELDS, TASK

START_MS = 1_767_225_600_000  # of the data, as the fleet begins
TICK_MS = 10_000
DEVICES = 2_000
HOUR_MS = 3_600_000

_END_MS = START_MS + -(-TASK["data"]["rows"] // DEVICES) * TICK_MS
_EIGHT = ", ".join(f"'device-{number:06d}'" for number in range(100, 1_700, 200))
_ONE = "'device-000777'"


def _since(hours, of=_END_MS):
    """A condition: the last hours before the end of the data, or what there is of them."""
    start = max(START_MS, of - hours * HOUR_MS)
    return f"ts >= {{at:{start}}} AND ts < {{at:{of}}}"


def _each(function, fields):
    return ", ".join(f"{function}({field})" for field in fields)


_HOUR = _since(1, _END_MS - min(HOUR_MS, (_END_MS - START_MS) // 4))
_LAST = {
    "activestore": [f"SELECT DISTINCT ON (device) device, ts, {', '.join(FIELDS)} FROM readings ORDER BY device, ts DESC"],
    "duckdb": [
        f"SELECT device, max(ts), {', '.join(f'arg_max({field}, ts)' for field in FIELDS)} FROM readings GROUP BY device",
        f"SELECT r.device, r.ts, {', '.join(f'r.{field}' for field in FIELDS)} FROM readings r"
        " JOIN (SELECT device, max(ts) AS ts FROM readings GROUP BY device) USING (device, ts)",
    ],
    "clickhouse": [
        f"SELECT device, max(ts), {', '.join(f'argMax({field}, ts)' for field in FIELDS)} FROM readings GROUP BY device",
        f"SELECT device, ts, {', '.join(FIELDS)} FROM readings ORDER BY ts DESC LIMIT 1 BY device",
    ],
}
_ALL = "device, region, model, ts, " + ", ".join(FIELDS)
_SAME = {
    "q2 max, 1 device, 1 h by minute":
        f"SELECT {{minute}} AS bucket, max(usage_user) FROM readings WHERE device = {_ONE} AND {_HOUR} GROUP BY bucket",
    "q3 max of 5, 8 devices, 1 h by minute":
        f"SELECT {{minute}} AS bucket, {_each('max', FIELDS[:5])} FROM readings WHERE device IN ({_EIGHT}) AND {_HOUR} GROUP BY bucket",
    "q4 max of 10, 8 devices, by hour":
        f"SELECT {{hour}} AS bucket, {_each('max', FIELDS)} FROM readings WHERE device IN ({_EIGHT}) GROUP BY bucket",
    "q5 average by device and hour":
        "SELECT device, {hour} AS bucket, avg(usage_user) FROM readings GROUP BY device, bucket",
    "q6 average of 10 by device and hour":
        f"SELECT device, {{hour}} AS bucket, {_each('avg', FIELDS)} FROM readings GROUP BY device, bucket",
    "q7 usage over 99.5, 8 h, whole rows":
        f"SELECT {_ALL} FROM readings WHERE usage_user > 99.5 AND {_since(8)}",
    "q8 usage over 90, 1 device, whole rows":
        f"SELECT {_ALL} FROM readings WHERE usage_user > 90 AND device = {_ONE}",
    "q9 max by minute, 8 h, latest 5":
        f"SELECT {{minute}} AS bucket, max(usage_user) FROM readings WHERE {_since(8)} GROUP BY bucket ORDER BY bucket DESC LIMIT 5",
    "q10 ten devices of highest average":
        "SELECT device, avg(temperature) AS average FROM readings GROUP BY device ORDER BY average DESC LIMIT 10",
    "q11 distinct tags by region, filtered":
        "SELECT region, count(DISTINCT device), count(DISTINCT model) FROM readings WHERE status <> 0 GROUP BY region",
    "q12 count and average of 10, all rows":
        f"SELECT count(*), {_each('avg', FIELDS)} FROM readings",
    "q13 1 h, filtered, by region":
        f"SELECT region, count(*), avg(temperature) FROM readings WHERE humidity > 50 AND {_HOUR} GROUP BY region",
}
_WORDS = {
    "activestore": {
        "minute": "time_bucket('1 minute', ts)", "hour": "time_bucket('1 hour', ts)",
        "at": "to_timestamp_millis({})", "table": "bench.readings",
    },
    "duckdb": {
        "minute": "date_trunc('minute', ts)", "hour": "date_trunc('hour', ts)",
        "at": "make_timestamp({}000)", "table": "readings",
    },
    "clickhouse": {
        "minute": "toStartOfMinute(ts)", "hour": "toStartOfHour(ts)",
        "at": "fromUnixTimestamp64Milli({})", "table": "d.readings",
    },
}


def statements(engine):
    """Name and forms of each query for an engine."""
    words = _WORDS[engine]

    def said(sql):
        sql = sql.replace("{minute}", words["minute"]).replace("{hour}", words["hour"])
        while "{at:" in sql:
            before, rest = sql.split("{at:", 1)
            moment, after = rest.split("}", 1)
            sql = before + words["at"].format(moment) + after
        return sql.replace("FROM readings", f"FROM {words['table']}").replace("JOIN readings", f"JOIN {words['table']}")

    queries = {"q1 last point of each device": _LAST[engine]}
    queries.update((name, [sql]) for name, sql in _SAME.items())
    return {name: [said(sql) for sql in forms] for name, forms in queries.items()}
