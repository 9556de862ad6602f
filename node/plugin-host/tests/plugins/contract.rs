//! The contract that was released is not changed: components built against it are run by every later
//! release.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use activestore_plugin_host::PluginHost;
use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::Float64Type;

use crate::built::options;

fn read(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each interface of a contract as one line, without comments.
fn interfaces(text: &str) -> BTreeMap<String, String> {
    let code: Vec<&str> = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .collect();
    let mut found = BTreeMap::new();
    let mut name = None;
    for line in code {
        if let Some(rest) = line.strip_prefix("interface ") {
            name = Some(rest.trim_end_matches(['{', ' ']).to_owned());
        } else if line.starts_with("world ") {
            name = None;
        }
        if let Some(name) = &name {
            let body: &mut String = found.entry(name.clone()).or_default();
            body.push_str(line);
            body.push(' ');
        }
    }
    found
}

/// Every file of a contract.
fn all_of(folder: &str, files: &[&str]) -> BTreeMap<String, String> {
    let texts = files.iter().map(|file| {
        let text = String::from_utf8(read(&format!("{folder}/{file}"))).unwrap();
        assert!(text.contains("package activestore:plugin@1.0.0;"), "{file}");
        interfaces(&text)
    });
    texts.flatten().collect()
}

/// What 1.0 says stands in every later version word by word; only interfaces and worlds are added.
#[test]
fn no_interface_of_a_released_contract_is_changed() {
    let files = [
        "plugin.wit",
        "merge.wit",
        "filter.wit",
        "http.wit",
        "nn.wit",
    ];
    let now = all_of("wasm-sdk/wit", &files);
    let released = all_of("tests/fixtures/plugins/1.0", &files);
    assert_eq!(released.len(), 16, "{:?}", released.keys());
    for (name, body) in &released {
        assert_eq!(now.get(name), Some(body), "interface {name} was changed");
    }
}

#[test]
fn components_built_against_a_released_contract_run() {
    let host = PluginHost::new(options()).unwrap();
    let units = host
        .load("units", &read("tests/fixtures/plugins/1.0/units.wasm"))
        .unwrap();
    let degrees: ArrayRef = Arc::new(Float64Array::from(vec![212.0]));
    let celsius = units.scalar("f_to_c").unwrap().call(1, &[degrees]).unwrap();
    assert_eq!(celsius.as_primitive::<Float64Type>().value(0), 100.0);
    let watchdog = host
        .load(
            "watchdog",
            &read("tests/fixtures/plugins/1.0/watchdog.wasm"),
        )
        .unwrap();
    assert_eq!(watchdog.kind().name(), "processor");
}
