"""Run with: python3 -m unittest"""

import unittest

from plugin import @FUNCTION@


class Mean(unittest.TestCase):
    def test_the_mean_lies_between(self):
        self.assertEqual(@FUNCTION@(1.0, 3.0), 2.0)
