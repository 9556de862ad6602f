//! Guests that no compiler would write. Each is stopped with a sentence, and all the while a plugin of the
//! same host that does its work goes on doing it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use activestore_plugin_host::{HostOptions, Plugin, PluginHost};
use activestore_types::{Error, ErrorKind};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;

use crate::built::{component, options};
use crate::hand::{self, Scalar};

const DEADLINE: Duration = Duration::from_secs(1);
const SPIN: &str = "(loop $on (br $on))";

/// A host and a plugin in it that does its work.
pub(crate) struct World {
    pub(crate) host: Arc<PluginHost>,
    honest: Arc<Plugin>,
}

impl World {
    pub(crate) fn new() -> Self {
        let host = PluginHost::new(HostOptions {
            call_deadline: DEADLINE,
            ..options()
        })
        .unwrap();
        let honest = host.load("units", &component("units")).unwrap();
        World { host, honest }
    }

    /// Runs what is hostile while the honest plugin is called over and over on another thread: each of its
    /// calls gives the right result. Returns how many began and ended meanwhile.
    fn beside<T>(&self, hostile: impl FnOnce() -> T) -> (T, u64) {
        let (done, calls) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let honest = scope.spawn(|| {
                let function = self.honest.scalar("f_to_c").unwrap();
                let input: ArrayRef = Arc::new(Float64Array::from(vec![212.0; 100]));
                let mut slowest = Duration::ZERO;
                while !done.load(Ordering::SeqCst) {
                    let began = Instant::now();
                    let output = function.call(100, std::slice::from_ref(&input)).unwrap();
                    slowest = slowest.max(began.elapsed());
                    assert_eq!(output.as_primitive::<Float64Type>().values(), &[100.0; 100]);
                    if !done.load(Ordering::SeqCst) {
                        calls.fetch_add(1, Ordering::SeqCst);
                    }
                }
                slowest
            });
            let result = hostile();
            let during = calls.load(Ordering::SeqCst);
            done.store(true, Ordering::SeqCst);
            let slowest = honest.join().unwrap();
            println!("{during} honest calls meanwhile, the slowest took {slowest:?}");
            (result, during)
        })
    }

    /// What becomes of loading it and calling its function.
    fn call(&self, wasm: &[u8], rows: usize) -> Result<ArrayRef, Error> {
        self.host
            .load("hostile", wasm)?
            .scalar("f")?
            .call(rows, &[])
    }

    /// It fails as the caller's fault, with these words.
    fn refuses(&self, what: &str, wasm: &[u8], words: &str) {
        let (result, _) = self.beside(|| self.call(wasm, 10));
        let error = result.map(|array| array.len()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        assert!(error.message().contains(words), "{what}: {error}");
        assert!(error.message().len() < 10_000, "{what}: {error}");
    }
}

/// A component whose `eval` does this.
pub(crate) fn eval(code: &str) -> Vec<u8> {
    Scalar {
        eval: code.to_owned(),
        ..Scalar::default()
    }
    .component()
}

#[test]
fn what_is_written_by_hand_works_where_it_is_honest() {
    let array = World::new()
        .call(&Scalar::default().component(), 10)
        .unwrap();
    assert_eq!(array.as_primitive::<Float64Type>().values(), &[0.0; 10]);
}

/// It runs until its deadline, and others are served before that.
#[test]
fn an_endless_loop_anywhere_holds_nobody_up() {
    let world = World::new();
    let spin = SPIN.to_owned();
    let loops = [
        Scalar {
            eval: format!("{SPIN} (unreachable)"),
            ..Scalar::default()
        },
        Scalar {
            describe: spin.clone(),
            ..Scalar::default()
        },
        Scalar {
            after: spin.clone(),
            ..Scalar::default()
        },
        Scalar {
            extra: format!("(func $start {SPIN}) (start $start)"),
            ..Scalar::default()
        },
    ];
    for hostile in loops {
        let wasm = hostile.component();
        // A machine that is busy may not give the honest one a turn at once.
        let served = (0..20).any(|_| {
            let (result, calls) = world.beside(|| world.call(&wasm, 1));
            let error = result.unwrap_err();
            assert!(
                error.message().contains("longer than its deadline of 1s"),
                "{hostile:?}: {error}"
            );
            calls > 0
        });
        assert!(served, "{hostile:?}");
    }
}

