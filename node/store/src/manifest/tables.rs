//! The manifest's redb tables and what stands in them. Values are postcard unless said otherwise, and
//! pass through the [`EntrySealer`].

use std::collections::BTreeMap;

use activestore_sst::SstMeta;
use activestore_types::{
    Error, Hlc, Lsn, NodeId, OriginId, RangeTombstone, Result, TableId, TableSchema,
};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::seal::EntrySealer;
use super::{Contents, Edit, FileRecord, corrupt, storage};

/// `format`, `sealed` (1: values are encrypted), `changes` (how many there were), `flushed`, `max_hlc`, `next_file`, `hold` (absent: none): plain numbers.
const NUMBERS: TableDefinition<'static, &str, u64> = TableDefinition::new("numbers");
/// Origin id → node id, as it is; 0 is the node itself.
const ORIGINS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("origins");
/// Table id → [`TableSchema`].
const SCHEMAS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("schemas");
/// Table id, file id → [`SstMeta`].
const FILES: TableDefinition<'static, (u32, u64), &[u8]> = TableDefinition::new("files");
/// Table id → list of [`StoredTombstone`].
const TOMBSTONES: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("tombstones");
/// Key → value, both as they are; encrypted, the key's pseudonym → key and value.
const NOTES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("notes");

/// A range tombstone beside the id of its table.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredTombstone {
    start: Vec<u8>,
    end: Vec<u8>,
    hlc: Hlc,
    origin: OriginId,
}

impl From<&RangeTombstone> for StoredTombstone {
    fn from(tombstone: &RangeTombstone) -> Self {
        StoredTombstone {
            start: tombstone.start.clone(),
            end: tombstone.end.clone(),
            hlc: tombstone.hlc,
            origin: tombstone.origin,
        }
    }
}

impl StoredTombstone {
    pub(super) fn of(self, table: TableId) -> RangeTombstone {
        RangeTombstone {
            table,
            start: self.start,
            end: self.end,
            hlc: self.hlc,
            origin: self.origin,
        }
    }
}

fn failed(error: impl Into<redb::Error>) -> Error {
    storage(error.into())
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    postcard::to_stdvec(value)
        .map_err(|error| Error::internal(format!("the manifest cannot be encoded: {error}")))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(corrupt)
}

