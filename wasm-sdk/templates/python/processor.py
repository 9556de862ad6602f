"""Looks at rows as they are written. Build, try and deploy it:

    python3 -m venv .venv && .venv/bin/pip install componentize-py==@COMPONENTIZE_PY@
    activestore plugin build
    activestore plugin test @NAME@.wasm --rows rows.csv --set column=temp --set max=80
    activestore plugin deploy @NAME@.wasm
    activestore sql -c "CREATE PROCESSOR @FUNCTION@ ON plant.readings USING PLUGIN '@NAME@'
                        WITH (column = 'temp', max = '80')"
"""

import math

from activestore import processor


@processor
class Limit:
    """Refuses rows whose value is above a maximum."""

    def __init__(self, config, fields):
        config.only("column", "max")
        self.columns = [config.text("column")]
        self.max = config.number("max", math.inf)

    def process(self, batch, state):
        [values] = batch.columns
        for row, value in enumerate(values):
            if value is not None and value > self.max:
                batch.reject(row, f"{value:g} is above {self.max:g}")
