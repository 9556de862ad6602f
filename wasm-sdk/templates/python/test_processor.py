"""Run with: python3 -m unittest"""

import unittest

from activestore import Batch, Column, Config, State
from plugin import Limit


class Limits(unittest.TestCase):
    def test_rows_above_the_maximum_are_refused(self):
        limit = Limit(Config({"column": "temp", "max": "80"}), [("temp", "float64")])
        batch = Batch([Column("float64", [79.0, 80.5, None])])
        limit.process(batch, State())
        self.assertEqual(batch.rejected, {1: "80.5 is above 80"})
