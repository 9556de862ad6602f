//! A fleet row as a key-value engine keeps it: a key that sorts by device and time, and a value of
//! plain numbers with the tags as codes, about what postcard makes of such a row.

use std::path::Path;

use crate::task::Result;

/// Device name and big-endian time.
pub const KEY_BYTES: usize = 13 + 8;
/// Two codes, eight floats, two integers.
pub const VALUE_BYTES: usize = 2 + 8 * 10;
const RECORD_BYTES: usize = KEY_BYTES + VALUE_BYTES;

/// One row.
pub struct Record<'a> {
    /// 13 bytes.
    pub device: &'a str,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Code of the region.
    pub region: u8,
    /// Code of the model.
    pub model: u8,
    /// The eight walks.
    pub walks: [f64; 8],
    /// Counter and status.
    pub counts: [i64; 2],
}

impl Record<'_> {
    /// Its bytes.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..13].copy_from_slice(self.device.as_bytes());
        bytes[13..KEY_BYTES].copy_from_slice(&self.at_ms.to_be_bytes());
        bytes[KEY_BYTES] = self.region;
        bytes[KEY_BYTES + 1] = self.model;
        let numbers = bytes[KEY_BYTES + 2..].chunks_exact_mut(8);
        let values = self
            .walks
            .iter()
            .map(|value| value.to_le_bytes())
            .chain(self.counts.iter().map(|value| value.to_le_bytes()));
        for (to, from) in numbers.zip(values) {
            to.copy_from_slice(&from);
        }
        bytes
    }
}

/// The ten fields of a value, as floats.
pub fn fields(value: &[u8]) -> [f64; 10] {
    let mut fields = [0.0; 10];
    for (index, number) in value[2..VALUE_BYTES].chunks_exact(8).enumerate() {
        let bytes: [u8; 8] = number.try_into().unwrap_or_default();
        fields[index] = if index < 8 {
            f64::from_le_bytes(bytes)
        } else {
            i64::from_le_bytes(bytes) as f64
        };
    }
    fields
}

/// A file of records in memory.
pub struct Records(Vec<u8>);

impl Records {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Records(std::fs::read(path)?))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len() / RECORD_BYTES
    }

    /// A row's key.
    pub fn key(&self, row: usize) -> &[u8] {
        &self.0[row * RECORD_BYTES..row * RECORD_BYTES + KEY_BYTES]
    }

    /// A row's value.
    pub fn value(&self, row: usize) -> &[u8] {
        &self.0[row * RECORD_BYTES + KEY_BYTES..(row + 1) * RECORD_BYTES]
    }

    /// A row's device and time.
    pub fn device_and_time(&self, row: usize) -> (&str, i64) {
        let (device, time) = self.key(row).split_at(13);
        let time = time.try_into().map_or(0, i64::from_be_bytes);
        (std::str::from_utf8(device).unwrap_or_default(), time)
    }
}
