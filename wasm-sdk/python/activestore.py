"""What a plugin in Python is written with.

`activestore plugin build` brings this file up to its own release: changes to it are lost.

A column's type is said by a hint: bool, int (64 bits), float (64 bits), str, bytes, or one of Int32, Float32,
Timestamp (nanoseconds since 1970) and Date (days since 1970). A missing value is None.
"""

import struct
import sys
import types
import typing

Int32 = typing.NewType("Int32", int)
Float32 = typing.NewType("Float32", float)
Timestamp = typing.NewType("Timestamp", int)
Date = typing.NewType("Date", int)


class Invalid(Exception):
    """Raised where the caller must change the rows, the settings or the query."""


class Failed(Exception):
    """Raised where the plugin could not do it."""


def function(call=None, *, columns=False, volatility="immutable"):
    """Makes a function for SQL of one whose arguments and result have hints.

    Rows with a null argument are null without a call, unless an argument's hint allows None (`float | None`).
    With `columns=True` it is given whole columns, as `Column`s, and gives a list of values. One that does not
    give the same for the same arguments says so with `volatility="stable"` or `"volatile"`.
    """
    if call is None:
        return lambda call: function(call, columns=columns, volatility=volatility)
    hints = typing.get_type_hints(call)
    names = call.__code__.co_varnames[: call.__code__.co_argcount]
    missing = [name for name in (*names, "return") if name not in hints]
    if missing:
        raise TypeError(f"{call.__name__}: {missing[0]} has no hint of its type")
    args = {name: _kind(hints[name], call.__name__) for name in names}
    returns, _ = _kind(hints["return"], call.__name__)
    FUNCTIONS.append(Function(call, args, returns, columns, volatility))
    return call


def processor(type_):
    """Makes a processor of a class, which sees rows as they are written.

    `type_(config, fields)` sets `self.columns`, the names of the columns that it wants to see, and, where it
    sends rows, `self.outputs`: `{output: {column: hint}}`. `process(batch, state)` then sees each batch. Where timers
    were set, `on_timer(due, batch, state)` is called with those that went off, pairs of a key and the time in
    nanoseconds since 1970, and a batch to send rows by. What the object keeps lasts until the instance is replaced;
    only `state` is durable.
    """
    PROCESSORS.append(type_)
    return type_


class Log:
    """Lines for the people who run the plugin."""

    def __init__(self):
        self.send = lambda level, message: print(f"{level}: {message}", file=sys.stderr)

    def debug(self, message):
        self.send("debug", str(message))

    def info(self, message):
        self.send("info", str(message))

    def warn(self, message):
        self.send("warn", str(message))

    def error(self, message):
        self.send("error", str(message))


log = Log()


class Config:
    """What `CREATE PROCESSOR … WITH (…)` said."""

    def __init__(self, settings):
        self._settings = dict(settings)

    def only(self, *names):
        """Refuses settings with other names than these."""
        for name in self._settings:
            if name not in names:
                raise Invalid(f"there is no setting '{name}'; there are {', '.join(names)}")

    def text(self, name, otherwise=None):
        """A setting's text; without one `otherwise`, and where that is not given either, the plugin is refused."""
        value = self._settings.get(name, otherwise)
        if value is None:
            raise Invalid(f"the setting '{name}' is missing")
        return value

    def number(self, name, otherwise=None):
        """A setting that is a number."""
        value = self.text(name, otherwise)
        try:
            return float(value)
        except ValueError:
            raise Invalid(f"{name} = '{value}' is not a number") from None


class Column:
    """One column of a batch: a sequence of values, None where a row has none."""

    def __init__(self, kind, values):
        self.kind = kind
        self.values = values

    @classmethod
    def _lifted(cls, kind, rows, given, validity):
        case = CASES[kind]
        if case == "bits":
            values = [given[row >> 3] >> (row & 7) & 1 == 1 for row in range(rows)]
        elif case in ("utf8", "binary"):
            offsets, data = given
            if case == "utf8" and data.isascii():
                data = data.decode()
            values = [data[start:end] for start, end in zip(offsets, offsets[1:])]
            if case == "utf8" and isinstance(data, bytes):
                values = [value.decode() for value in values]
        else:
            values = given
        if validity is not None:
            values = [value if validity[row >> 3] >> (row & 7) & 1 else None for row, value in enumerate(values)]
        return cls(kind, values)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, row):
        return self.values[row]

    def __iter__(self):
        return iter(self.values)


