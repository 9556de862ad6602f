//! An encrypted store: nothing that a user wrote stands readable in any of its files, it opens with its
//! key and no other, rotation changes the keyring alone, and a file that was exchanged is noticed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_env::{Disk, Keyring, MasterKey, SimEnv};
use activestore_store::{Note, ScanRequest, Store, StoreOptions, WriteSet, open_keyring};
use activestore_types::{
    BatchColumn, Column, ColumnId, DataType, ErrorKind, Hlc, Lsn, NodeId, OriginId, RowBatch,
    SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, AsArray, StringArray};

const TABLE: TableId = TableId(1);
const SECRET: &[u8] = b"SECRET";

fn master(byte: u8) -> MasterKey {
    MasterKey::parse(&[byte; 32]).unwrap()
}

fn options(world: &SimEnv, key: Option<&MasterKey>) -> activestore_types::Result<StoreOptions> {
    Ok(StoreOptions {
        background: false,
        encryption: open_keyring(&world.env(), key, false)?,
        ..StoreOptions::new(NodeId([1; 16]))
    })
}

fn open(world: &SimEnv, key: Option<&MasterKey>) -> activestore_types::Result<Arc<Store>> {
    Store::open(world.env(), options(world, key)?)
}

fn schema() -> Arc<TableSchema> {
    let column = |id, name: &str| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type: DataType::Text,
    };
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("plant", "SECRETtable"),
        columns: vec![column(1, "id"), column(2, "SECRETcolumn")],
        partition_key: vec![ColumnId(1)],
        clustering_key: Vec::new(),
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: activestore_types::CompactionMode::Automatic,
        version: 1,
    })
}

fn row(nth: u64) -> WriteSet {
    let column = |id, text: String| BatchColumn {
        id: ColumnId(id),
        array: Arc::new(StringArray::from(vec![text])) as ArrayRef,
        set: None,
    };
    let columns = vec![
        column(1, format!("SECRETkey{nth:03}")),
        column(2, format!("SECRETvalue{nth:03}")),
    ];
    WriteSet {
        batches: vec![RowBatch::upsert(
            TABLE,
            1,
            columns,
            Hlc(1000 + nth),
            OriginId(0),
        )],
        notes: vec![Note {
            key: b"SECRETnote".to_vec(),
            value: Some(format!("SECRET{nth}").into_bytes()),
        }],
        ..WriteSet::default()
    }
}

fn rows(store: &Store) -> usize {
    let request = ScanRequest {
        columns: vec![ColumnId(1), ColumnId(2)],
        ..ScanRequest::default()
    };
    let mut rows = 0;
    for batch in store.snapshot(TABLE).unwrap().scan(request).unwrap() {
        let batch = batch.unwrap();
        for (key, value) in std::iter::zip(
            batch.column(0).as_string::<i32>(),
            batch.column(1).as_string::<i32>(),
        ) {
            let nth = &key.unwrap()[9..];
            assert_eq!(value.unwrap(), format!("SECRETvalue{nth}"));
            rows += 1;
        }
    }
    rows
}

fn files(world: &SimEnv) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for dir in ["", "wal", "sst"] {
        for name in world.disk.list(dir).unwrap() {
            let path = format!("{dir}/{name}").trim_start_matches('/').to_owned();
            let bytes = world.disk.contents(&path).unwrap();
            all.insert(path, bytes);
        }
    }
    all
}

/// In files and in the log: some rows in each.
fn filled(world: &SimEnv, key: Option<&MasterKey>) -> Arc<Store> {
    let store = open(world, key).unwrap();
    store.put_schema(schema()).unwrap();
    for nth in 0..40 {
        store.commit(row(nth)).unwrap();
        if nth == 10 || nth == 20 {
            store.flush().unwrap();
        }
    }
    store
}

