// Looks at rows as they are written. Build, try and deploy it:
//
//   npm install
//   activestore plugin build
//   activestore plugin test @NAME@.wasm --rows rows.csv --set column=temp --set max=80
//   activestore plugin deploy @NAME@.wasm
//   activestore sql -c "CREATE PROCESSOR @FUNCTION@ ON plant.readings USING PLUGIN '@NAME@'
//                       WITH (column = 'temp', max = '80')"

import { processor } from "./activestore.js";

/** Refuses rows whose value is above a maximum. */
export class Limit {
  constructor(config) {
    config.only("column", "max");
    this.columns = [config.text("column")];
    this.max = config.number("max", Infinity);
  }

  process(batch) {
    const [values] = batch.columns;
    for (let row = 0; row < batch.rows; row++) {
      const value = values.get(row);
      if (value !== null && value > this.max) {
        batch.reject(row, `${value} is above ${this.max}`);
      }
    }
  }
}

export default processor(Limit);
