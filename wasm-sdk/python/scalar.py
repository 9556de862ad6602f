"""The plugin as the contract has it; written by `activestore plugin build`."""

import activestore
import @MAIN@
from componentize_py_types import Err
from wit_world.imports import log, types
from wit_world.exports import scalar


def send(level, message):
    log.log(log.Level[level.upper()], message)


activestore.log.send = send


def kind(name):
    return types.ScalarType[name.upper()]


def lift(kind, rows, column):
    values = column.values.value
    if isinstance(values, types.VarBytes):
        values = (values.offsets, values.data)
    return activestore.Column._lifted(kind, rows, values, column.validity)


def lower(kind, values, rows):
    values, validity = activestore.lowered(kind, values, rows)
    if isinstance(values, tuple):
        values = types.VarBytes(*values)
    case = getattr(types, f"Values_{activestore.CASES[kind].capitalize()}")
    return types.Column(case(values), validity)


def look_up(table, rows, keys, columns):
    keys = [lower(kind, values, rows) for kind, values in keys]
    found = activestore.grant("tables").get(table, rows, keys, list(columns))
    return [lift(kind, rows, column) for kind, column in zip(columns.values(), found)]


activestore.tables.find = look_up


def guarded(body):
    try:
        return body()
    except Err:
        raise
    except activestore.Invalid as error:
        raise Err(types.Error_Invalid(str(error)))
    except activestore.Failed as error:
        raise Err(types.Error_Failed(str(error)))
    except Exception as error:
        raise Err(types.Error_Failed(activestore.told(error)))


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
