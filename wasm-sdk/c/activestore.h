/* What a plugin in C is written with. `activestore plugin build` brings this file up to its own release:
 * changes to it are lost.
 *
 * A plugin sees whole columns. Memory from as_alloc, as_format and the builders lasts until the call ends;
 * what as_init allocates, and what it is given, stays. There is no C library: what is declared here is there. */
#ifndef ACTIVESTORE_H
#define ACTIVESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A column's type. A timestamp is nanoseconds since 1970 in int64, a date days since 1970 in int32. */
typedef enum {
  AS_BOOLEAN, AS_INT32, AS_INT64, AS_FLOAT32, AS_FLOAT64, AS_TEXT, AS_BYTES, AS_TIMESTAMP, AS_DATE
} as_type;

/* Text or bytes; no zero follows. Without a value `data` is NULL. */
typedef struct { const char *data; uint32_t size; } as_string;
#define AS_STRING(literal) ((as_string){(literal), sizeof(literal) - 1})

/* ── Errors and lines for the log. Formats know %s (a C string), %S (an as_string), %d (int), %u (unsigned),
 *    %lld (int64_t), %g (double; %.15g for more digits) and %%. */

typedef enum { AS_FINE, AS_CALLER, AS_PLUGIN } as_blame;
typedef struct { as_blame blame; as_string message; } as_error;
#define AS_OK ((as_error){AS_FINE, {NULL, 0}})
/* The caller must change the rows, the settings or the query. */
as_error as_invalid(const char *format, ...);
/* The plugin could not do it. */
as_error as_failed(const char *format, ...);

typedef enum { AS_DEBUG, AS_INFO, AS_WARN, AS_ERROR } as_level;
void as_log(as_level level, const char *format, ...);
as_string as_format(const char *format, ...);

/* Ends the call at once: a mistake of the plugin itself. The line goes to the log and to the caller. */
#define as_panic(...) as_panic_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void as_panic_at(const char *file, int line, const char *format, ...);

/* ── Columns that were given. The readers of a type panic where the column has another. */

typedef struct { const int32_t *offsets; uint32_t count; const char *data; uint32_t size; } as_values_var;
typedef struct {
  uint8_t tag;
  union {
    struct { const void *data; uint32_t count; } fixed;
    as_values_var var;
  };
  uint8_t has_validity;
  const uint8_t *validity;
  uint32_t validity_size;
} as_column;

static inline bool as_bit(const uint8_t *bits, uint32_t row) { return bits[row >> 3] >> (row & 7) & 1; }
/* What stands in a null row means nothing. */
static inline bool as_is_null(const as_column *column, uint32_t row) {
  return column->has_validity && !as_bit(column->validity, row);
}
#define as_bits(column) ((const uint8_t *)as_fixed((column), 0, __FILE__, __LINE__))
#define as_s32s(column) ((const int32_t *)as_fixed((column), 1, __FILE__, __LINE__))
#define as_s64s(column) ((const int64_t *)as_fixed((column), 2, __FILE__, __LINE__))
#define as_f32s(column) ((const float *)as_fixed((column), 3, __FILE__, __LINE__))
#define as_f64s(column) ((const double *)as_fixed((column), 4, __FILE__, __LINE__))
const void *as_fixed(const as_column *column, uint8_t tag, const char *file, int line);
/* A row of a column of text or bytes. */
#define as_text(column, row) as_text_at((column), (row), __FILE__, __LINE__)
as_string as_text_at(const as_column *column, uint32_t row, const char *file, int line);
/* A row of a column of any kind of number; false where there is none. */
bool as_number(const as_column *column, uint32_t row, double *value);

/* ── Columns that are made. */

double *as_new_f64s(as_column *column, uint32_t rows);
float *as_new_f32s(as_column *column, uint32_t rows);
int32_t *as_new_s32s(as_column *column, uint32_t rows);
int64_t *as_new_s64s(as_column *column, uint32_t rows);
/* A bit a row, none set: see as_set_bit. */
uint8_t *as_new_bits(as_column *column, uint32_t rows);
static inline void as_set_bit(uint8_t *bits, uint32_t row) { bits[row >> 3] |= (uint8_t)(1u << (row & 7)); }
/* Text, or bytes where the type says so, from a string a row; one without data is null. */
void as_new_texts(as_column *column, as_type type, const as_string *values, uint32_t rows);
/* The row has no value. */
void as_set_null(as_column *column, uint32_t row, uint32_t rows);

