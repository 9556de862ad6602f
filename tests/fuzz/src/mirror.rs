//! Guests that give back what they are given: whatever bytes, read as the result of a call of the contract,
//! go through wasmtime's lifting and the host's own checks as those of a hostile plugin would.
//!
//! A scalar function and an aggregate get them as a column of bytes, a processor as hexadecimal text in
//! its settings. They lie at [`PLACE`] in the guest's memory, so that pointers in them can be right.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_plugin_host::{
    AggregateFunction, HostOptions, Plugin, PluginHost, ScalarFunction, StateReader, componentize,
};
use activestore_types::ErrorKind;
use arrow::array::{Array, ArrayRef, BinaryArray, Float64Array, RecordBatch, StringArray};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the bytes lie in the guest's memory.
pub const PLACE: u32 = 0x1_0000;
/// Where the second part of a processor's lies.
pub const SECOND: u32 = 0x2_0000;
/// As many of them are taken.
const BYTES_MAX: usize = 0x8000;
/// Types a function may give.
const KINDS: usize = 9;
/// Rows of each call.
const ROWS: usize = 10;

const WIT: &str = include_str!("../../../wasm-sdk/wit/plugin.wit");

/// What is returned, by what.
#[derive(Debug)]
pub enum Case<'a> {
    /// By a scalar function of this type.
    Scalar(usize, &'a [u8]),
    /// As an aggregate's states.
    States(&'a [u8]),
    /// As the values of an aggregate of this type.
    Values(usize, &'a [u8]),
    /// As a processor's specification, and what it makes of a batch and of a timer.
    Processor(&'a [u8], &'a [u8]),
}

impl<'a> Case<'a> {
    /// The case that an input stands for.
    pub fn of(data: &'a [u8]) -> Option<Self> {
        let (case, rest) = data.split_first()?;
        let rest = rest.get(..rest.len().min(BYTES_MAX))?;
        let kind = usize::from(case / 4) % KINDS;
        Some(match case % 4 {
            0 => Case::Scalar(kind, rest),
            1 => Case::States(rest),
            2 => Case::Values(kind, rest),
            _ => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let length = usize::from(u16::from_le_bytes(*length));
                let (spec, processed) = rest.split_at(length.min(rest.len()));
                Case::Processor(spec, processed)
            }
        })
    }
}

/// The guests, loaded.
pub struct Mirrors {
    _host: Arc<PluginHost>,
    scalar: Vec<Arc<ScalarFunction>>,
    aggregate: Vec<Arc<AggregateFunction>>,
    processor: Arc<Plugin>,
}

struct Nothing;

impl StateReader for Nothing {
    fn get(&self, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

impl Mirrors {
    /// Compiles and loads them.
    #[expect(clippy::new_without_default, reason = "it takes its time")]
    pub fn new() -> Self {
        let host = PluginHost::new(HostOptions::default()).expect("a machine that compiles");
        let load = |world: &str, module: &str| {
            let component = component(world, module);
            host.load(world, &component).expect("a sound component")
        };
        let scalar = load("scalar-functions", &scalar());
        let aggregate = load("aggregate-functions", &aggregate());
        let functions = |plugin: &Arc<Plugin>| -> Vec<String> {
            let functions = plugin.functions().iter();
            functions.map(|function| function.name.clone()).collect()
        };
        Mirrors {
            scalar: functions(&scalar)
                .iter()
                .map(|name| scalar.scalar(name).expect("it is there"))
                .collect(),
            aggregate: functions(&aggregate)
                .iter()
                .map(|name| aggregate.aggregate(name).expect("it is there"))
                .collect(),
            processor: load("stream-processor", &processor()),
            _host: host,
        }
    }

    /// Lets the case be returned. What is taken for good must be whole, through and through; what is not is
    /// a refusal, and the guest is called again.
    ///
    /// # Panics
    /// When something else becomes of it.
    pub fn run(&self, case: &Case<'_>) {
        match case {
            Case::Scalar(kind, bytes) => {
                let result = self.scalar[*kind].call(ROWS, &[column(bytes)]);
                check(result);
                // A refusal by the guest itself forgives faults: the breaker stays closed.
                let calm = self.scalar[KINDS].call(ROWS, &[column(b"")]);
                assert_eq!(calm.expect_err("it refuses").kind(), ErrorKind::Invalid);
            }
            Case::States(bytes) => {
                let mut aggregation = self.aggregate[0].begin();
                let groups: Vec<usize> = (0..ROWS).collect();
                let updated = aggregation.update(&groups, None, ROWS, &[column(bytes)]);
                updated.expect("it takes everything");
                check(aggregation.states(0..ROWS));
                self.calm();
            }
            Case::Values(kind, bytes) => {
                let mut aggregation = self.aggregate[*kind].begin();
                let groups: Vec<usize> = (0..ROWS).collect();
                let updated = aggregation.update(&groups, None, ROWS, &[column(bytes)]);
                updated.expect("it takes everything");
                check(aggregation.finish(0..ROWS));
                self.calm();
            }
            Case::Processor(spec, processed) => self.process(spec, processed),
        }
    }

    fn calm(&self) {
        let mut aggregation = self.aggregate[KINDS].begin();
        let none: ArrayRef = Arc::new(BinaryArray::from_vec(vec![]));
        let updated = aggregation.update(&[], None, 1, &[none]);
        updated.expect("it takes everything");
        let error = aggregation.finish(0..1).expect_err("it refuses");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }

    fn process(&self, spec: &[u8], processed: &[u8]) {
        let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.5; ROWS]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["text"; ROWS]));
        let batch = RecordBatch::try_from_iter([("number", numbers), ("text", texts)]);
        let batch = batch.expect("columns of one length");
        let config = BTreeMap::from([
            ("a".to_owned(), hex(spec)),
            ("b".to_owned(), hex(processed)),
        ]);
        match self.processor.processor(&config, &batch.schema()) {
            Ok(mut processor) => {
                let results = [
                    processor.process(&batch, false, &Nothing),
                    processor.on_timer(&[(b"key".to_vec(), 5)], &Nothing),
                ];
                for result in results {
                    match result {
                        Ok(processed) => {
                            whole(&processed);
                            assert_eq!(processed.outputs.len(), processor.outputs().len());
                            for column in processed.outputs.iter().flat_map(RecordBatch::columns) {
                                column.to_data().validate_full().expect("a sound array");
                            }
                            for row in &processed.rejected {
                                assert!(row.0 < ROWS);
                            }
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
                    }
                }
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
        }
        // Without settings it refuses, which forgives.
        let refused = self.processor.processor(&BTreeMap::new(), &batch.schema());
        let error = refused.expect_err("it refuses");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

/// Everything of it can be shown.
fn whole(what: &impl std::fmt::Debug) {
    let shown = format!("{what:?}");
    assert!(!shown.is_empty());
}

fn check(result: activestore_types::Result<ArrayRef>) {
    match result {
        Ok(array) => {
            assert_eq!(array.len(), ROWS);
            array.to_data().validate_full().expect("a sound array");
            whole(&array);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid, "{error}"),
    }
}

fn column(bytes: &[u8]) -> ArrayRef {
    let mut rows = vec![bytes];
    rows.resize(ROWS, b"");
    Arc::new(BinaryArray::from_vec(rows))
}

/// Two letters from `a` on for each byte.
fn hex(bytes: &[u8]) -> String {
    let letter = |half: u8| char::from(b'a' + half);
    let letters = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    letters.map(letter).collect()
}

fn component(world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", WIT).expect("the contract");
    let version = resolve.packages[package].name.version.clone();
    let version = version.expect("a version").to_string();
    let mut text = module.to_owned();
    for interface in ["scalar", "aggregate", "processor"] {
        let whole = format!("activestore:plugin/{interface}@{version}#");
        text = text.replace(&format!("{interface}/"), &whole);
    }
    let mut core = wat::parse_str(&text).expect("sound text");
    let world = resolve.select_world(&[package], Some(world));
    let world = world.expect("a world of the contract");
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8)
        .expect("a module to write to");
    componentize(&core).expect("what the contract asks for")
}

/// Memory, and an allocator that begins anew with each call.
const COMMON: &str = r#"
  (memory (export "memory") 64)
  (global $next (mut i32) (i32.const 0x40000))
  (global $mode (mut i32) (i32.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $bytes i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.and (i32.add (i32.add (local.get $at) (local.get $bytes)) (i32.const 15))
                               (i32.const -16)))
    (local.get $at))
  ;; Puts a column's bytes in their place; what was there before is gone.
  (func $keep (param $column i32)
    (memory.fill (i32.const 0x10000) (i32.const 0) (i32.const 0x8000))
    (memory.copy (i32.const 0x10000) (i32.load offset=12 (local.get $column))
                 (i32.load offset=16 (local.get $column)))
    (global.set $next (i32.const 0x40000)))"#;

/// A refusal without words, which any call may return.
const REFUSAL: &str = r#"(data (i32.const 256) "\01")"#;

/// The list of functions at 16: one a type, and one that refuses. All take a column of bytes.
fn functions(bytes_each: usize, returns_at: usize) -> String {
    let mut list = Vec::new();
    for number in 0..=KINDS {
        let mut function = vec![0; bytes_each];
        for (at, word) in [(0, 512 + number as u32), (4, 1), (8, 600), (12, 1)] {
            function[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        function[returns_at] = (number % KINDS) as u8;
        list.extend(function);
    }
    let escaped: String = list.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(data (i32.const 16) "\00\04\00\00\{:02x}\00\00\00") (data (i32.const 1024) "{escaped}")
           (data (i32.const 512) "abcdefghij") (data (i32.const 600) "\6c\02\00\00\01\00\00\00\06") (data (i32.const 620) "x") {REFUSAL}"#,
        KINDS + 1
    )
}

fn scalar() -> String {
    format!(
        r#"(module {COMMON} {}
          (func (export "scalar/describe") (result i32) (i32.const 16))
          (func (export "scalar/eval") (param $function i32) (param i32) (param $args i32) (param i32)
              (result i32)
            (call $keep (local.get $args))
            (if (result i32) (i32.eq (local.get $function) (i32.const {KINDS}))
              (then (i32.const 256)) (else (i32.const 0x10000)))))"#,
        functions(20, 16)
    )
}

fn aggregate() -> String {
    format!(
        r#"(module {COMMON} {}
          (func (export "aggregate/describe") (result i32) (i32.const 16))
          (func (export "aggregate/init") (param i32) (result i32)
            (global.set $mode (local.get 0)) (i32.const 0))
          (func (export "aggregate/update") (param i32 i32 i32) (param $args i32) (param i32) (result i32)
            (call $keep (local.get $args)) (i32.const 0))
          (func (export "aggregate/retract") (param i32 i32 i32 i32) (result i32) (i32.const 0))
          (func (export "aggregate/merge") (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
          (func (export "aggregate/state") (param i32 i32) (result i32) (i32.const 0x10000))
          (func (export "aggregate/finish") (param i32 i32) (result i32)
            (if (result i32) (i32.eq (global.get $mode) (i32.const {KINDS}))
              (then (i32.const 256)) (else (i32.const 0x10000))))
          (func (export "aggregate/forget") (param i32) (result i32) (i32.const 0)))"#,
        functions(20, 16)
    )
}

fn processor() -> String {
    format!(
        r#"(module {COMMON} {REFUSAL}
          ;; Writes what letters stand for.
          (func $unhex (param $from i32) (param $letters i32) (param $to i32)
            (local $end i32)
            (local.set $end (i32.add (local.get $from) (local.get $letters)))
            (memory.fill (local.get $to) (i32.const 0) (i32.const 0x8000))
            (block $done (loop $on
              (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
              (i32.store8 (local.get $to)
                (i32.or (i32.shl (i32.sub (i32.load8_u (local.get $from)) (i32.const 97)) (i32.const 4))
                        (i32.sub (i32.load8_u offset=1 (local.get $from)) (i32.const 97))))
              (local.set $from (i32.add (local.get $from) (i32.const 2)))
              (local.set $to (i32.add (local.get $to) (i32.const 1)))
              (br $on))))
          (func (export "processor/init") (param $config i32) (param $count i32) (param i32 i32) (result i32)
            (if (i32.lt_u (local.get $count) (i32.const 2)) (then (return (i32.const 256))))
            (call $unhex (i32.load offset=8 (local.get $config)) (i32.load offset=12 (local.get $config))
                         (i32.const 0x10000))
            (call $unhex (i32.load offset=24 (local.get $config)) (i32.load offset=28 (local.get $config))
                         (i32.const 0x20000))
            (i32.const 0x10000))
          (func (export "processor/process") (param i32 i32 i32 i32) (result i32) (i32.const 0x20000))
          (func (export "processor/on-timer") (param i32 i32 i32 i32 i32 i32) (result i32)
            (i32.const 0x20000)))"#
    )
}
