//! Guests that trap, or are another at each call: what is left of them, and what is told.

use activestore_plugin_host::{HostOptions, PluginHost};
use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;

use crate::built::options;
use crate::hand::{self, FLOATS, Scalar};
use crate::hostile::{World, eval};

/// Whatever an instance has come to is gone with it: the next call is a fresh one's first.
#[test]
fn an_instance_that_trapped_is_never_entered_again() {
    let world = World::new();
    let counts = "(f64.store (i32.const 1024) (f64.convert_i32_u (global.get $calls)))";
    let twice = eval(&format!(
        "(if (i32.eq (global.get $calls) (i32.const 3)) (then (unreachable))) {counts} {FLOATS} (i32.const 128)"
    ));
    let plugin = world.host.load("hostile", &twice).unwrap();
    let function = plugin.scalar("f").unwrap();
    let call = || {
        let array = function.call(1, &[]);
        array.map(|array| array.as_primitive::<Float64Type>().value(0))
    };
    for _ in 0..3 {
        assert_eq!(call().unwrap(), 1.0);
        assert_eq!(call().unwrap(), 2.0);
        assert!(call().is_err());
    }
    // One that traps after its result was taken has given none.
    let after = Scalar {
        eval: format!("{counts} {FLOATS} (i32.const 128)"),
        after: "(unreachable)".to_owned(),
        ..Scalar::default()
    };
    let plugin = world.host.load("hostile", &after.component()).unwrap();
    let function = plugin.scalar("f").unwrap();
    for _ in 0..3 {
        let error = function.call(1, &[]).unwrap_err();
        assert!(error.message().contains("unreachable"), "{error}");
    }
}

/// What it said at first binds it.
#[test]
fn a_guest_that_differs_from_call_to_call_is_held_to_what_it_described() {
    let world = World::new();
    let fickle = eval(&format!(
        "{FLOATS}
         (if (i32.eq (global.get $calls) (i32.const 2)) (then (i32.store8 (i32.const 132) (i32.const 3))))
         (i32.const 128)"
    ));
    let plugin = world.host.load("hostile", &fickle).unwrap();
    let function = plugin.scalar("f").unwrap();
    for _ in 0..3 {
        assert_eq!(function.call(4, &[]).unwrap().len(), 4);
        let error = function.call(4, &[]).unwrap_err();
        assert!(error.message().contains("f32s where DOUBLE"), "{error}");
    }
    assert_eq!(plugin.stats().faults, 3);
}

/// Whose names they are is asked only by who wrote the guest.
#[test]
fn a_trap_is_told_with_its_place_where_the_host_reads_lines() {
    let wasm = eval("(unreachable)");
    for source_lines in [false, true] {
        let host = PluginHost::new(HostOptions {
            source_lines,
            ..options()
        })
        .unwrap();
        let plugin = host.load("hostile", &wasm).unwrap();
        let error = plugin.scalar("f").unwrap().call(1, &[]).unwrap_err();
        assert!(error.message().contains("unreachable"), "{error}");
        assert_eq!(
            error.message().ends_with(" in eval"),
            source_lines,
            "{error}"
        );
    }
}

/// The first trap of each export is the last call of its instance.
#[test]
fn a_trap_in_any_export_is_an_error() {
    let world = World::new();
    let load = |world_name: &str, exports: &str| {
        let wasm = hand::component(
            world_name,
            &format!(
                r#"(module (memory (export "memory") 2)
                  (data (i32.const 16) "\20\00\00\00\01\00\00\00")
                  (data (i32.const 64) "f")
                  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
                  {exports})"#
            ),
        );
        world.host.load("hostile", &wasm)
    };
    let error = load(
        "scalar-functions",
        r#"(func (export "scalar/describe") (result i32) (unreachable))
           (func (export "scalar/eval") (param i32 i32 i32 i32) (result i32) (unreachable))"#,
    )
    .unwrap_err();
    assert!(error.message().contains("trapped"), "{error}");
    let error = load(
        "table-functions",
        r#"(func (export "table-function/describe") (result i32) (unreachable))
           (func (export "table-function/open") (param i32 i32 i32) (result i32) (unreachable))
           (func (export "table-function/next") (param i32) (result i32) (unreachable))"#,
    )
    .unwrap_err();
    assert!(error.message().contains("trapped"), "{error}");
    let processor = load(
        "stream-processor",
        r#"(func (export "processor/init") (param i32 i32 i32 i32) (result i32) (unreachable))
           (func (export "processor/process") (param i32 i32 i32 i32) (result i32) (unreachable))
           (func (export "processor/on-timer") (param i32 i32 i32 i32 i32 i32) (result i32) (unreachable))"#,
    )
    .unwrap();
    let empty = arrow::datatypes::Schema::empty();
    let error = processor
        .processor(&Default::default(), &empty)
        .unwrap_err();
    assert!(error.message().contains("trapped"), "{error}");
    let model = load(
        "model-inference",
        r#"(func (export "model/load") (param i32 i32 i32 i32) (result i32) (unreachable))
           (func (export "model/infer") (param i32 i32 i32) (result i32) (unreachable))"#,
    )
    .unwrap();
    for artifact in [&b""[..], &[0; 100]] {
        let error = model.model(&Default::default(), artifact).unwrap_err();
        assert!(error.message().contains("trapped"), "{error}");
    }
}
