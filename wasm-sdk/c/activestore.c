/* The contract's side of a plugin in C. `activestore plugin build` brings this file up to its own release:
 * changes to it are lost.
 *
 * Records lie in memory as the canonical ABI of WebAssembly components has them on 32 bits, which is how C
 * lays these structs out; the assertions say so. Names of exports and imports carry the contract's version,
 * which the builder defines. */
#include "activestore.h"

#include <stdarg.h>

#ifndef AS_CONTRACT
#define AS_CONTRACT "0"
#endif
#define CONTRACT(name) "activestore:plugin/" name "@" AS_CONTRACT
#define IMPORT(interface, name) \
  __attribute__((import_module(CONTRACT(interface)), import_name(name)))
#define EXPORT(interface, name) __attribute__((export_name(CONTRACT(interface) "#" name)))
#define AFTER(interface, name) \
  __attribute__((export_name("cabi_post_" CONTRACT(interface) "#" name)))

typedef struct { const void *data; uint32_t count; } list;
typedef struct { uint8_t tag; as_string message; } wire_error;

_Static_assert(sizeof(as_column) == 32 && offsetof(as_column, has_validity) == 20, "column");
_Static_assert(sizeof(as_field) == 12 && sizeof(as_setting) == 16, "field and setting");
_Static_assert(sizeof(wire_error) == 12, "error");

/* ── Memory: one region that grows. Each call gives back what it took. */

extern uint8_t __heap_base;
static uintptr_t floor_, top;

static void *take(size_t align, size_t bytes) {
  if (!top) floor_ = top = (uintptr_t)&__heap_base;
  uintptr_t at = (top + align - 1) & ~(uintptr_t)(align - 1);
  uintptr_t end = at + bytes;
  size_t pages = __builtin_wasm_memory_size(0);
  if (end < at) __builtin_trap();
  if (end > pages << 16) {
    size_t more = ((end - (pages << 16)) + 0xffff) >> 16;
    if (__builtin_wasm_memory_grow(0, more) == (size_t)-1) __builtin_trap();
  }
  top = end;
  return (void *)at;
}

void *as_alloc(size_t bytes) { return take(16, bytes); }

__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_bytes, size_t align,
                                                                size_t bytes) {
  void *at = take(align < 8 ? 8 : align, bytes);
  if (old_bytes) memcpy(at, old, old_bytes < bytes ? old_bytes : bytes);
  return at;
}

static void give_back(void) { top = floor_; }

/* A plain loop would be made a call of the very function that it is in. */
#define LOOP __attribute__((no_builtin))
void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  return __builtin_memcpy(to, from, bytes);
}
void *memmove(void *to, const void *from, size_t bytes) { return __builtin_memmove(to, from, bytes); }
void *memset(void *to, int byte, size_t bytes) { return __builtin_memset(to, byte, bytes); }
LOOP int memcmp(const void *a, const void *b, size_t bytes) {
  const uint8_t *left = a, *right = b;
  for (; bytes; bytes--, left++, right++)
    if (*left != *right) return *left - *right;
  return 0;
}
LOOP size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

static as_string of(const char *text) { return (as_string){text, (uint32_t)strlen(text)}; }
bool as_equal(as_string text, const char *other) {
  return text.data && text.size == strlen(other) && !memcmp(text.data, other, text.size);
}

/* ── Text of values. */

/* A text that grows: what is put twice as large before it is full. */
typedef struct { char *data; uint32_t size, capacity; } text;

static void put(text *out, const char *data, uint32_t size) {
  if (out->size + size > out->capacity) {
    uint32_t capacity = (out->size + size) * 2 + 32;
    char *moved = take(1, capacity);
    if (out->size) memcpy(moved, out->data, out->size);
    out->data = moved;
    out->capacity = capacity;
  }
  if (size) memcpy(out->data + out->size, data, size);
  out->size += size;
}

