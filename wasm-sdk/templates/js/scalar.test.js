import assert from "node:assert/strict";
import { test } from "node:test";

import { mean } from "./plugin.js";

test("the mean lies between", () => {
  assert.equal(mean(1, 3), 2);
});
