//! A manifest made of arbitrary entries: the bytes of an input are a list of entries for redb's tables,
//! so that the values behind redb's own checksums are reached.

use std::sync::Arc;

use activestore_env::DiskFile;
use activestore_types::Result;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::{MANIFEST, NODE, disk, read};

const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
const ORIGINS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("origins");
const SCHEMAS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("schemas");
const FILES: TableDefinition<'_, (u32, u64), &[u8]> = TableDefinition::new("files");
const TOMBSTONES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("tombstones");
const NOTES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("notes");
const NAMES: [&str; 6] = [
    "format",
    "changes",
    "flushed",
    "max_hlc",
    "next_file",
    "hold",
];

/// One entry: table, key, value.
type Entry<'a> = (u8, u64, &'a [u8]);

#[derive(Debug)]
struct Backend(File);

struct File(Arc<dyn DiskFile>);

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a file")
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> std::io::Result<u64> {
        self.0.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.0.read_exact_at(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.0.write_at(offset, data)
    }
}

fn entries(mut bytes: &[u8]) -> Vec<Entry<'_>> {
    let mut all = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<11>() {
        let mut key = [0; 8];
        key.copy_from_slice(&head[1..9]);
        let length = usize::from(u16::from_le_bytes([head[9], head[10]])).min(rest.len());
        let (value, rest) = rest.split_at(length);
        all.push((head[0] % 6, u64::from_le_bytes(key), value));
        bytes = rest;
    }
    all
}

fn push(out: &mut Vec<u8>, table: u8, key: u64, value: &[u8]) {
    out.push(table);
    out.extend(key.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
}

/// A manifest's file with these entries beside what every manifest has.
///
/// # Errors
/// What redb says.
pub fn with_ops(bytes: &[u8]) -> std::result::Result<Vec<u8>, redb::Error> {
    let disk = disk(&[(MANIFEST, &[])]);
    let file = disk.open(MANIFEST)?;
    let database = Database::builder().create_with_backend(Backend(File(file)))?;
    let transaction = database.begin_write()?;
    {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let mut origins = transaction.open_table(ORIGINS)?;
        let mut schemas = transaction.open_table(SCHEMAS)?;
        let mut files = transaction.open_table(FILES)?;
        let mut tombstones = transaction.open_table(TOMBSTONES)?;
        let mut notes = transaction.open_table(NOTES)?;
        numbers.insert("format", 1)?;
        origins.insert(0, NODE.0.as_slice())?;
        for (table, key, value) in entries(bytes) {
            match table {
                0 => {
                    let mut number = [0; 8];
                    for (to, from) in number.iter_mut().zip(value) {
                        *to = *from;
                    }
                    let name = NAMES[key as usize % NAMES.len()];
                    numbers.insert(name, u64::from_le_bytes(number))?;
                }
                1 => drop(origins.insert(key as u32, value)?),
                2 => drop(schemas.insert(key as u32, value)?),
                3 => drop(files.insert(((key >> 32) as u32, key & 0xffff_ffff), value)?),
                4 => drop(tombstones.insert(key as u32, value)?),
                _ => drop(notes.insert(key.to_le_bytes().as_slice(), value)?),
            }
        }
    }
    transaction.commit()?;
    drop(database);
    Ok(read(&disk, MANIFEST).unwrap_or_default())
}

/// The entries of a real manifest, as an input.
///
/// # Errors
/// What redb says.
pub fn ops_of(manifest: &[u8]) -> std::result::Result<Vec<u8>, redb::Error> {
    let disk = disk(&[(MANIFEST, manifest)]);
    let file = disk.open(MANIFEST)?;
    let database = Database::builder().create_with_backend(Backend(File(file)))?;
    let transaction = database.begin_read()?;
    let mut out = Vec::new();
    for (key, name) in (0..).zip(NAMES) {
        if let Some(value) = transaction.open_table(NUMBERS)?.get(name)? {
            push(&mut out, 0, key, &value.value().to_le_bytes());
        }
    }
    for (number, table) in [(1, ORIGINS), (2, SCHEMAS), (4, TOMBSTONES)] {
        for entry in transaction.open_table(table)?.iter()? {
            let (key, value) = entry?;
            push(&mut out, number, u64::from(key.value()), value.value());
        }
    }
    for entry in transaction.open_table(FILES)?.iter()? {
        let (key, value) = entry?;
        let (table, id) = key.value();
        push(&mut out, 3, u64::from(table) << 32 | id, value.value());
    }
    for entry in transaction.open_table(NOTES)?.iter()? {
        let (_, value) = entry?;
        push(&mut out, 5, 1, value.value());
    }
    Ok(out)
}

/// Opens a store whose manifest this is, with the sample's other files, and looks around.
pub fn open_with(manifest: &[u8]) -> Result<()> {
    let sample = crate::sample();
    let mut files: Vec<(&str, &[u8])> = vec![(MANIFEST, manifest)];
    for (path, bytes) in &sample.files {
        if path != MANIFEST && path != "lock" {
            files.push((path, bytes));
        }
    }
    let disk = disk(&files);
    let store = activestore_store::Store::open(crate::env(disk), crate::options())?;
    crate::look_around(&store);
    store.flush()?;
    crate::look_around(&store);
    store.close()
}
