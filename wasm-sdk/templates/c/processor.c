/* Looks at rows as they are written. Build, try and deploy it:
 *
 *   activestore plugin build
 *   activestore plugin test @NAME@.wasm --rows rows.csv --set column=temp --set max=80
 *   activestore plugin deploy @NAME@.wasm
 *   activestore sql -c "CREATE PROCESSOR @FUNCTION@ ON plant.readings USING PLUGIN '@NAME@'
 *                       WITH (column = 'temp', max = '80')" */
#include "activestore.h"

/* Refuses rows whose value is above a maximum. */
static double max = __builtin_inf();

as_error as_init(const as_config *config, const as_fields *fields, as_spec *spec) {
  as_error error = as_only(config, (const char *const[]){"column", "max", NULL});
  if (error.blame) return error;
  as_string column = as_get(config, "column");
  if (!column.data) return as_invalid("the setting 'column' is missing");
  int32_t position = as_find(fields, column);
  if (position < 0) return as_invalid("the table has no column '%S'", column);
  as_string given = as_get(config, "max");
  if (given.data && !as_parse_number(given, &max)) return as_invalid("max = '%S' is not a number", given);
  as_want(spec, (uint32_t)position);
  return AS_OK;
}

as_error as_process(const as_batch *batch, as_processed *processed) {
  double value;
  for (uint32_t row = 0; row < batch->rows; row++) {
    if (as_number(&batch->columns[0], row, &value) && value > max) {
      as_reject(processed, row, as_format("%g is above %g", value, max));
    }
  }
  return AS_OK;
}
