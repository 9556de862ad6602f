// Functions for SQL. Build, try and deploy them:
//
//   npm install
//   activestore plugin build
//   activestore plugin test @NAME@.wasm --rows rows.csv
//   activestore plugin deploy @NAME@.wasm
//   activestore sql -c "CREATE FUNCTION @FUNCTION@ USING PLUGIN '@NAME@'"

import { functions } from "./activestore.js";

/** The mean of two readings; null where one is null. */
export function mean(a, b) {
  return (a + b) / 2;
}

export default functions({
  @FUNCTION@: { args: { a: "float64", b: "float64" }, returns: "float64", row: mean },
});
