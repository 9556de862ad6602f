//! Plugins in C, JavaScript and Python from nothing to their first result, as a developer types it. Where
//! a language's tool is not installed, its test says so and ends: `cargo xtask test` installs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use activestore_plugin_host::{HostOptions, PluginHost};
use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;

use crate::process::{program, said, wrote};

/// Where `cargo xtask test` puts the tools that are not the system's.
fn tools_dir() -> PathBuf {
    let set = std::env::var_os("ACTIVESTORE_TOOLS_DIR");
    set.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"),
        PathBuf::from,
    )
}

/// The folders in which programs are looked for, those of the tools first.
fn path() -> std::ffi::OsString {
    let tools = tools_dir();
    let own = ["js/node_modules/.bin", "python/bin"].map(|folder| tools.join(folder));
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(own.into_iter().chain(std::env::split_paths(&others))).unwrap()
}

/// Whether the programs are there; says so where one is not.
fn have(language: &str, programs: &[&str]) -> bool {
    let path = path();
    let missing = programs
        .iter()
        .find(|name| !std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    if let Some(missing) = missing {
        println!("skipped: {missing}, which plugins in {language} need, is not installed");
    }
    missing.is_none()
}

fn in_dir(dir: &Path, mut command: Command, args: &[&str]) -> Output {
    command
        .args(args)
        .current_dir(dir)
        .env("PATH", path())
        .output()
        .unwrap()
}

/// Makes a project; gives its folder and where its component will be.
fn made(dir: &Path, language: &str, kind: &str, name: &str) -> (PathBuf, PathBuf) {
    let new = ["plugin", "new", name, "--lang", language, "--kind", kind];
    let output = in_dir(dir, program(), &new);
    assert!(output.status.success(), "{}", said(&output));
    let project = dir.join(name);
    let component = project.join(format!("{name}.wasm"));
    (project, component)
}

fn build(project: &Path) {
    let built = in_dir(project, program(), &["plugin", "build"]);
    assert!(built.status.success(), "{}{}", wrote(&built), said(&built));
}

/// Tries the component on the rows that come along.
fn tried(project: &Path, component: &Path, more: &[&str]) -> Output {
    let wasm = component.to_string_lossy();
    let mut args = vec!["plugin", "test", &wasm, "--rows", "rows.csv"];
    args.extend(more);
    in_dir(project, program(), &args)
}

const LIMITS: [&str; 4] = ["--set", "column=temp", "--set", "max=80"];
const REFUSED: &str = "row 2 refused: 80.5 is above 80";

fn change(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[test]
fn functions_and_a_processor_in_c() {
    if !have("C", &["clang", "wasm-ld"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (project, component) = made(dir.path(), "c", "scalar", "mean-of-two");
    build(&project);
    let shown = tried(&project, &component, &[]);
    assert!(
        wrote(&shown).contains("│ 21.0 "),
        "{}{}",
        wrote(&shown),
        said(&shown)
    );
    // Both what the author says and what the machine finds is told with its line.
    let source = project.join("plugin.c");
    change(
        &source,
        "  return AS_OK;",
        "  if (rows > 2) as_panic(\"%u rows\", rows);\n  return AS_OK;",
    );
    build(&project);
    let failed = tried(&project, &component, &[]);
    assert!(
        said(&failed).contains("3 rows (plugin.c:"),
        "{}",
        said(&failed)
    );
    change(
        &source,
        "as_panic(\"%u rows\", rows)",
        "mean[0] = rows % (rows - 3)",
    );
    build(&project);
    let failed = tried(&project, &component, &[]);
    let expected = "integer divide by zero in mean_of_two (plugin.c:";
    assert!(said(&failed).contains(expected), "{}", said(&failed));
    change(&source, "return AS_OK", "return AS_WELL");
    let refused = in_dir(&project, program(), &["plugin", "build"]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("plugin.c:"), "{}", said(&refused));

    let (project, component) = made(dir.path(), "c", "processor", "limit");
    build(&project);
    let shown = tried(&project, &component, &LIMITS);
    assert!(
        wrote(&shown).contains(REFUSED),
        "{}{}",
        wrote(&shown),
        said(&shown)
    );
    let refused = tried(&project, &component, &["--set", "column=x"]);
    assert!(
        said(&refused).contains("the table has no column 'x'"),
        "{}",
        said(&refused)
    );
}

#[test]
fn functions_in_javascript() {
    if !have("JavaScript", &["node", "componentize-qjs"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (project, component) = made(dir.path(), "js", "scalar", "mean-of-two");
    let tested = in_dir(&project, Command::new("node"), &["--test"]);
    assert!(tested.status.success(), "{}", wrote(&tested));
    build(&project);
    let shown = tried(&project, &component, &[]);
    assert!(
        wrote(&shown).contains("│ 21.0 "),
        "{}{}",
        wrote(&shown),
        said(&shown)
    );
    let source = project.join("plugin.js");
    change(
        &source,
        "  return (a",
        "  if (a > 20) a.valueOf = b.nothing.there;\n  return (a",
    );
    build(&project);
    let failed = tried(&project, &component, &[]);
    assert!(said(&failed).contains("TypeError"), "{}", said(&failed));
    assert!(said(&failed).contains("(plugin.js:"), "{}", said(&failed));
    change(&source, "return (a", "return ((a");
    let refused = in_dir(&project, program(), &["plugin", "build"]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("plugin.js:"), "{}", said(&refused));
}

#[test]
fn a_processor_in_javascript() {
    if !have("JavaScript", &["node", "componentize-qjs"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (project, component) = made(dir.path(), "js", "processor", "limit");
    let tested = in_dir(&project, Command::new("node"), &["--test"]);
    assert!(tested.status.success(), "{}", wrote(&tested));
    // It counts what it has seen, keeps that, and sends it.
    change(
        &project.join("plugin.js"),
        "  process(batch) {\n",
        "  outputs = { seen: { rows: \"int64\", what: \"text\" } };\n  process(batch, state) {\n    \
         const rows = Number(state.get(\"rows\") ?? 0) + batch.rows;\n    \
         state.set(\"rows\", String(rows));\n    batch.send(\"seen\", { rows, what: \"Zähler\" });\n",
    );
    build(&project);
    let shown = tried(&project, &component, &LIMITS);
    let text = wrote(&shown);
    assert!(text.contains(REFUSED), "{text}{}", said(&shown));
    assert!(
        text.contains("Zähler") && text.contains("1 keys of state"),
        "{text}"
    );
}

#[test]
fn functions_in_python() {
    if !have("Python", &["python3", "componentize-py"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (project, component) = made(dir.path(), "python", "scalar", "mean-of-two");
    let tested = in_dir(&project, Command::new("python3"), &["-m", "unittest"]);
    assert!(tested.status.success(), "{}", said(&tested));
    let source = project.join("plugin.py");
    let more = "\n\n@function\ndef ratio(a: float, b: float) -> float | None:\n    return a / b\n";
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, text + more).unwrap();
    build(&project);
    // Compiling CPython takes its time: once for all calls.
    let host = PluginHost::new(HostOptions::default()).unwrap();
    let plugin = host
        .load("python", &std::fs::read(component).unwrap())
        .unwrap();
    let column =
        |values: [Option<f64>; 2]| -> ArrayRef { Arc::new(Float64Array::from_iter(values)) };
    let args = [column([Some(20.5), Some(1.0)]), column([Some(21.5), None])];
    let means = plugin
        .scalar("mean_of_two")
        .unwrap()
        .call(2, &args)
        .unwrap();
    let expected = Float64Array::from(vec![Some(21.0), None]);
    assert_eq!(means.as_primitive::<Float64Type>(), &expected);
    let args = [
        column([Some(1.0), Some(1.0)]),
        column([Some(2.0), Some(0.0)]),
    ];
    let error = plugin.scalar("ratio").unwrap().call(2, &args).unwrap_err();
    let expected = "ZeroDivisionError: division by zero (plugin.py:";
    assert!(error.message().contains(expected), "{error}");
    let logged = plugin.logs();
    assert!(
        logged
            .iter()
            .any(|line| line.message.contains("at ratio (plugin.py:")),
        "{logged:?}"
    );
}

#[test]
fn a_processor_in_python() {
    if !have("Python", &["python3", "componentize-py"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (project, component) = made(dir.path(), "python", "processor", "limit");
    let tested = in_dir(&project, Command::new("python3"), &["-m", "unittest"]);
    assert!(tested.status.success(), "{}", said(&tested));
    change(
        &project.join("plugin.py"),
        "        [values] = batch.columns\n",
        "        [values] = batch.columns\n        rows = int(state.get(\"rows\") or 0) + batch.rows\n        \
         state.set(\"rows\", str(rows))\n        batch.send(\"seen\", rows=rows, what=\"Zähler\")\n",
    );
    change(
        &project.join("plugin.py"),
        "        self.max =",
        "        self.outputs = {\"seen\": {\"rows\": int, \"what\": str}}\n        self.max =",
    );
    build(&project);
    let shown = tried(&project, &component, &LIMITS);
    let text = wrote(&shown);
    assert!(text.contains(REFUSED), "{text}{}", said(&shown));
    assert!(
        text.contains("Zähler") && text.contains("1 keys of state"),
        "{text}"
    );
}
