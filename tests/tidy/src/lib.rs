//! The repository's house rules as tests: which package may depend on which, how a file begins, how
//! long it may be, and which words are banned with what to use in their place.

use std::path::{Path, PathBuf};

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), PathBuf::from)
}

/// Every Rust file that belongs to the repository, sorted.
pub fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["node", "sync", "cross", "tests", "wasm-sdk", "plugins"] {
        gather(&root().join(folder), &mut files);
    }
    files.sort();
    files
}

fn gather(dir: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                gather(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
