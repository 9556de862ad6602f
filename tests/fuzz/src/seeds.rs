//! Inputs to start from.

use std::path::{Path, PathBuf};

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
