//! The SDK is whole: every module that it names is among its files.

use super::SDK_FILES;

#[test]
fn every_module_is_there() {
    let text = |wanted: &str| {
        let found = SDK_FILES.iter().find(|(path, _)| *path == wanted);
        found.unwrap_or_else(|| panic!("{wanted} is missing")).1
    };
    let modules: Vec<_> = text("guest/src/lib.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(modules.len() > 5);
    for module in modules {
        text(&format!("guest/src/{module}.rs"));
    }
    assert!(text("wit/plugin.wit").contains("package activestore:plugin@1.0.0"));
}
