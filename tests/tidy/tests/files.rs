//! Every file says what it is, can be read in one sitting, and has a name that means something.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use activestore_tidy::{root, rust_files};

/// No file may be longer, in lines.
const LINES_MAX: usize = 600;
/// How many files may be longer than this; lower the number when it can be lowered.
const LONG_LINES: usize = 400;
const LONG_FILES_MAX: usize = 40;

const BANNED_NAMES: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "manager", "misc",
];

/// Words that must not stand in code, each with what to do in their place. Written in two parts so
/// that this file does not find itself.
const BANNED_WORDS: &[(&str, &str, &str)] = &[
    (
        "TO",
        "DO",
        "finish it, or say in the documentation what is missing",
    ),
    ("FIX", "ME", "mend it"),
    ("to", "do!(", "write it"),
    (
        "unimple",
        "mented!(",
        "write it, or return an error that says so",
    ),
];

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let silent: Vec<_> = rust_files()
        .iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!"))
        .map(|path| shown(path))
        .collect();
    assert!(
        silent.is_empty(),
        "these files do not open with //!: {silent:#?}"
    );
}

#[test]
fn no_file_is_too_long() {
    let mut long = 0;
    for path in rust_files() {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines, more than {LINES_MAX}: cut it into nouns",
            shown(&path)
        );
        long += usize::from(lines > LONG_LINES);
    }
    assert!(
        long <= LONG_FILES_MAX,
        "{long} files have more than {LONG_LINES} lines; {LONG_FILES_MAX} are allowed"
    );
}

#[test]
fn names_mean_something() {
    for path in rust_files() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !BANNED_NAMES.contains(&stem.as_str()),
            "{}: name the file after what it holds",
            shown(&path)
        );
    }
}

#[test]
fn nothing_is_left_open() {
    for path in rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        for (left, right, instead) in BANNED_WORDS {
            let word = format!("{left}{right}");
            if let Some(line) = text.lines().position(|line| {
                line.split(|c: char| !c.is_ascii_alphanumeric() && !"!(".contains(c))
                    .any(|token| token.starts_with(&word))
            }) {
                panic!("{}:{}: {word}: {instead}", shown(&path), line + 1);
            }
        }
    }
}

#[test]
fn the_readme_shows_both_commands() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(
            readme.contains(command),
            "README.md does not show '{command}'"
        );
    }
}
