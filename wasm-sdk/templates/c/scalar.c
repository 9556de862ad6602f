/* Functions for SQL. Build, try and deploy them:
 *
 *   activestore plugin build
 *   activestore plugin test @NAME@.wasm --rows rows.csv
 *   activestore plugin deploy @NAME@.wasm
 *   activestore sql -c "CREATE FUNCTION @FUNCTION@ USING PLUGIN '@NAME@'" */
#include "activestore.h"

/* The mean of two readings; null where one is null. */
static as_error @FUNCTION@(uint32_t rows, const as_column *args, as_column *result) {
  const double *a = as_f64s(&args[0]);
  const double *b = as_f64s(&args[1]);
  double *mean = as_new_f64s(result, rows);
  for (uint32_t row = 0; row < rows; row++) mean[row] = (a[row] + b[row]) / 2;
  return AS_OK;
}

const as_function as_functions[] = {
    {
        .name = "@FUNCTION@",
        .args = AS_ARGS({"a", AS_FLOAT64}, {"b", AS_FLOAT64}),
        .returns = AS_FLOAT64,
        .eval = @FUNCTION@,
    },
    {0},
};
