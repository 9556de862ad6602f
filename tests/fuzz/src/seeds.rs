//! Inputs to start from.

use std::path::{Path, PathBuf};

use crate::mirror::{PLACE, SECOND};
use crate::{COPY, arrays, manifest, sample, table_file};
use activestore_sst::encode_array;

/// Where the folders of inputs to start from are to be made.
pub const DIR: &str = "ACTIVESTORE_FUZZ_SEEDS";

/// Makes the inputs of one target in its folder, if the environment asks for it.
pub fn write(target: &str) {
    if let Some(dir) = std::env::var_os(DIR) {
        write_to(&PathBuf::from(dir).join(target), target).expect("a folder to write to");
    }
}

fn write_to(dir: &Path, asked: &str) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(dir)?;
    let write = |target: &str, name: &str, bytes: &[u8]| -> std::io::Result<()> {
        if target == asked {
            std::fs::write(dir.join(format!("seed-{name}")), bytes)?;
        }
        Ok(())
    };
    for rows in [0, 1, 100, 1_500] {
        for (kind, array) in (0_u8..).zip(arrays(rows)) {
            let mut bytes = vec![kind];
            bytes.extend(encode_array(&array));
            write("array", &format!("{rows}-{kind}"), &bytes)?;
        }
    }
    for (name, bytes) in returned() {
        write("returned", &name, &bytes)?;
    }
    for rows in [1, 60, 1_100] {
        write("sst", &rows.to_string(), &table_file(rows)?)?;
    }
    let sample = sample();
    for (number, segment) in sample.segments.iter().enumerate() {
        write("wal", &number.to_string(), segment)?;
    }
    write("manifest", "empty", &[])?;
    for (name, manifest) in [
        ("log", &sample.manifest),
        ("flushed", &sample.flushed_manifest),
    ] {
        write("manifest", name, &manifest::ops_of(manifest)?)?;
    }
    for (path, bytes) in &sample.files {
        if path == COPY {
            write("copy", "flushed", bytes)?;
        }
    }
    for (name, bytes) in [
        ("text", b"d000\0\0d001\0\0".as_slice()),
        (
            "whole",
            b"d000\0\0\x80\0\0\0\0\0\0\x01d000\0\0\x80\0\0\0\0\0\0\x09",
        ),
        ("escaped", b"\0\xff\0\xff\0\0\xff\xff\xff"),
    ] {
        write("keys", name, bytes)?;
    }
    Ok(())
}

/// Results of calls as a guest lays them out, each with its case's number before it.
fn returned() -> Vec<(String, Vec<u8>)> {
    let words = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let mut seeds = Vec::new();
    // The `values` case and the element size of each type, by its number in `scalar-type`.
    let kinds = [
        (0, 0),
        (1, 4),
        (2, 8),
        (3, 4),
        (4, 8),
        (5, 1),
        (6, 1),
        (2, 8),
        (1, 4),
    ];
    for (kind, (case, _)) in (0_u8..).zip(kinds) {
        for validity in [0, 1] {
            // Ok, the column's values, its validity; then offsets and data.
            let length = if case == 0 {
                2
            } else if case > 4 {
                11
            } else {
                10
            };
            let mut bytes = words(&[
                0,
                case,
                PLACE + 40,
                length,
                PLACE + 84,
                10,
                validity,
                PLACE + 40,
                2,
            ]);
            bytes.resize(40, 0);
            bytes.extend(words(&(0..=10).collect::<Vec<_>>()));
            bytes.extend(b"0123456789");
            bytes.resize(200, 7);
            for function in [0, 2] {
                let mut input = vec![kind * 4 + function];
                input.extend(&bytes);
                seeds.push((format!("{function}-{kind}-{validity}"), input));
            }
        }
    }
    let mut states = vec![1];
    states.extend(words(&[0, PLACE + 20, 11, PLACE + 64, 10]));
    states.extend(words(&(0..=10).collect::<Vec<_>>()));
    states.extend(b"0123456789");
    seeds.push(("states".to_owned(), states));
    // One output of a number and a text, and the first of the columns that are offered.
    let mut spec = words(&[0, PLACE + 20, 1, PLACE + 60, 1]);
    spec.extend(words(&[PLACE + 64, 3, PLACE + 36, 2]));
    spec.extend(words(&[PLACE + 67, 1, 0x0104, PLACE + 68, 1, 0x0105]));
    spec.extend(words(&[0]));
    spec.extend(b"outab");
    // Two rows for it, and one of the batch that is rejected.
    let mut processed = words(&[0, SECOND + 40, 1, SECOND + 200, 1]);
    processed.extend(words(&[SECOND + 204, 2, SECOND + 212, 3, 0]));
    processed.extend(words(&[2, SECOND + 56, 2, 0]));
    processed.extend(words(&[4, SECOND + 240, 2, 0, 0, 0, 0, 0]));
    processed.extend(words(&[5, SECOND + 260, 3, SECOND + 272, 4, 0, 0, 0]));
    processed.resize(200, 0);
    processed.extend(words(&[3, 0, 3]));
    processed.extend(b"why");
    processed.resize(260, 0);
    processed.extend(words(&[0, 2, 4]));
    processed.extend(b"text");
    let mut input = vec![3];
    input.extend((spec.len() as u16).to_le_bytes());
    input.extend(spec);
    input.extend(processed);
    seeds.push(("processor".to_owned(), input));
    seeds
}