static void put_unsigned(text *out, uint64_t value, int digits) {
  char shown[20];
  int at = 20;
  for (; value || digits > 0; value /= 10, digits--) shown[--at] = (char)('0' + value % 10);
  put(out, shown + at, (uint32_t)(20 - at));
}

static void put_signed(text *out, int64_t value) {
  if (value < 0) put(out, "-", 1);
  put_unsigned(out, value < 0 ? -(uint64_t)value : (uint64_t)value, 1);
}

static double power_of_ten(int exponent) {
  double power = 1, base = exponent < 0 ? 0.1 : 10;
  if (exponent < 0) {
    /* Divided at the end: powers up to 22 are exact, those of 0.1 never. */
    return 1 / power_of_ten(-exponent);
  }
  for (; exponent; exponent >>= 1, base *= base)
    if (exponent & 1) power *= base;
  return power;
}

static double scaled(double value, int exponent) {
  for (; exponent < -300; exponent += 300) value /= power_of_ten(300);
  for (; exponent > 300; exponent -= 300) value *= power_of_ten(300);
  return exponent < 0 ? value / power_of_ten(-exponent) : value * power_of_ten(exponent);
}

static void put_double(text *out, double value, int precision) {
  if (value != value) { put(out, "nan", 3); return; }
  if (value < 0) { put(out, "-", 1); value = -value; }
  if (value > 1.7976931348623157e308) { put(out, "inf", 3); return; }
  if (value == 0) { put(out, "0", 1); return; }
  int exponent = 0;
  for (double rest = value; rest >= 10; rest /= 10) exponent++;
  for (double rest = value; rest < 1; rest *= 10) exponent--;
  uint64_t end = (uint64_t)power_of_ten(precision);
  uint64_t digits = (uint64_t)(scaled(value, precision - 1 - exponent) + 0.5);
  if (digits >= end) { digits /= 10; exponent++; }
  int count = precision;
  while (count > 1 && digits % 10 == 0) { digits /= 10; count--; }
  char shown[20];
  for (int at = count; at > 0; digits /= 10) shown[--at] = (char)('0' + digits % 10);
  bool scientific = exponent < -4 || exponent >= precision;
  int whole = scientific ? 1 : exponent + 1;
  if (whole <= 0) {
    put(out, "0.", 2);
    for (int zero = whole; zero < 0; zero++) put(out, "0", 1);
    put(out, shown, (uint32_t)count);
    return;
  }
  for (int at = 0; at < whole; at++) put(out, at < count ? shown + at : "0", 1);
  if (count > whole) {
    put(out, ".", 1);
    put(out, shown + whole, (uint32_t)(count - whole));
  }
  if (scientific) {
    put(out, exponent < 0 ? "e-" : "e+", 2);
    put_unsigned(out, (uint64_t)(exponent < 0 ? -exponent : exponent), 2);
  }
}

static as_string formatted(const char *format, va_list values) {
  text out = {0};
  for (; *format; format++) {
    if (*format != '%') { put(&out, format, 1); continue; }
    int precision = 6;
    format++;
    if (*format == '.') {
      precision = 0;
      for (format++; *format >= '0' && *format <= '9'; format++) precision = precision * 10 + (*format - '0');
      if (precision < 1) precision = 1;
      if (precision > 15) precision = 15;
    }
    while (*format == 'l' && format[1] == 'l') format += 2;
    switch (*format) {
      case 's': { as_string value = of(va_arg(values, const char *)); put(&out, value.data, value.size); break; }
      case 'S': { as_string value = va_arg(values, as_string); put(&out, value.data, value.size); break; }
      case 'u': put_unsigned(&out, va_arg(values, unsigned), 1); break;
      case 'g': put_double(&out, va_arg(values, double), precision); break;
      case 'd':
        if (format[-1] == 'l') put_signed(&out, va_arg(values, int64_t));
        else put_signed(&out, va_arg(values, int));
        break;
      case '%': put(&out, "%", 1); break;
      default: put(&out, "?", 1); if (!*format) format--;
    }
  }
  return (as_string){out.data ? out.data : "", out.size};
}