fn shows(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

#[test]
fn no_file_shows_what_was_written_and_the_key_brings_all_of_it_back() {
    for key in [None, Some(master(7))] {
        let world = SimEnv::seeded(1);
        let store = filled(&world, key.as_ref());
        let readable: Vec<String> = files(&world)
            .into_iter()
            .filter(|(_, bytes)| shows(bytes))
            .map(|(path, _)| path)
            .collect();
        // The plain store shows that the search finds what there is to find.
        assert_eq!(readable.is_empty(), key.is_some(), "{readable:?}");
        let logged = store.log(Lsn(30), 1 << 20).unwrap();
        assert_eq!(logged[0].set.batches[0].rows, 1);
        drop(store);
        let store = open(&world, key.as_ref()).unwrap();
        assert_eq!(rows(&store), 40);
        assert_eq!(store.note(b"SECRETnote").unwrap(), b"SECRET39");
        store.compact(TABLE).unwrap();
        assert_eq!(rows(&store), 40);
    }
}

#[test]
fn a_wrong_a_missing_and_a_needless_key_are_said_before_anything_is_touched() {
    let key = master(7);
    let sealed = SimEnv::seeded(1);
    drop(filled(&sealed, Some(&key)));
    let plain = SimEnv::seeded(2);
    drop(filled(&plain, None));
    let cases = [
        (
            &sealed,
            Some(master(8)),
            ErrorKind::Denied,
            "does not belong",
        ),
        (&sealed, None, ErrorKind::Denied, "no key was given"),
        (
            &plain,
            Some(key.clone()),
            ErrorKind::Conflict,
            "not encrypted",
        ),
    ];
    for (world, key, kind, says) in cases {
        let before = files(world);
        let operations = world.disk.ops();
        let error = open(world, key.as_ref()).err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(says), "{error}");
        assert_eq!(world.disk.ops(), operations);
        assert!(files(world) == before);
    }
    // Nor is the store fooled by who leaves out the question for the keys.
    let bare = options(&plain, None).unwrap();
    let error = Store::open(sealed.env(), bare).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let keyed = options(&sealed, Some(&key)).unwrap();
    let error = Store::open(plain.env(), keyed).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(rows(&open(&sealed, Some(&key)).unwrap()), 40);
}

#[test]
fn a_new_master_key_changes_the_keyring_and_a_new_data_key_only_what_is_written_later() {
    let (old, new) = (master(7), master(8));
    let world = SimEnv::seeded(3);
    drop(filled(&world, Some(&old)));
    let before = files(&world);
    Keyring::rotate(&world.env(), &old, &new, true).unwrap();
    let changed: Vec<String> = files(&world)
        .into_iter()
        .filter(|(path, bytes)| before.get(path) != Some(bytes))
        .map(|(path, _)| path)
        .collect();
    assert_eq!(changed, ["keyring"]);
    assert!(open(&world, Some(&old)).is_err());
    let store = open(&world, Some(&new)).unwrap();
    assert_eq!(rows(&store), 40);
    store.commit(row(40)).unwrap();
    store.compact(TABLE).unwrap();
    store.commit(row(41)).unwrap();
    drop(store);
    assert_eq!(rows(&open(&world, Some(&new)).unwrap()), 42);
}

#[test]
fn exchanged_files_and_records_are_noticed() {
    let key = master(7);
    let world = SimEnv::seeded(4);
    drop(filled(&world, Some(&key)));
    let tables: Vec<String> = files(&world)
        .into_keys()
        .filter(|path| path.starts_with("sst/"))
        .collect();
    let (one, two) = (tables[0].as_str(), tables[1].as_str());
    for (from, to) in [(one, "aside"), (two, one), ("aside", two)] {
        world.disk.rename(from, to).unwrap();
    }
    let error = open(&world, Some(&key)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");

    // A plain file in an encrypted store, though its checksums hold.
    let plain = SimEnv::seeded(5);
    drop(filled(&plain, None));
    let sealed = SimEnv::seeded(5);
    drop(filled(&sealed, Some(&key)));
    let forged = plain.disk.contents(&tables[0]).unwrap();
    sealed.disk.remove(&tables[0]).unwrap();
    let file = sealed.disk.create(&tables[0]).unwrap();
    file.write_at(0, &forged).unwrap();
    let error = open(&sealed, Some(&key)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.message().contains("not encrypted"), "{error}");
}

/// A log that someone wrote without the key, in frames that hold together, is not replayed.
#[test]
fn a_forged_log_is_not_replayed() {
    let key = master(7);
    let plain = SimEnv::seeded(6);
    let sealed = SimEnv::seeded(6);
    for (world, key) in [(&plain, None), (&sealed, Some(&key))] {
        let store = open(world, key).unwrap();
        store.put_schema(schema()).unwrap();
        store.commit(row(1)).unwrap();
    }
    for name in sealed.disk.list("wal").unwrap() {
        sealed.disk.remove(&format!("wal/{name}")).unwrap();
    }
    for (path, bytes) in files(&plain)
        .iter()
        .filter(|(path, _)| path.starts_with("wal/"))
    {
        let file = sealed.disk.create(path).unwrap();
        file.write_at(0, bytes).unwrap();
    }
    let error = open(&sealed, Some(&key)).err().unwrap();
    // What stands where the number of a data key should be is one that there is none of.
    assert!(matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::Denied
    ));
    assert!(
        error.message().contains("record 1 of the write-ahead log"),
        "{error}"
    );
}
