"""The plugin as the contract has it; written by `activestore plugin build`."""

import activestore
import @MAIN@
from componentize_py_types import Err
from wit_world.imports import log, types
from wit_world.exports import scalar


boundary = activestore.Boundary(types, log, Err)
kind, lift, lower, guarded = boundary.kind, boundary.lift, boundary.lower, boundary.guarded


class Scalar:
    def describe(self):
        return [
            scalar.Function(
                one.name,
                [types.Parameter(name, kind(arg)) for name, arg in one.args.items()],
                kind(one.returns),
                scalar.Volatility[one.volatility.upper()],
                one.strict,
            )
            for one in activestore.FUNCTIONS
        ]

    def eval(self, function, rows, args):
        one = activestore.FUNCTIONS[function]

        def evaluate():
            columns = [lift(kind, rows, column) for kind, column in zip(one.args.values(), args)]
            return lower(one.returns, one.evaluate(rows, columns), rows)

        return guarded(evaluate)
