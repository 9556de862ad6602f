"""Functions for SQL. Build, try and deploy them:

    python3 -m venv .venv && .venv/bin/pip install componentize-py==@COMPONENTIZE_PY@
    activestore plugin build
    activestore plugin test @NAME@.wasm --rows rows.csv
    activestore plugin deploy @NAME@.wasm
    activestore sql -c "CREATE FUNCTION @FUNCTION@ USING PLUGIN '@NAME@'"
"""

from activestore import function


@function
def @FUNCTION@(a: float, b: float) -> float:
    """The mean of two readings; null where one is null."""
    return (a + b) / 2
