//! A table of what people said when, some of whose partitions have keys.

pub use std::collections::{BTreeMap, BTreeSet};
pub use std::sync::Arc;

pub use activestore_env::seal::data_key_of;
pub use activestore_env::{Disk, Keyring, MasterKey, SimDiskOptions, SimEnv, SimRng};
pub use activestore_sst::Sst;
pub use activestore_store::backup::install;
pub use activestore_store::{ScanRequest, Store, StoreOptions, WriteSet, open_keyring, table_disk};
pub use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, ErrorKind, Hlc,
    KeyRange, Lsn, NodeId, OriginId, RangeTombstone, Result, RowBatch, SyncMode, TableId,
    TableName, TableSchema, encode_keys,
};
pub use arrow::array::{ArrayRef, AsArray, StringArray, TimestampNanosecondArray};

pub const NODE: NodeId = NodeId([1; 16]);
pub const TABLE: TableId = TableId(1);

pub fn master() -> MasterKey {
    MasterKey::parse(&[7; 32]).unwrap()
}

pub fn options(world: &SimEnv) -> StoreOptions {
    StoreOptions {
        wal_segment_bytes: 8 << 10,
        memtable_bytes: 64 << 10,
        background: false,
        encryption: open_keyring(&world.env(), Some(&master()), false).unwrap(),
        ..StoreOptions::new(NODE)
    }
}

pub fn schema(compaction: CompactionMode) -> Arc<TableSchema> {
    let column = |id, name: &str, data_type| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
    };
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("plant", "people"),
        columns: vec![
            column(1, "person", DataType::Text),
            column(2, "at", DataType::Timestamp),
            column(3, "value", DataType::Text),
        ],
        partition_key: vec![ColumnId(1)],
        clustering_key: vec![ClusteringColumn {
            id: ColumnId(2),
            descending: false,
        }],
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction,
        version: 1,
    })
}

pub fn opened(world: &SimEnv, options: StoreOptions, compaction: CompactionMode) -> Arc<Store> {
    let store = Store::open(world.env(), options).unwrap();
    store.put_schema(schema(compaction)).unwrap();
    store
}

pub fn open(world: &SimEnv) -> Arc<Store> {
    opened(world, options(world), CompactionMode::Automatic)
}

/// Rows of (person, time) in one commit.
pub fn put(store: &Store, hlc: u64, rows: &[(&str, i64)]) {
    let people: StringArray = rows.iter().map(|row| Some(row.0)).collect();
    let times: TimestampNanosecondArray = rows.iter().map(|row| Some(row.1)).collect();
    let values: StringArray = rows
        .iter()
        .map(|row| Some(format!("value of {} at {}", row.0, row.1)))
        .collect();
    let column = |id, array: ArrayRef| BatchColumn {
        id: ColumnId(id),
        array,
        set: None,
    };
    let columns = vec![
        column(1, Arc::new(people)),
        column(2, Arc::new(times)),
        column(3, Arc::new(values)),
    ];
    let batch = RowBatch::upsert(TABLE, rows.len(), columns, Hlc(hlc), OriginId(0));
    store.commit(WriteSet::from_batches(vec![batch])).unwrap();
}

pub fn prefix(person: &str) -> Vec<u8> {
    let people: ArrayRef = Arc::new(StringArray::from(vec![person]));
    encode_keys(&[(people, false)]).unwrap().key(0).to_vec()
}

pub fn try_delete(store: &Store, hlc: u64, person: &str) -> Result<()> {
    let range = KeyRange::prefix(&prefix(person));
    let tombstone = RangeTombstone {
        table: TABLE,
        start: range.start,
        end: range.end,
        hlc: Hlc(hlc),
        origin: OriginId(0),
    };
    let set = WriteSet {
        tombstones: vec![tombstone],
        ..WriteSet::default()
    };
    store.commit(set).map(|_| ())
}

pub fn delete(store: &Store, hlc: u64, person: &str) {
    try_delete(store, hlc, person).unwrap();
}

pub fn try_erase(store: &Store, hlc: u64, person: &str) -> Result<()> {
    try_delete(store, hlc, person)?;
    store.renew_key(TABLE, &prefix(person))?;
    store.destroy_past_keys(TABLE, &prefix(person))
}

pub fn erase(store: &Store, hlc: u64, person: &str) {
    try_erase(store, hlc, person).unwrap();
}

/// How many rows of each person a read shows.
pub fn counts(store: &Store) -> BTreeMap<String, usize> {
    let request = ScanRequest {
        columns: vec![ColumnId(1), ColumnId(3)],
        ..ScanRequest::default()
    };
    let mut people = BTreeMap::new();
    for batch in store.snapshot(TABLE).unwrap().scan(request).unwrap() {
        let batch = batch.unwrap();
        let values = batch.column(1).as_string::<i32>();
        for (row, person) in batch.column(0).as_string::<i32>().iter().enumerate() {
            let person = person.unwrap();
            assert!(values.value(row).starts_with(&format!("value of {person}")));
            *people.entry(person.to_owned()).or_default() += 1;
        }
    }
    people
}

pub fn counted(people: &[(&str, usize)]) -> BTreeMap<String, usize> {
    people
        .iter()
        .map(|(person, rows)| ((*person).to_owned(), *rows))
        .collect()
}

/// Every file of a directory.
pub fn copy_of(world: &SimEnv) -> BTreeMap<String, Vec<u8>> {
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

pub fn write(world: &SimEnv, path: &str, bytes: &[u8]) {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    world.disk.create_dir_all(dir).unwrap();
    let file = world.disk.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync_data().unwrap();
    world.disk.sync_dir(dir).unwrap();
}

/// A directory of copied files with another keyring.
pub fn put_back(files: &BTreeMap<String, Vec<u8>>, keyring: &[u8]) -> SimEnv {
    let world = SimEnv::seeded(99);
    for (path, bytes) in files {
        write(
            &world,
            path,
            if path == "keyring" { keyring } else { bytes },
        );
    }
    world
}

/// The people in each file, with the own key that it is under.
pub fn people_by_file(
    world: &SimEnv,
    store: &Store,
    keyring: &Arc<Keyring>,
) -> Vec<(Option<u32>, BTreeSet<String>)> {
    let disk: Arc<dyn Disk> = world.env().disk;
    let sealed = table_disk(&disk, Some(keyring));
    let files = store.sstables().into_iter();
    files
        .map(|file| {
            let key = data_key_of(&disk, &file.path).unwrap();
            let sst = Sst::open(&sealed, &file.path).unwrap();
            let mut people = BTreeSet::new();
            for vector in 0..sst.vectors() {
                let batch = sst.read_stamped(vector, &[ColumnId(1)]).unwrap();
                let column = batch.column(ColumnId(1)).unwrap();
                let names = column.array.as_string::<i32>().iter();
                people.extend(names.map(|name| name.unwrap().to_owned()));
            }
            (Keyring::is_own(key).then_some(key), people)
        })
        .collect()
}