#[test]
fn memory_stack_and_tables_end_at_their_limits() {
    let world = World::new();
    let recursion = "(call $eval (local.get 0) (local.get 1) (local.get 2) (local.get 3))";
    world.refuses("recursion", &eval(recursion), "stack");
    let bomb = "(loop $on (br_if $on (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) (unreachable)";
    world.refuses("memory", &eval(bomb), "memory limit of 32 MiB");
    let table = |grow: &str| {
        Scalar {
            extra: "(table $t 0 funcref) (table $u 0 funcref) (func $itself) (elem declare func $itself)"
                .to_owned(),
            eval: format!("{grow} (unreachable)"),
            ..Scalar::default()
        }
        .component()
    };
    let grow = "(loop $on (br_if $on (i32.ge_s (table.grow $t (ref.null func) (i32.const 1000)) (i32.const 0))))";
    world.refuses("table", &table(grow), "100000 entries of a table");
    let most = "(drop (table.grow $t (ref.func $itself) (i32.const 2000000000)))";
    world.refuses("a table at once", &table(most), "100000 entries of a table");
    // Many tables count as memory together, also where an entry takes four bytes.
    let tables = "(table 99000 funcref)".repeat(100);
    let many = Scalar {
        extra: tables,
        ..Scalar::default()
    };
    world.refuses("tables", &many.component(), "memory limit of 32 MiB");
    let large = Scalar {
        pages: 65_536,
        ..Scalar::default()
    };
    world.refuses(
        "4 GiB at first",
        &large.component(),
        "memory limit of 32 MiB",
    );
    assert!(world.host.host_stats().memory_bytes < 64 << 20);
}

#[test]
fn what_it_returns_is_not_believed() {
    let world = World::new();
    // The result at 128: its case, the column's case at 132, pointers and lengths behind.
    let column = |case: u32, words: &[u32]| {
        let mut code = format!("(i32.store8 (i32.const 132) (i32.const {case}))");
        for (at, word) in (136..).step_by(4).zip(words) {
            code.push_str(&format!("(i32.store (i32.const {at}) (i32.const {word}))"));
        }
        eval(&format!("{code} (i32.const 128)"))
    };
    let gib = 1 << 30;
    for (what, wasm, words) in [
        ("1 GiB", column(0, &[1024, gib]), "out of bounds"),
        (
            "1 GiB of floats",
            column(4, &[1024, gib / 8]),
            "out of bounds",
        ),
        ("4 GiB", column(0, &[1024, u32::MAX]), "out of bounds"),
        ("overflow", column(4, &[0xffff_fff8, 2]), "out of bounds"),
        ("crooked", column(4, &[1025, 10]), "not aligned"),
        ("no such case", column(99, &[1024, 10]), "discriminant"),
        ("other case", column(2, &[1024, 10]), "s64s where DOUBLE"),
        ("fewer rows", column(4, &[1024, 9]), "9 rows where 10"),
        (
            "validity",
            column(4, &[1024, 10, 0, 0, 1, 1024, 1]),
            "1 bytes where 10 rows need 2",
        ),
        (
            "far validity",
            column(4, &[1024, 10, 0, 0, 1, 1024, gib]),
            "out of bounds",
        ),
        (
            "no such option",
            column(4, &[1024, 10, 0, 0, 7, 1024, 2]),
            "discriminant",
        ),
        ("nowhere", eval("(i32.const -4)"), "out of bounds"),
        ("far away", eval("(i32.const 0x7ffffff0)"), "out of bounds"),
        ("crooked place", eval("(i32.const 129)"), "not aligned"),
        ("trap", eval("(unreachable)"), "unreachable"),
    ] {
        world.refuses(what, &wasm, words);
    }
}

