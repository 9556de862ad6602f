//! Small files that are large once they are unfolded, and large files: what they would cost is counted
//! before anything is compiled.

use std::fmt::Write as _;
use std::time::Instant;

use activestore_plugin_host::{HostOptions, PluginHost};
use activestore_types::ErrorKind;

use crate::built::{component, options};
use crate::hand::{Scalar, text};

fn refused(what: &str, wasm: &[u8]) -> String {
    let host = PluginHost::new(options()).unwrap();
    let began = Instant::now();
    let error = host.load("bomb", wasm).unwrap_err();
    println!(
        "{what}: {} bytes, {:?}: {error}",
        wasm.len(),
        began.elapsed()
    );
    assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
    assert_eq!(host.host_stats().memory_bytes, 0, "{what}");
    error.message().to_owned()
}

#[test]
fn a_file_of_100_mb_is_refused_unread() {
    // A custom section of 100 MB in a component that is sound.
    let mut wasm = component("units");
    wasm.extend([0, 0x80, 0xc2, 0xd7, 0x2f]);
    let large = wasm.len() + 100_000_000;
    wasm.resize(large, b'x');
    let message = refused("100 MB", &wasm);
    assert!(message.contains("where 33554432 are allowed"), "{message}");
    let host = PluginHost::new(HostOptions {
        wasm_bytes_max: 10_000,
        ..options()
    })
    .unwrap();
    let error = host.load("units", &component("units")).unwrap_err();
    assert!(
        error.message().contains("where 10000 are allowed"),
        "{error}"
    );
}

/// Each component makes ten of the one before: ten levels are ten billion, in a few hundred bytes.
#[test]
fn components_that_multiply_are_not_written_out() {
    let mut nested = "(component $c0)".to_owned();
    for level in 1..=10 {
        let makes = format!("(instance (instantiate $c{}))", level - 1).repeat(10);
        write!(
            nested,
            "(component $c{level} (alias outer 1 $c{} (component $c{})) {makes})",
            level - 1,
            level - 1
        )
        .unwrap();
    }
    let bomb = text(&format!(
        "(component {nested} (instance (instantiate $c10)))"
    ));
    let message = refused("components", &bomb);
    assert!(message.contains("written out where"), "{message}");
    // The same by modules in the innermost.
    let modules = "(core instance (instantiate $m))".repeat(900);
    let bomb = text(&format!(
        "(component (component $c (core module $m) {modules}) {})",
        "(instance (instantiate $c))".repeat(900)
    ));
    let message = refused("modules", &bomb);
    assert!(message.contains("written out where"), "{message}");
    // A component that is given one to make is not known until all is written out.
    let given = text(
        "(component (component $f (import \"c\" (component $c)) (instance (instantiate $c))))",
    );
    let message = refused("given", &given);
    assert!(message.contains("hands a component"), "{message}");
    let deep = format!("{}{}", "(component ".repeat(60), ")".repeat(60));
    let message = refused("deep", &text(&deep));
    assert!(message.contains("nested parts"), "{message}");
}

#[test]
fn a_few_bytes_of_data_far_apart_are_no_memory_image() {
    let module = |number: u32| {
        format!(
            "(core module (memory 600) (data (i32.const {number}) \"a\") (data (i32.const 16700000) \"b\"))"
        )
    };
    let many: String = (0..900).map(module).collect();
    let message = refused("sparse modules", &text(&format!("(component {many})")));
    assert!(message.contains("modules and components"), "{message}");
    // As many as are allowed are compiled without becoming gigabytes; then there is nothing to run.
    let some: String = (0..250).map(module).collect();
    let message = refused("some sparse modules", &text(&format!("(component {some})")));
    assert!(message.contains("exports nothing"), "{message}");
    // Segments that only the instance lays out stay within its memory.
    let mut segments = String::new();
    for at in 0..20_000 {
        write!(segments, "(data (i32.const {}) \"x\")", at * 1500 + 4096).unwrap();
    }
    let sparse = Scalar {
        extra: segments,
        pages: 500,
        ..Scalar::default()
    };
    let host = PluginHost::new(options()).unwrap();
    let plugin = host.load("sparse", &sparse.component()).unwrap();
    assert_eq!(plugin.scalar("f").unwrap().call(3, &[]).unwrap().len(), 3);
}

#[test]
fn memories_and_instances_are_few() {
    let memories = Scalar {
        extra: "(memory 0)".repeat(90),
        ..Scalar::default()
    };
    let message = refused("memories", &memories.component());
    assert!(message.contains("memor"), "{message}");
    let beyond = Scalar {
        extra: "(data (i32.const 200000) \"x\")".to_owned(),
        ..Scalar::default()
    };
    let message = refused("data beyond", &beyond.component());
    assert!(message.contains("out of bounds"), "{message}");
}

#[test]
fn functions_and_exports_are_counted() {
    let functions = Scalar {
        extra: "(func)".repeat(250_000),
        ..Scalar::default()
    };
    let message = refused("functions", &functions.component());
    assert!(message.contains("functions where 200000"), "{message}");
    let mut exports = String::new();
    for number in 0..600_000 {
        write!(exports, "(export \"{number}\" (func $f))").unwrap();
    }
    let module = text(&format!("(component (core module (func $f) {exports}))"));
    let message = refused("exports", &module);
    assert!(message.contains("exports and segments where"), "{message}");
    // Not so many are compiled.
    let some = Scalar {
        extra: "(func (result i32) (i32.const 7))".repeat(20_000),
        ..Scalar::default()
    };
    let host = PluginHost::new(options()).unwrap();
    let began = Instant::now();
    host.load("some", &some.component()).unwrap();
    println!("20,000 functions: {:?}", began.elapsed());
}

/// What the compiler keeps of a function grows with its values times its blocks.
#[test]
fn functions_that_cost_more_than_their_bytes_are_refused() {
    let function = |locals: usize, blocks: usize| {
        let mut body = "(local i32)".repeat(locals);
        for block in 0..blocks {
            write!(
                body,
                "(loop (br_if 0 (local.get 0)) (local.set {} (i32.add (local.get {}) (i32.const 1))))",
                block % locals + 1,
                (block * 7) % locals + 1
            )
            .unwrap();
        }
        for local in 1..=locals {
            write!(body, "(drop (local.get {local}))").unwrap();
        }
        text(&format!(
            "(component (core module (func (export \"f\") (param i32) {body})))"
        ))
    };
    let message = refused("locals and blocks", &function(20_000, 20_000));
    assert!(message.contains("times its blocks"), "{message}");
    let wide = format!("(param{})", " i32".repeat(900));
    let message = refused(
        "parameters",
        &text(&format!("(component (core module (func {wide})))")),
    );
    assert!(message.contains("parameters or results"), "{message}");
    let long = "(nop)".repeat(2_200_000);
    let message = refused(
        "long",
        &text(&format!("(component (core module (func {long})))")),
    );
    assert!(message.contains("bytes of one function"), "{message}");
    for (locals, blocks) in std::env::var("ACTIVESTORE_BOMB")
        .iter()
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.split_once(','))
    {
        let wasm = function(locals.parse().unwrap(), blocks.parse().unwrap());
        refused("measured", &wasm);
    }
}