#define FORMATTED(into)                 \
  va_list values;                       \
  va_start(values, format);             \
  as_string into = formatted(format, values); \
  va_end(values)

as_string as_format(const char *format, ...) { FORMATTED(said); return said; }
as_error as_invalid(const char *format, ...) { FORMATTED(said); return (as_error){AS_CALLER, said}; }
as_error as_failed(const char *format, ...) { FORMATTED(said); return (as_error){AS_PLUGIN, said}; }

IMPORT("log", "log") void log_line(int32_t level, const char *data, uint32_t size);

void as_log(as_level level, const char *format, ...) { FORMATTED(said); log_line(level, said.data, said.size); }

_Noreturn void as_panic_at(const char *file, int line, const char *format, ...) {
  FORMATTED(said);
  as_log(AS_ERROR, "%S (%s:%d)", said, file, line);
  __builtin_trap();
}

bool as_parse_number(as_string given, double *value) {
  const char *at = given.data, *end = at + given.size;
  while (at < end && (*at == ' ' || *at == '\t')) at++;
  while (at < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
  bool negative = at < end && *at == '-';
  if (at < end && (*at == '-' || *at == '+')) at++;
  uint64_t digits = 0;
  int exponent = 0, seen = 0;
  for (bool point = false; at < end && ((*at >= '0' && *at <= '9') || (*at == '.' && !point)); at++) {
    if (*at == '.') { point = true; continue; }
    seen++;
    if (digits < UINT64_MAX / 10 - 1) {
      digits = digits * 10 + (uint64_t)(*at - '0');
      exponent -= point;
    } else {
      exponent += !point;
    }
  }
  if (at < end && seen && (*at == 'e' || *at == 'E')) {
    int sign = 1, power = 0;
    at++;
    if (at < end && (*at == '-' || *at == '+')) sign = *at++ == '-' ? -1 : 1;
    if (at == end) return false;
    for (; at < end && *at >= '0' && *at <= '9'; at++)
      if (power < 10000) power = power * 10 + (*at - '0');
    exponent += sign * power;
  }
  if (!seen || at != end) return false;
  if (exponent > 400) exponent = 400;
  if (exponent < -400) exponent = -400;
  double read = digits ? scaled((double)digits, exponent) : 0;
  *value = negative ? -read : read;
  return true;
}

/* ── Columns. */

enum { BITS, S32S, S64S, F32S, F64S, UTF8, BINARY };
static const char *const CASES[] = {"booleans", "int32 or dates", "int64 or timestamps", "float32", "float64",
                                    "text", "bytes"};

const void *as_fixed(const as_column *column, uint8_t tag, const char *file, int line) {
  if (column->tag != tag) {
    as_panic_at(file, line, "the column holds %s, not %s", CASES[column->tag], CASES[tag]);
  }
  return column->fixed.data;
}

as_string as_text_at(const as_column *column, uint32_t row, const char *file, int line) {
  if (column->tag != UTF8 && column->tag != BINARY) {
    as_panic_at(file, line, "the column holds %s, not text or bytes", CASES[column->tag]);
  }
  const int32_t *offsets = column->var.offsets + row;
  return (as_string){column->var.data + offsets[0], (uint32_t)(offsets[1] - offsets[0])};
}

bool as_number(const as_column *column, uint32_t row, double *value) {
  if (as_is_null(column, row)) return false;
  const void *data = column->fixed.data;
  switch (column->tag) {
    case S32S: *value = ((const int32_t *)data)[row]; return true;
    case S64S: *value = (double)((const int64_t *)data)[row]; return true;
    case F32S: *value = ((const float *)data)[row]; return true;
    case F64S: *value = ((const double *)data)[row]; return true;
    default: return false;
  }
}

static void *fresh(as_column *column, uint8_t tag, uint32_t count, size_t bytes) {
  void *data = as_alloc(bytes);
  *column = (as_column){.tag = tag, .fixed = {data, count}};
  return data;
}
double *as_new_f64s(as_column *column, uint32_t rows) { return fresh(column, F64S, rows, rows * 8u); }
float *as_new_f32s(as_column *column, uint32_t rows) { return fresh(column, F32S, rows, rows * 4u); }
int32_t *as_new_s32s(as_column *column, uint32_t rows) { return fresh(column, S32S, rows, rows * 4u); }
int64_t *as_new_s64s(as_column *column, uint32_t rows) { return fresh(column, S64S, rows, rows * 8u); }
uint8_t *as_new_bits(as_column *column, uint32_t rows) {
  uint32_t bytes = (rows + 7) / 8;
  return memset(fresh(column, BITS, bytes, bytes), 0, bytes);
}

static as_values_var joined(const as_string *values, uint32_t count) {
  int32_t *offsets = as_alloc((count + 1) * sizeof *offsets);
  uint32_t size = 0;
  offsets[0] = 0;
  for (uint32_t row = 0; row < count; row++) {
    size += values[row].data ? values[row].size : 0;
    offsets[row + 1] = (int32_t)size;
  }
  char *data = as_alloc(size);
  for (uint32_t row = 0; row < count; row++) {
    uint32_t bytes = (uint32_t)(offsets[row + 1] - offsets[row]);
    if (bytes) memcpy(data + offsets[row], values[row].data, bytes);
  }
  return (as_values_var){offsets, count + 1, data, size};
}

void as_new_texts(as_column *column, as_type type, const as_string *values, uint32_t rows) {
  *column = (as_column){.tag = type == AS_BYTES ? BINARY : UTF8, .var = joined(values, rows)};
  for (uint32_t row = 0; row < rows; row++)
    if (!values[row].data) as_set_null(column, row, rows);
}

void as_set_null(as_column *column, uint32_t row, uint32_t rows) {
  if (!column->has_validity) {
    column->has_validity = 1;
    column->validity_size = (rows + 7) / 8;
    column->validity = memset(as_alloc(column->validity_size), 0xff, column->validity_size);
  }
  ((uint8_t *)column->validity)[row >> 3] &= (uint8_t)~(1u << (row & 7));
}

static wire_error told(as_error error) {
  return (wire_error){error.blame == AS_CALLER ? 0 : 1, error.message};
}

static uint32_t arguments(const as_arg *args) {
  uint32_t count = 0;
  while (args && args[count].name) count++;
  return count;
}

IMPORT("clock", "now") int64_t clock_now(void);
int64_t as_now(void) { return clock_now(); }

IMPORT("random", "bytes") void random_bytes(uint32_t count, list *result);
void as_random(uint8_t *bytes, uint32_t count) {
  list result;
  random_bytes(count, &result);
  memcpy(bytes, result.data, result.count < count ? result.count : count);
}

typedef struct { uint8_t failed; union { list columns; wire_error error; }; } got;
_Static_assert(sizeof(got) == 16, "rows of a table");
IMPORT("tables", "get")
void tables_get(const char *table, uint32_t size, uint32_t rows, const as_column *keys, uint32_t key_count,
                const as_string *columns, uint32_t column_count, got *result);
as_error as_table_get(const char *table, uint32_t rows, const as_column *keys, uint32_t key_count,
                      const as_string *columns, uint32_t column_count, as_column *found) {
  got result;
  tables_get(table, (uint32_t)strlen(table), rows, keys, key_count, columns, column_count, &result);
  if (result.failed) {
    return (as_error){result.error.tag ? AS_PLUGIN : AS_CALLER, result.error.message};
  }
  memcpy(found, result.columns.data, column_count * sizeof *found);
  return AS_OK;
}

#ifdef AS_SCALAR

typedef struct { as_string name; uint8_t type; } wire_parameter;
typedef struct { as_string name; list args; uint8_t returns, volatility, strict; } wire_function;
typedef struct { uint8_t failed; union { as_column column; wire_error error; }; } evaluated;
_Static_assert(sizeof(wire_parameter) == 12 && sizeof(wire_function) == 20 && sizeof(evaluated) == 36, "function and its result");

static uint32_t functions(void) {
  uint32_t count = 0;
  while (as_functions[count].name) count++;
  return count;
}

EXPORT("scalar", "describe") list *scalar_describe(void) {
  static list described;
  uint32_t count = functions();
  wire_function *all = as_alloc(count * sizeof *all);
  for (uint32_t one = 0; one < count; one++) {
    const as_function *from = &as_functions[one];
    uint32_t args = arguments(from->args);
    wire_parameter *parameters = as_alloc(args * sizeof *parameters);
    for (uint32_t arg = 0; arg < args; arg++)
      parameters[arg] = (wire_parameter){of(from->args[arg].name), (uint8_t)from->args[arg].type};
    all[one] = (wire_function){of(from->name), {parameters, args}, (uint8_t)from->returns,
                               (uint8_t)from->volatility, !from->nulls};
  }
  described = (list){all, count};
  return &described;
}
AFTER("scalar", "describe") void scalar_described(list *result) { (void)result; give_back(); }

EXPORT("scalar", "eval")
evaluated *scalar_eval(uint32_t function, uint32_t rows, const as_column *args, uint32_t count) {
  static evaluated result;
  (void)count;
  result = (evaluated){0};
  as_error error = as_functions[function].eval(rows, args, &result.column);
  if (error.blame != AS_FINE) {
    result.failed = 1;
    result.error = told(error);
  }
  return &result;
}
AFTER("scalar", "eval") void scalar_evaluated(evaluated *result) { (void)result; give_back(); }

#endif
#ifdef AS_PROCESSOR

as_string as_get(const as_config *config, const char *name) {
  for (uint32_t at = 0; at < config->count; at++)
    if (as_equal(config->settings[at].name, name)) return config->settings[at].value;
  return (as_string){NULL, 0};
}

as_error as_only(const as_config *config, const char *const *names) {
  for (uint32_t at = 0; at < config->count; at++) {
    text known = {0};
    bool found = false;
    for (const char *const *name = names; *name; name++) {
      found |= as_equal(config->settings[at].name, *name);
      if (known.size) put(&known, ", ", 2);
      put(&known, *name, (uint32_t)strlen(*name));
    }
    if (!found) {
      return as_invalid("there is no setting '%S'; there are %S", config->settings[at].name,
                        (as_string){known.data, known.size});
    }
  }
  return AS_OK;
}

int32_t as_find(const as_fields *fields, as_string name) {
  for (uint32_t at = 0; at < fields->count; at++)
    if (fields->fields[at].name.size == name.size && !memcmp(fields->fields[at].name.data, name.data, name.size))
      return (int32_t)at;
  return -1;
}

typedef struct { as_string name; list fields; } output;
typedef struct { uint32_t rows; list columns; } wire_batch;

struct as_spec { uint32_t *wanted; uint32_t count, capacity; };
struct as_processed { uint32_t *rows; as_string *reasons; uint32_t count, capacity; wire_batch *sent; };

enum { OUTPUTS_MAX = 16 };
static output outputs[OUTPUTS_MAX];
static uint32_t output_count;

static void *doubled(const void *old, uint32_t count, uint32_t capacity, size_t each) {
  void *moved = as_alloc(capacity * each);
  if (count) memcpy(moved, old, count * each);
  return moved;
}

void as_want(as_spec *spec, uint32_t position) {
  if (spec->count == spec->capacity) {
    spec->capacity = spec->capacity * 2 + 8;
    spec->wanted = doubled(spec->wanted, spec->count, spec->capacity, sizeof *spec->wanted);
  }
  spec->wanted[spec->count++] = position;
}

uint32_t as_output(as_spec *spec, const char *name, const as_arg *columns) {
  (void)spec;
  if (output_count == OUTPUTS_MAX) as_panic("a processor has %d outputs at most", (int)OUTPUTS_MAX);
  uint32_t count = arguments(columns);
  as_field *fields = as_alloc(count * sizeof *fields);
  for (uint32_t at = 0; at < count; at++) fields[at] = (as_field){of(columns[at].name), (uint8_t)columns[at].type, 1};
  outputs[output_count] = (output){of(name), {fields, count}};
  return output_count++;
}

void as_reject(as_processed *processed, uint32_t row, as_string why) {
  if (processed->count == processed->capacity) {
    processed->capacity = processed->capacity * 2 + 8;
    processed->rows = doubled(processed->rows, processed->count, processed->capacity, sizeof *processed->rows);
    processed->reasons =
        doubled(processed->reasons, processed->count, processed->capacity, sizeof *processed->reasons);
  }
  processed->rows[processed->count] = row;
  processed->reasons[processed->count++] = why;
}

void as_send(as_processed *processed, uint32_t number, uint32_t rows, const as_column *columns) {
  if (number >= output_count) as_panic("there is no output %u", number);
  uint32_t count = outputs[number].fields.count;
  as_column *kept = as_alloc(count * sizeof *kept);
  memcpy(kept, columns, count * sizeof *kept);
  processed->sent[number] = (wire_batch){rows, {kept, count}};
}

typedef struct { list outputs, columns; } wire_spec;
typedef struct { uint8_t failed; union { wire_spec spec; wire_error error; }; } begun;
typedef struct { list outputs, rejected; as_values_var reasons; } wire_processed;
typedef struct { uint8_t failed; union { wire_processed processed; wire_error error; }; } seen;
_Static_assert(sizeof(begun) == 20 && sizeof(output) == 16 && sizeof(wire_batch) == 12 && sizeof(seen) == 36, "results of a processor");

EXPORT("processor", "init")
begun *processor_init(const as_setting *settings, uint32_t setting_count, const as_field *fields,
                      uint32_t field_count) {
  static begun result;
  as_spec spec = {0};
  output_count = 0;
  as_error error = as_init(&(as_config){settings, setting_count}, &(as_fields){fields, field_count}, &spec);
  if (error.blame == AS_FINE) {
    result = (begun){0, .spec = {{outputs, output_count}, {spec.wanted, spec.count}}};
  } else {
    result = (begun){1, .error = told(error)};
  }
  return &result;
}
/* What was given and made for as_init stays. */
AFTER("processor", "init") void processor_begun(begun *result) { (void)result; floor_ = top; }

/* An output that nothing was sent to has its columns, without rows. */
static list batches(wire_batch *sent) {
  for (uint32_t at = 0; at < output_count; at++) {
    if (sent[at].columns.data) continue;
    as_column *empty = as_alloc(outputs[at].fields.count * sizeof *empty);
    for (uint32_t field = 0; field < outputs[at].fields.count; field++) {
      static const uint8_t TAGS[] = {BITS, S32S, S64S, F32S, F64S, UTF8, BINARY, S64S, S32S};
      uint8_t tag = TAGS[((const as_field *)outputs[at].fields.data)[field].type];
      if (tag == UTF8 || tag == BINARY) as_new_texts(&empty[field], tag == UTF8 ? AS_TEXT : AS_BYTES, NULL, 0);
      else fresh(&empty[field], tag, 0, 0);
    }
    sent[at].columns = (list){empty, outputs[at].fields.count};
  }
  return (list){sent, output_count};
}

static as_processed begin(void) {
  size_t bytes = (output_count + 1) * sizeof(wire_batch);
  return (as_processed){.sent = memset(as_alloc(bytes), 0, bytes)};
}

EXPORT("processor", "process")
seen *processor_process(uint32_t rows, const as_column *columns, uint32_t count, uint32_t replay) {
  static seen result;
  as_processed processed = begin();
  as_error error = as_process(&(as_batch){rows, columns, count, replay != 0}, &processed);
  if (error.blame != AS_FINE) {
    result = (seen){1, .error = told(error)};
    return &result;
  }
  result = (seen){0, .processed = {batches(processed.sent), {processed.rows, processed.count},
                                   joined(processed.reasons, processed.count)}};
  return &result;
}
AFTER("processor", "process") void processor_seen(seen *result) { (void)result; give_back(); }

__attribute__((weak)) as_error as_on_timer(const as_due *due, uint32_t count, as_processed *processed) {
  (void)due, (void)count, (void)processed;
  return AS_OK;
}

typedef struct { uint8_t failed; union { list batches; wire_error error; }; } rung;
_Static_assert(sizeof(rung) == 16, "result of a timer");

EXPORT("processor", "on-timer")
rung *processor_on_timer(const int32_t *offsets, uint32_t offset_count, const char *keys, uint32_t key_size,
                         const int64_t *at_ns, uint32_t count) {
  static rung result;
  (void)offset_count, (void)key_size;
  as_due *due = as_alloc(count * sizeof *due);
  for (uint32_t at = 0; at < count; at++) {
    due[at] = (as_due){{keys + offsets[at], (uint32_t)(offsets[at + 1] - offsets[at])}, at_ns[at]};
  }
  as_processed processed = begin();
  as_error error = as_on_timer(due, count, &processed);
  if (error.blame != AS_FINE) result = (rung){1, .error = told(error)};
  else result = (rung){0, .batches = batches(processed.sent)};
  return &result;
}
AFTER("processor", "on-timer") void processor_rung(rung *result) { (void)result; give_back(); }

IMPORT("timers", "set-many")
void timers_set(const int32_t *offsets, uint32_t offset_count, const char *keys, uint32_t key_size,
                const int64_t *after_ns, uint32_t count);

void as_timers_set(const as_string *keys, const int64_t *after_ns, uint32_t count) {
  as_values_var all = joined(keys, count);
  timers_set(all.offsets, all.count, all.data, all.size, after_ns, count);
}

typedef struct { list present; as_values_var values; } found;

IMPORT("state", "get-many")
void state_get(const int32_t *offsets, uint32_t offset_count, const char *data, uint32_t size, found *result);
IMPORT("state", "put-many")
void state_put(const int32_t *key_offsets, uint32_t key_offset_count, const char *keys, uint32_t key_size,
               const uint8_t *present, uint32_t present_size, const int32_t *offsets, uint32_t offset_count,
               const char *data, uint32_t size);

void as_state_get(const as_string *keys, as_string *values, uint32_t count) {
  as_values_var all = joined(keys, count);
  found result;
  state_get(all.offsets, all.count, all.data, all.size, &result);
  for (uint32_t at = 0; at < count; at++) {
    const int32_t *offsets = result.values.offsets + at;
    values[at] = as_bit(result.present.data, at)
                     ? (as_string){result.values.data + offsets[0], (uint32_t)(offsets[1] - offsets[0])}
                     : (as_string){NULL, 0};
  }
}

void as_state_put(const as_string *keys, const as_string *values, uint32_t count) {
  as_values_var all = joined(keys, count), texts = joined(values, count);
  uint32_t bytes = (count + 7) / 8;
  uint8_t *present = memset(as_alloc(bytes), 0, bytes);
  for (uint32_t at = 0; at < count; at++)
    if (values[at].data) as_set_bit(present, at);
  state_put(all.offsets, all.count, all.data, all.size, present, bytes, texts.offsets, texts.count, texts.data,
            texts.size);
}

#endif