#[test]
fn text_and_offsets_are_checked() {
    let world = World::new();
    let text = |offsets: &[i32], data: &str| {
        let offsets: String = offsets
            .iter()
            .flat_map(|offset| offset.to_le_bytes())
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        // `f` gives TEXT instead.
        Scalar {
            extra: format!(
                r#"(data (i32.const 48) "\05") (data (i32.const 2048) "{offsets}") (data (i32.const 4096) "{data}")"#
            ),
            eval: "(i32.store8 (i32.const 132) (i32.const 5))
                (i32.store (i32.const 136) (i32.const 2048)) (i32.store (i32.const 140) (i32.const 3))
                (i32.store (i32.const 144) (i32.const 4096)) (i32.store (i32.const 148) (i32.const 4))
                (i32.const 128)".to_owned(),
            ..Scalar::default()
        }
        .component()
    };
    let good = world.call(&text(&[0, 1, 4], "a\\c3\\a4b"), 2).unwrap();
    assert_eq!(good.as_string::<i32>().value(1), "äb");
    for (what, offsets, data, words) in [
        ("falls", [0, 5, 4], "abcd", "offsets fall"),
        ("negative", [0, -1, 4], "abcd", "offsets fall"),
        ("begins late", [1, 2, 4], "abcd", "first offset is not 0"),
        ("beyond", [0, 2, 5], "abcd", "the last offset is 5"),
        (
            "far beyond",
            [0, 2, i32::MAX],
            "abcd",
            "the last offset is 2147483647",
        ),
        ("short", [0, 1, 2], "abcd", "the last offset is 2"),
        ("not UTF-8", [0, 2, 4], "ab\\ff\\fe", "not valid text"),
        ("split", [0, 2, 4], "a\\c3\\a4b", "not valid text"),
    ] {
        let wasm = text(&offsets, data);
        let error = world.call(&wasm, 2).map(|array| array.len()).unwrap_err();
        assert!(error.message().contains(words), "{what}: {error}");
    }
}

#[test]
fn huge_texts_are_cut_or_refused() {
    let world = World::new();
    // An error, a name and a line of 20 MiB.
    let long = 20 << 20;
    let error = Scalar {
        pages: 400,
        eval: format!(
            "(i32.store8 (i32.const 128) (i32.const 1)) (i32.store (i32.const 136) (i32.const 4096))
             (i32.store (i32.const 140) (i32.const {long})) (i32.const 128)"
        ),
        ..Scalar::default()
    };
    world.refuses("error", &error.component(), "plugin 'hostile'");
    let name = Scalar {
        pages: 400,
        describe: format!("(i32.store (i32.const 36) (i32.const {long}))"),
        ..Scalar::default()
    };
    world.refuses("name", &name.component(), "cannot name a function");
    let functions = Scalar {
        describe: "(i32.store (i32.const 20) (i32.const 1000000))".to_owned(),
        ..Scalar::default()
    };
    world.refuses("functions", &functions.component(), "out of bounds");
    // Lists within lists count whole: each name is the same megabyte.
    let aliased = Scalar {
        pages: 400,
        describe: "(local $at i32) (local.set $at (i32.const 65536))
            (loop $on
              (i32.store (local.get $at) (i32.const 4096)) (i32.store offset=4 (local.get $at) (i32.const 1048576))
              (local.set $at (i32.add (local.get $at) (i32.const 20)))
              (br_if $on (i32.lt_u (local.get $at) (i32.const 2065536))))
            (i32.store (i32.const 16) (i32.const 65536)) (i32.store (i32.const 20) (i32.const 100000))"
            .to_owned(),
        ..Scalar::default()
    };
    world.refuses("aliased", &aliased.component(), "fuel");
    let logs = hand::component(
        "scalar-functions",
        &format!(
            r#"(module
              (import "log/" "log" (func $log (param i32 i32 i32)))
              (memory (export "memory") 400)
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512))
              (func (export "scalar/describe") (result i32)
                (loop $on (call $log (i32.const 3) (i32.const 4096) (i32.const {long})) (br $on)) (unreachable))
              (func (export "scalar/eval") (param i32 i32 i32 i32) (result i32) (unreachable)))"#
        ),
    );
    world.refuses("lines", &logs, "deadline");
}