class Batch:
    """Rows as they are written, and what becomes of them."""

    def __init__(self, columns, outputs=None, replay=False, rows=None):
        self.columns = columns
        self.rows = len(columns[0]) if rows is None else rows
        self.replay = replay
        self._outputs = outputs or {}
        self.sent = {name: [] for name in self._outputs}
        self.rejected = {}

    def reject(self, row, why):
        """The row is not to be stored."""
        self.rejected[row] = why

    def send(self, output, **row):
        """Sends a row, by its columns' names, to an output."""
        if output not in self.sent:
            raise KeyError(f"there is no output '{output}'")
        for name in row:
            if name not in self._outputs[output]:
                raise KeyError(f"output '{output}' has no column '{name}'")
        self.sent[output].append(row)


class State:
    """A processor's durable state: texts by key. It becomes durable together with the rows of the batch.

    This one lives in memory, for tests.
    """

    def __init__(self):
        self._kept = {}

    def get(self, key):
        """A key's text, or None."""
        return self.get_many([key])[0]

    def set(self, key, text):
        """Keeps a text under a key; None removes the key."""
        self.set_many({key: text})

    def get_many(self, keys):
        """The texts of many keys at once, None where there is none."""
        return [self._kept.get(key) for key in keys]

    def set_many(self, texts):
        """Keeps many texts at once, by their keys."""
        for key, text in texts.items():
            if text is None:
                self._kept.pop(key, None)
            else:
                self._kept[key] = text


class Timers:
    """A processor's timers, one a key, durable like its state."""

    def __init__(self):
        self.send = lambda key, after_ns: None

    def set(self, key, after_seconds):
        """Has `on_timer` called for the key in so many seconds; a timer that was set before is moved."""
        self.send(key, max(0, round(after_seconds * 1e9)))

    def clear(self, key):
        """Takes the key's timer away."""
        self.send(key, -1)


timers = Timers()


class Clock:
    """The node's clock. By grant: it stands among `needs` in pyproject.toml."""

    def now(self):
        """Nanoseconds since 1970, the same throughout one call."""
        return grant("clock").now()


class Random:
    """Random bytes. By grant, as the clock."""

    def bytes(self, count):
        """So many bytes, 65,536 at most."""
        return grant("random").bytes(count)


class Tables:
    """Rows of other tables. By grant, as the clock."""

    def __init__(self):
        self.find = lambda table, rows, keys, columns: grant("tables")

    def get(self, table, keys, columns):
        """Reads rows by their whole primary key.

        `keys` holds a pair of a hint and its values, one a row that is looked for, for each column of the key, in the
        table's order; `columns` is `{name: hint}`. Gives `{name: Column}`.
        """
        rows = len(keys[0][1])
        kinds = {name: _kind(hint, table)[0] for name, hint in columns.items()}
        found = self.find(table, rows, [(_kind(hint, table)[0], values) for hint, values in keys], kinds)
        return dict(zip(columns, found))


clock = Clock()
random = Random()
tables = Tables()
# What the node gives by grant, by its name.
granted = {}


def grant(name):
    """Something of the node's that the plugin said it needs."""
    if name not in granted:
        raise Failed(f"add '{name}' to needs under [tool.activestore] in pyproject.toml")
    return granted[name]


# What the module of the plugin declared.
FUNCTIONS = []
PROCESSORS = []

# The case of the contract's `values` that carries a type.
CASES = {
    "boolean": "bits",
    "int32": "s32s",
    "date": "s32s",
    "int64": "s64s",
    "timestamp": "s64s",
    "float32": "f32s",
    "float64": "f64s",
    "text": "utf8",
    "bytes": "binary",
}

_KINDS = {
    bool: "boolean",
    int: "int64",
    float: "float64",
    str: "text",
    bytes: "bytes",
    Int32: "int32",
    Float32: "float32",
    Timestamp: "timestamp",
    Date: "date",
}


def _kind(hint, where):
    """The contract's name of a hint's type, and whether None is allowed."""
    optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        optional = len(parts) < len(typing.get_args(hint))
        hint = parts[0] if len(parts) == 1 else hint
    if hint not in _KINDS:
        raise TypeError(f"{where}: {hint!r} is not the type of a column; see activestore.py")
    return _KINDS[hint], optional


class Function:
    """A function for SQL."""

    def __init__(self, call, args, returns, columns, volatility):
        self.name = call.__name__
        self.call = call
        self.args = {name: kind for name, (kind, _) in args.items()}
        self.strict = not any(optional for _, optional in args.values())
        self.returns = returns
        self.columns = columns
        self.volatility = volatility

    def evaluate(self, rows, columns):
        """The values of all rows."""
        if self.columns:
            return self.call(*columns)
        if not columns:
            return [self.call() for _ in range(rows)]
        lists = [column.values for column in columns]
        if self.strict and any(None in values for values in lists):
            return [None if None in row else self.call(*row) for row in zip(*lists)]
        return list(map(self.call, *lists))


