"""The plugin as the contract has it; written by `activestore plugin build`."""

import activestore
import @MAIN@
from componentize_py_types import Err
from wit_world.imports import log, state, timers, types
from wit_world.exports import processor


boundary = activestore.Boundary(types, log, Err)
kind, lift, lower, guarded = boundary.kind, boundary.lift, boundary.lower, boundary.guarded


def var_bytes(values):
    return types.VarBytes(*activestore.var_bytes(values))


class State(activestore.State):
    def get_many(self, keys):
        found = state.get_many(var_bytes([key.encode() for key in keys]))
        offsets, data = found.values.offsets, found.values.data
        return [
            data[offsets[row] : offsets[row + 1]].decode() if activestore.bit(found.present, row) else None
            for row in range(len(keys))
        ]

    def set_many(self, texts):
        present, _ = activestore.lowered("boolean", [text is not None for text in texts.values()], len(texts))
        state.put_many(
            var_bytes([key.encode() for key in texts]),
            present,
            var_bytes([(text or "").encode() for text in texts.values()]),
        )


class Running:
    """The processor between calls."""

    made = None
    kinds = []
    outputs = {}


def begin(config, fields):
    if len(activestore.PROCESSORS) != 1:
        raise activestore.Failed(f"the plugin has {len(activestore.PROCESSORS)} processors; it needs one")
    offered = [(field.name, field.kind.name.lower()) for field in fields]
    made = activestore.PROCESSORS[0](activestore.Config(config), offered)
    columns = activestore.positions(offered, getattr(made, "columns", []))
    Running.kinds = [offered[index][1] for index in columns]
    Running.outputs = activestore.outputs_of(made)
    Running.made = made
    declared = [
        processor.Output(output, [types.Field(name, kind(of), True) for name, of in columns.items()])
        for output, columns in Running.outputs.items()
    ]
    return processor.Spec(declared, columns)


def see(input, replay):
    columns = [lift(kind, input.rows, column) for kind, column in zip(Running.kinds, input.columns)]
    batch = activestore.Batch(columns, Running.outputs, replay, input.rows)
    Running.made.process(batch, State())
    rejected = sorted(batch.rejected.items())
    return processor.Processed(
        sent(batch),
        [row for row, _ in rejected],
        var_bytes([str(why).encode() for _, why in rejected]),
    )


def ring(due):
    offsets, data = due.keys.offsets, due.keys.data
    keys = [data[start:end].decode() for start, end in zip(offsets, offsets[1:])]
    batch = activestore.Batch([], Running.outputs, False, 0)
    if hasattr(Running.made, "on_timer"):
        Running.made.on_timer(list(zip(keys, due.at_ns)), batch, State())
    return sent(batch)


def sent(batch):
    return [
        types.Batch(
            len(batch.sent[output]),
            [
                lower(of, [row.get(name) for row in batch.sent[output]], len(batch.sent[output]))
                for name, of in columns.items()
            ],
        )
        for output, columns in Running.outputs.items()
    ]


def set_timer(key, after_ns):
    timers.set_many(var_bytes([key.encode()]), [after_ns])


activestore.timers.send = set_timer


class Processor:
    # There is another object of this class at each call.
    def init(self, config, fields):
        return guarded(lambda: begin(config, fields))

    def process(self, input, replay):
        return guarded(lambda: see(input, replay))

    def on_timer(self, due):
        return guarded(lambda: ring(due))
