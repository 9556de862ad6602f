import assert from "node:assert/strict";
import { test } from "node:test";

import { Batch, Config } from "./activestore.js";
import { Limit } from "./plugin.js";

test("rows above the maximum are refused", () => {
  const limit = new Limit(new Config([["column", "temp"], ["max", "80"]]));
  const batch = new Batch(3, [{ get: (row) => [79, 80.5, null][row] }]);
  limit.process(batch);
  assert.deepEqual(batch.rejected, { 1: "80.5 is above 80" });
});