def lowered(kind, values, rows):
    """The values as the contract has them, and the bitmap of those that are not None."""
    values = list(values)
    if len(values) != rows:
        raise ValueError(f"{len(values)} values came back for {rows} rows")
    validity = None
    if None in values:
        validity = _bits(value is not None for value in values)
        empty = {"boolean": False, "text": "", "bytes": b""}.get(kind, 0)
        values = [empty if value is None else value for value in values]
    case = CASES[kind]
    if case == "bits":
        return _bits(values), validity
    if case == "utf8":
        return var_bytes([_text(value) for value in values]), validity
    if case == "binary":
        return var_bytes(values), validity
    if case in ("f64s", "f32s"):
        return list(map(float, values)), validity
    try:
        # Says what is no integer, or does not fit.
        struct.pack(f"<{rows}{'i' if case == 's32s' else 'q'}", *values)
    except struct.error as error:
        raise ValueError(f"a value does not fit into {kind}: {error}") from None
    return values, validity


def var_bytes(values):
    """Offsets and bytes of values of varying length."""
    offsets, end = [0], 0
    for value in values:
        end += len(value)
        offsets.append(end)
    return offsets, b"".join(values)


def _text(value):
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} came back where text is declared")
    return value.encode()


def _bits(values):
    out = bytearray()
    for row, value in enumerate(values):
        if row & 7 == 0:
            out.append(0)
        if value:
            out[-1] |= 1 << (row & 7)
    return bytes(out)


def bit(bitmap, row):
    """Whether the row's bit is set."""
    return bitmap[row >> 3] >> (row & 7) & 1 == 1


def positions(fields, names):
    """Which of the table's fields have these names."""
    offered = {name: index for index, (name, _) in enumerate(fields)}
    for name in names:
        if name not in offered:
            raise Invalid(f"the table has no column '{name}'")
    return [offered[name] for name in names]


def outputs_of(made):
    """The outputs that a processor declares, with the contract's names of types."""
    declared = getattr(made, "outputs", None) or {}
    return {
        output: {name: _kind(hint, f"output {output}")[0] for name, hint in columns.items()}
        for output, columns in declared.items()
    }


class Boundary:
    """Columns, errors and log lines as the contract has them: for the module that a plugin is entered by.

    `wit` is the contract's module of types, `raised` the exception that carries an error over.
    """

    def __init__(self, wit, node_log, raised):
        self.wit = wit
        self.raised = raised
        log.send = lambda level, message: node_log.log(node_log.Level[level.upper()], message)
        tables.find = self.look_up

    def kind(self, name):
        return self.wit.ScalarType[name.upper()]

    def lift(self, kind, rows, column):
        values = column.values.value
        if isinstance(values, self.wit.VarBytes):
            values = (values.offsets, values.data)
        return Column._lifted(kind, rows, values, column.validity)

    def lower(self, kind, values, rows):
        values, validity = lowered(kind, values, rows)
        if isinstance(values, tuple):
            values = self.wit.VarBytes(*values)
        case = getattr(self.wit, f"Values_{CASES[kind].capitalize()}")
        return self.wit.Column(case(values), validity)

    def look_up(self, table, rows, keys, columns):
        keys = [self.lower(kind, values, rows) for kind, values in keys]
        found = grant("tables").get(table, rows, keys, list(columns))
        return [self.lift(kind, rows, column) for kind, column in zip(columns.values(), found)]

    def guarded(self, body):
        try:
            return body()
        except self.raised:
            raise
        except Invalid as error:
            raise self.raised(self.wit.Error_Invalid(str(error)))
        except Failed as error:
            raise self.raised(self.wit.Error_Failed(str(error)))
        except Exception as error:
            raise self.raised(self.wit.Error_Failed(told(error)))


def told(error):
    """An exception that was not meant: into the log with its way through the source, and in one line."""
    # The module `traceback` would look for the source files, and the sandbox has none.
    frames = []
    walk = error.__traceback__
    while walk is not None:
        code = walk.tb_frame.f_code
        frames.append((code.co_filename.rsplit("/", 1)[-1], walk.tb_lineno, code.co_name))
        walk = walk.tb_next
    own = [frame for frame in frames if frame[0] not in ("activestore.py", "activestore_app.py")]
    text = f"{type(error).__name__}: {error}"
    log.error("\n".join([text, *(f"    at {name} ({file}:{line})" for file, line, name in reversed(own))]))
    return f"{text} ({own[-1][0]}:{own[-1][1]})" if own else text