/* ── Scalar functions: `const as_function as_functions[] = { {…}, {0} };` */

typedef struct { const char *name; as_type type; } as_arg;
#define AS_ARGS(...) ((const as_arg[]){__VA_ARGS__, {0}})

typedef enum { AS_IMMUTABLE, AS_STABLE, AS_VOLATILE } as_volatility;

typedef struct {
  const char *name;
  /* Made by AS_ARGS; NULL where there are none. */
  const as_arg *args;
  as_type returns;
  as_volatility volatility;
  /* Whether rows with a null argument count; otherwise the host makes them null, whatever stands there. */
  bool nulls;
  /* Fills `result` with one value a row. */
  as_error (*eval)(uint32_t rows, const as_column *args, as_column *result);
} as_function;

extern const as_function as_functions[];

/* ── A processor: the plugin defines as_init and as_process. */

typedef struct { as_string name, value; } as_setting;
typedef struct { const as_setting *settings; uint32_t count; } as_config;
/* Refuses settings with other names than these, which end in NULL. */
as_error as_only(const as_config *config, const char *const *names);
/* A setting's text; without data where it is not set. */
as_string as_get(const as_config *config, const char *name);
/* Reads a number; false where the text is none. Exact up to 15 digits and powers of ten up to 22. */
bool as_parse_number(as_string text, double *value);
bool as_equal(as_string text, const char *other);

typedef struct { as_string name; uint8_t type; uint8_t nullable; } as_field;
typedef struct { const as_field *fields; uint32_t count; } as_fields;
/* The position of a field; -1 where there is none of this name. */
int32_t as_find(const as_fields *fields, as_string name);

/* What a processor wants to see and sends: told by as_want and as_output. */
typedef struct as_spec as_spec;
void as_want(as_spec *spec, uint32_t position);
/* Declares an output with these columns, made by AS_ARGS; gives its number. */
uint32_t as_output(as_spec *spec, const char *name, const as_arg *columns);

typedef struct { uint32_t rows; const as_column *columns; uint32_t count; bool replay; } as_batch;

/* What became of a batch: told by as_reject and as_send. */
typedef struct as_processed as_processed;
/* The row is not to be stored. Rows are rejected in ascending order. */
void as_reject(as_processed *processed, uint32_t row, as_string why);
/* Sends rows to an output: as many columns as it declares. */
void as_send(as_processed *processed, uint32_t output, uint32_t rows, const as_column *columns);

as_error as_init(const as_config *config, const as_fields *fields, as_spec *spec);
as_error as_process(const as_batch *batch, as_processed *processed);

/* Timers that went off; may be left out where none are set. Only as_send is for `processed`. */
typedef struct { as_string key; int64_t at_ns; } as_due;
as_error as_on_timer(const as_due *due, uint32_t count, as_processed *processed);
/* Sets the timers of these keys to go off in so many nanoseconds, or takes them away where that is negative.
 * Timers are durable like the state, one a key. */
void as_timers_set(const as_string *keys, const int64_t *after_ns, uint32_t count);

/* The durable state, which becomes durable together with the rows of the batch. A value without data is one
 * that is not there: found so, and removed so. Each call of these crosses to the host once. */
void as_state_get(const as_string *keys, as_string *values, uint32_t count);
void as_state_put(const as_string *keys, const as_string *values, uint32_t count);

/* ── By grant: a node runs a plugin that uses these where it was granted them. */

/* Nanoseconds since 1970, the same throughout one call. */
int64_t as_now(void);
/* 65,536 bytes at most. */
void as_random(uint8_t *bytes, uint32_t count);
/* Reads rows of another table by their whole primary key: row i of `keys`, which are the key's columns in the
 * table's order. Fills `found` with the named columns, null where there is no such row. */
as_error as_table_get(const char *table, uint32_t rows, const as_column *keys, uint32_t key_count,
                      const as_string *columns, uint32_t column_count, as_column *found);

/* ── What there is of a C library. */

void *as_alloc(size_t bytes);
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);
static inline double as_sqrt(double x) { return __builtin_sqrt(x); }
static inline double as_fabs(double x) { return __builtin_fabs(x); }
static inline double as_floor(double x) { return __builtin_floor(x); }
static inline double as_ceil(double x) { return __builtin_ceil(x); }

#endif