/// Makes all tables, in one transaction.
pub(super) fn create(
    database: &Database,
    format: u32,
    node: NodeId,
    sealer: &EntrySealer,
) -> Result<()> {
    let transaction = database.begin_write().map_err(failed)?;
    {
        let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
        numbers
            .insert("format", u64::from(format))
            .map_err(failed)?;
        numbers
            .insert("sealed", u64::from(sealer.is_on()))
            .map_err(failed)?;
        let mut origins = transaction.open_table(ORIGINS).map_err(failed)?;
        origins.insert(0, node.0.as_slice()).map_err(failed)?;
        transaction.open_table(SCHEMAS).map_err(failed)?;
        transaction.open_table(FILES).map_err(failed)?;
        transaction.open_table(TOMBSTONES).map_err(failed)?;
        transaction.open_table(NOTES).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Reads everything. The manifest must be `node`'s, if one is given.
pub(super) fn load(
    database: &Database,
    format: u32,
    node: Option<NodeId>,
    sealer: &EntrySealer,
) -> Result<Contents> {
    let transaction = database.begin_read().map_err(failed)?;
    let numbers = transaction.open_table(NUMBERS).map_err(failed)?;
    let number = |name: &str| -> Result<Option<u64>> {
        Ok(numbers
            .get(name)
            .map_err(failed)?
            .map(|value| value.value()))
    };
    let found = number("format")?.unwrap_or(0);
    if found != u64::from(format) {
        return Err(corrupt(format!(
            "its format is {found}, and this program knows {format}"
        )));
    }
    check_sealed(number("sealed")? == Some(1), sealer.is_on())?;
    let mut contents = Contents {
        flushed: Lsn(number("flushed")?.unwrap_or(0)),
        max_hlc: Hlc(number("max_hlc")?.unwrap_or(0)),
        next_file: number("next_file")?.unwrap_or(1),
        hold: number("hold")?.map(Lsn),
        changes: number("changes")?.unwrap_or(0),
        ..Contents::default()
    };
    let origins = transaction.open_table(ORIGINS).map_err(failed)?;
    for entry in origins.iter().map_err(failed)? {
        let (id, bytes) = entry.map_err(failed)?;
        let bytes = <[u8; 16]>::try_from(bytes.value())
            .map_err(|_| corrupt("an origin is not 16 bytes"))?;
        contents.origins.insert(OriginId(id.value()), NodeId(bytes));
    }
    contents.check_owner(node)?;
    let schemas = transaction.open_table(SCHEMAS).map_err(failed)?;
    for entry in schemas.iter().map_err(failed)? {
        let (id, bytes) = entry.map_err(failed)?;
        let bytes = sealer.open("schemas", (id.value(), 0), bytes.value())?;
        contents.schemas.push(decode::<TableSchema>(&bytes)?);
    }
    let files = transaction.open_table(FILES).map_err(failed)?;
    for entry in files.iter().map_err(failed)? {
        let (key, bytes) = entry.map_err(failed)?;
        let (table, id) = key.value();
        let bytes = sealer.open("files", (table, id), bytes.value())?;
        contents.files.push(FileRecord {
            table: TableId(table),
            id,
            meta: decode::<SstMeta>(&bytes)?,
        });
    }
    contents.tombstones = load_tombstones(&transaction, sealer)?;
    contents.check_numbers()?;
    let notes = transaction.open_table(NOTES).map_err(failed)?;
    for entry in notes.iter().map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        let (key, value) = sealer.open_note(key.value(), value.value())?;
        contents.notes.insert(key, value);
    }
    Ok(contents)
}

fn load_tombstones(
    transaction: &redb::ReadTransaction,
    sealer: &EntrySealer,
) -> Result<BTreeMap<TableId, Vec<RangeTombstone>>> {
    let mut all = BTreeMap::new();
    let tombstones = transaction.open_table(TOMBSTONES).map_err(failed)?;
    for entry in tombstones.iter().map_err(failed)? {
        let (table, bytes) = entry.map_err(failed)?;
        let table = TableId(table.value());
        let bytes = sealer.open("tombstones", (table.0, 0), bytes.value())?;
        let list = decode::<Vec<StoredTombstone>>(&bytes)?
            .into_iter()
            .map(|stored| stored.of(table))
            .collect();
        all.insert(table, list);
    }
    Ok(all)
}

/// Carries out one change in one transaction.
pub(super) fn commit(
    database: &Database,
    edit: &Edit,
    number: u64,
    sealer: &EntrySealer,
) -> Result<()> {
    let transaction = database.begin_write().map_err(failed)?;
    apply(&transaction, edit, number, sealer)?;
    transaction.commit().map_err(failed)
}

/// How many changes there were.
pub(super) fn changes(database: &Database) -> Result<u64> {
    let transaction = database.begin_read().map_err(failed)?;
    let numbers = transaction.open_table(NUMBERS).map_err(failed)?;
    let found = numbers.get("changes").map_err(failed)?;
    Ok(found.map_or(0, |value| value.value()))
}

fn apply(
    transaction: &redb::WriteTransaction,
    edit: &Edit,
    number: u64,
    sealer: &EntrySealer,
) -> Result<()> {
    let mut numbers = transaction.open_table(NUMBERS).map_err(failed)?;
    let set = [
        ("changes", Some(number)),
        ("flushed", edit.flushed.map(|lsn| lsn.0)),
        ("max_hlc", edit.max_hlc.map(|hlc| hlc.0)),
        ("next_file", edit.next_file),
        ("hold", edit.hold.flatten().map(|lsn| lsn.0)),
    ];
    for (name, value) in set {
        if let Some(value) = value {
            numbers.insert(name, value).map_err(failed)?;
        }
    }
    if edit.hold == Some(None) {
        numbers.remove("hold").map_err(failed)?;
    }
    let mut origins = transaction.open_table(ORIGINS).map_err(failed)?;
    for (id, node) in &edit.origins {
        origins.insert(id.0, node.0.as_slice()).map_err(failed)?;
    }
    let mut schemas = transaction.open_table(SCHEMAS).map_err(failed)?;
    for schema in &edit.schemas {
        let value = sealer.seal("schemas", (schema.id.0, 0), encode(schema.as_ref())?)?;
        schemas
            .insert(schema.id.0, value.as_slice())
            .map_err(failed)?;
    }
    let mut files = transaction.open_table(FILES).map_err(failed)?;
    for (table, id) in &edit.remove_files {
        files.remove((table.0, *id)).map_err(failed)?;
    }
    for file in &edit.add_files {
        let key = (file.table.0, file.id);
        let value = sealer.seal("files", key, encode(&file.meta)?)?;
        files.insert(key, value.as_slice()).map_err(failed)?;
    }
    let mut tombstones = transaction.open_table(TOMBSTONES).map_err(failed)?;
    for (table, list) in &edit.tombstones {
        if list.is_empty() {
            tombstones.remove(table.0).map_err(failed)?;
            continue;
        }
        let stored: Vec<StoredTombstone> = list.iter().map(StoredTombstone::from).collect();
        let value = sealer.seal("tombstones", (table.0, 0), encode(&stored)?)?;
        tombstones
            .insert(table.0, value.as_slice())
            .map_err(failed)?;
    }
    for table in &edit.drop_tables {
        schemas.remove(table.0).map_err(failed)?;
        tombstones.remove(table.0).map_err(failed)?;
        files
            .retain_in((table.0, 0)..=(table.0, u64::MAX), |_, _| false)
            .map_err(failed)?;
    }
    let mut notes = transaction.open_table(NOTES).map_err(failed)?;
    for note in &edit.notes {
        let key = sealer.note_key(&note.key)?;
        match &note.value {
            Some(value) => {
                let value = sealer.seal_note(&key, &note.key, value)?;
                notes.insert(&*key, &*value).map_err(failed)?
            }
            None => notes.remove(&*key).map_err(failed)?,
        };
    }
    Ok(())
}

/// A manifest and its reader agree on whether values are encrypted.
fn check_sealed(is: bool, asked: bool) -> Result<()> {
    match (is, asked) {
        (true, false) => Err(Error::denied(
            "the manifest is encrypted, and there is no key for it",
        )),
        (false, true) => Err(Error::conflict(
            "a key was given, and the manifest is not encrypted",
        )),
        _ => Ok(()),
    }
}

/// Copies every entry of one database into another, new one, as it is stored.
pub(super) fn copy(from: &Database, to: &Database) -> Result<()> {
    let read = from.begin_read().map_err(failed)?;
    let write = to.begin_write().map_err(failed)?;
    copy_table(&read, &write, NUMBERS)?;
    copy_table(&read, &write, ORIGINS)?;
    copy_table(&read, &write, SCHEMAS)?;
    copy_table(&read, &write, FILES)?;
    copy_table(&read, &write, TOMBSTONES)?;
    copy_table(&read, &write, NOTES)?;
    write.commit().map_err(failed)
}

fn copy_table<K: redb::Key + 'static, V: redb::Value + 'static>(
    read: &redb::ReadTransaction,
    write: &redb::WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<()> {
    let source = read.open_table(table).map_err(failed)?;
    let mut target = write.open_table(table).map_err(failed)?;
    for entry in source.iter().map_err(failed)? {
        let (key, value) = entry.map_err(failed)?;
        target.insert(key.value(), value.value()).map_err(failed)?;
    }
    Ok(())
}
