//! Partitions with data keys of their own: their rows lie under their keys and nowhere else, and once a
//! key is destroyed no copy of the directory that was ever made gives its rows back.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use activestore_env::seal::data_key_of;
use activestore_env::{Disk, Keyring, MasterKey, SimDiskOptions, SimEnv, SimRng};
use activestore_sst::Sst;
use activestore_store::backup::install;
use activestore_store::{ScanRequest, Store, StoreOptions, WriteSet, open_keyring, table_disk};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, CompactionMode, DataType, ErrorKind, Hlc,
    KeyRange, Lsn, NodeId, OriginId, RangeTombstone, Result, RowBatch, SyncMode, TableId,
    TableName, TableSchema, encode_keys,
};
use arrow::array::{ArrayRef, AsArray, StringArray, TimestampNanosecondArray};

const NODE: NodeId = NodeId([1; 16]);
const TABLE: TableId = TableId(1);

fn master() -> MasterKey {
    MasterKey::parse(&[7; 32]).unwrap()
}

fn options(world: &SimEnv) -> StoreOptions {
    StoreOptions {
        wal_segment_bytes: 8 << 10,
        memtable_bytes: 64 << 10,
        background: false,
        encryption: open_keyring(&world.env(), Some(&master()), false).unwrap(),
        ..StoreOptions::new(NODE)
    }
}

fn schema(compaction: CompactionMode) -> Arc<TableSchema> {
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

fn opened(world: &SimEnv, options: StoreOptions, compaction: CompactionMode) -> Arc<Store> {
    let store = Store::open(world.env(), options).unwrap();
    store.put_schema(schema(compaction)).unwrap();
    store
}

fn open(world: &SimEnv) -> Arc<Store> {
    opened(world, options(world), CompactionMode::Automatic)
}

/// Rows of (person, time) in one commit.
fn put(store: &Store, hlc: u64, rows: &[(&str, i64)]) {
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

fn prefix(person: &str) -> Vec<u8> {
    let people: ArrayRef = Arc::new(StringArray::from(vec![person]));
    encode_keys(&[(people, false)]).unwrap().key(0).to_vec()
}

fn try_delete(store: &Store, hlc: u64, person: &str) -> Result<()> {
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

fn delete(store: &Store, hlc: u64, person: &str) {
    try_delete(store, hlc, person).unwrap();
}

fn try_erase(store: &Store, hlc: u64, person: &str) -> Result<()> {
    try_delete(store, hlc, person)?;
    store.renew_key(TABLE, &prefix(person))?;
    store.destroy_past_keys(TABLE, &prefix(person))
}

fn erase(store: &Store, hlc: u64, person: &str) {
    try_erase(store, hlc, person).unwrap();
}

/// How many rows of each person a read shows.
fn counts(store: &Store) -> BTreeMap<String, usize> {
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

fn counted(people: &[(&str, usize)]) -> BTreeMap<String, usize> {
    people
        .iter()
        .map(|(person, rows)| ((*person).to_owned(), *rows))
        .collect()
}

/// Every file of a directory.
fn copy_of(world: &SimEnv) -> BTreeMap<String, Vec<u8>> {
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

fn write(world: &SimEnv, path: &str, bytes: &[u8]) {
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    world.disk.create_dir_all(dir).unwrap();
    let file = world.disk.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync_data().unwrap();
    world.disk.sync_dir(dir).unwrap();
}

/// A directory of copied files with another keyring.
fn put_back(files: &BTreeMap<String, Vec<u8>>, keyring: &[u8]) -> SimEnv {
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
fn people_by_file(
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

#[test]
fn what_was_erased_is_in_no_copy_that_was_ever_made() {
    let world = SimEnv::seeded(1);
    let store = open(&world);
    put(&store, 1000, &[("ann", 1), ("bob", 1)]);
    store.flush().unwrap();
    store.seal_partition(TABLE, &prefix("ann"), "ann").unwrap();
    put(&store, 2000, &[("bob", 2), ("ann", 2), ("cy", 2)]);
    // Two copies: one whose newest rows are in the log only, one made as a backup is.
    let raw = copy_of(&world);
    let backup = store.backup(store.pin_log()).unwrap();
    let mut backed_up = BTreeMap::from([("keyring".to_owned(), raw["keyring"].clone())]);
    for file in &backup.files {
        let mut bytes = vec![0; file.bytes as usize];
        assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
        backed_up.insert(file.path.clone(), bytes);
    }
    drop(backup);
    let all = counted(&[("ann", 2), ("bob", 2), ("cy", 1)]);
    assert_eq!(counts(&store), all);
    erase(&store, 3000, "ann");
    put(&store, 4000, &[("ann", 5)]);
    let left = counted(&[("ann", 1), ("bob", 2), ("cy", 1)]);
    assert_eq!(counts(&store), left);
    store.compact(TABLE).unwrap();
    assert_eq!(counts(&store), left);
    drop(store);
    assert_eq!(counts(&open(&world)), left);

    let before = raw["keyring"].clone();
    let today = copy_of(&world)["keyring"].clone();
    // With the key that was destroyed, each copy is all that it was: the test can fail.
    assert_eq!(counts(&open(&put_back(&raw, &before))), all);
    let restored = put_back(&backed_up, &before);
    let keyring = options(&restored).encryption;
    assert_eq!(
        install(&restored.env().disk, NODE, keyring.as_ref()).unwrap(),
        0
    );
    assert_eq!(counts(&open(&restored)), all);

    let others = counted(&[("bob", 2), ("cy", 1)]);
    let restored = put_back(&backed_up, &today);
    let keyring = options(&restored).encryption;
    assert_eq!(
        install(&restored.env().disk, NODE, keyring.as_ref()).unwrap(),
        2
    );
    let store = open(&restored);
    assert_eq!(counts(&store), others);
    // The partition has a key again, and takes rows.
    put(&store, 5000, &[("ann", 9)]);
    store.flush().unwrap();
    let keyring = open_keyring(&restored.env(), Some(&master()), true)
        .unwrap()
        .unwrap();
    let files = people_by_file(&restored, &store, &keyring);
    assert!(
        files.contains(&(
            Some(store.own_keys(TABLE)[0].state.key),
            BTreeSet::from(["ann".to_owned()])
        )),
        "{files:?}"
    );
    drop(store);
    assert_eq!(counts(&open(&restored))["ann"], 1);
    // A raw copy names a file that cannot be read any more, and says so.
    let copy = put_back(&raw, &today);
    let error = Store::open(copy.env(), options(&copy)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("destroyed"), "{error}");
}

#[test]
fn the_log_alone_gives_back_nothing_of_an_erased_partition() {
    let world = SimEnv::seeded(2);
    let store = open(&world);
    store.seal_partition(TABLE, &prefix("ann"), "ann").unwrap();
    store.hold_log(Some(Lsn(store.last_lsn().0 + 1)));
    let from = Lsn(store.last_lsn().0 + 1);
    put(&store, 1000, &[("ann", 1), ("bob", 1)]);
    put(&store, 2000, &[("ann", 2)]);
    put(&store, 3000, &[("bob", 3)]);
    let raw = copy_of(&world);
    let people = |store: &Store| -> Vec<usize> {
        let records = store.log(from, 1 << 20).unwrap();
        records
            .iter()
            .take(3)
            .map(|record| record.set.rows() as usize)
            .collect()
    };
    assert_eq!(people(&store), [2, 1, 1]);
    erase(&store, 4000, "ann");
    // Whoever follows the log goes on behind them.
    assert_eq!(people(&store), [1, 0, 1]);
    drop(store);
    let store = open(&world);
    assert_eq!(people(&store), [1, 0, 1]);
    assert_eq!(counts(&store), counted(&[("bob", 2)]));
    drop(store);
    let today = copy_of(&world)["keyring"].clone();
    let copy = put_back(&raw, &today);
    assert_eq!(counts(&open(&copy)), counted(&[("bob", 2)]));
}

#[test]
fn a_held_log_is_said_and_the_partition_is_whole_when_it_is_not_held() {
    let world = SimEnv::seeded(3);
    let store = open(&world);
    store.hold_log(Some(Lsn(1)));
    put(&store, 1000, &[("ann", 1), ("bob", 1)]);
    let ann = prefix("ann");
    let error = store.seal_partition(TABLE, &ann, "ann").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(!store.own_keys(TABLE)[0].state.whole);
    let error = store.renew_key(TABLE, &ann).unwrap_err();
    assert!(error.message().contains("not all rows"), "{error}");
    let error = store.renew_key(TABLE, &prefix("bob")).unwrap_err();
    assert!(error.message().contains("no key of its own"), "{error}");
    store.hold_log(None);
    store.seal_partition(TABLE, &ann, "ann").unwrap();
    assert!(store.own_keys(TABLE)[0].state.whole);
    store.seal_partition(TABLE, &ann, "ann").unwrap();
    assert_eq!(store.own_keys(TABLE).len(), 1);
    assert_eq!(counts(&store), counted(&[("ann", 1), ("bob", 1)]));
}

#[test]
fn an_unencrypted_store_has_no_keys_to_give() {
    let world = SimEnv::seeded(4);
    let plain = StoreOptions {
        encryption: None,
        ..options(&SimEnv::seeded(5))
    };
    let store = opened(&world, plain, CompactionMode::Automatic);
    let error = store
        .seal_partition(TABLE, &prefix("ann"), "ann")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains("not encrypted"), "{error}");
}

#[test]
fn a_table_that_is_dropped_takes_its_keys_with_it() {
    let world = SimEnv::seeded(6);
    let store = open(&world);
    for person in ["ann", "bob"] {
        store
            .seal_partition(TABLE, &prefix(person), person)
            .unwrap();
    }
    put(&store, 1000, &[("ann", 1), ("bob", 1), ("cy", 1)]);
    erase(&store, 2000, "bob");
    let keys = || {
        open_keyring(&world.env(), Some(&master()), true)
            .unwrap()
            .unwrap()
            .own_keys()
    };
    assert_eq!(keys().len(), 2);
    store.drop_table(TABLE).unwrap();
    assert_eq!(keys(), [0; 0]);
    drop(store);
    let store = open(&world);
    assert_eq!(counts(&store), counted(&[]));
    assert!(store.own_keys(TABLE).is_empty());
}

/// Writes, merges, keys given and partitions erased in any order, beside the background threads: each
/// file is of one partition that has a key, under that key, or of none that has.
#[test]
fn files_are_divided_by_their_keys_whatever_happens() {
    const PEOPLE: [&str; 6] = ["ann", "bob", "cy", "dee", "eve", "flo"];
    for seed in 0..12 {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed);
        let mode = [CompactionMode::TimeWindow, CompactionMode::Levelled][(seed % 2) as usize];
        let mut options = options(&world);
        options.background = seed % 4 < 2;
        options.memtable_bytes = 16 << 10;
        let keyring = options.encryption.clone().unwrap();
        let store = opened(&world, options, mode);
        let mut model: BTreeSet<(&str, i64)> = BTreeSet::new();
        for step in 0..200_u64 {
            let hlc = (step + 1) * 1000;
            let person = PEOPLE[rng.below(6) as usize];
            match rng.below(30) {
                0 if store.own_keys(TABLE).len() < 4 => {
                    store
                        .seal_partition(TABLE, &prefix(person), person)
                        .unwrap();
                }
                1 if store
                    .own_keys(TABLE)
                    .iter()
                    .any(|own| own.prefix == prefix(person)) =>
                {
                    erase(&store, hlc, person);
                    model.retain(|row| row.0 != person);
                }
                2 => store.compact(TABLE).unwrap(),
                3 => {
                    delete(&store, hlc, person);
                    model.retain(|row| row.0 != person);
                }
                4 => store.settle(Some(Hlc(hlc))),
                _ => {
                    let day = 86_400_000_000_000;
                    let rows: Vec<(&str, i64)> = (0..rng.below(40) + 1)
                        .map(|_| {
                            let person = PEOPLE[rng.below(6) as usize];
                            (person, (rng.below(5) * day + rng.below(60)).cast_signed())
                        })
                        .collect();
                    put(&store, hlc, &rows);
                    model.extend(rows);
                }
            }
        }
        store.flush().unwrap();
        store.close().unwrap();
        let mut expected = BTreeMap::new();
        for (person, _) in model {
            *expected.entry(person.to_owned()).or_default() += 1;
        }
        assert_eq!(counts(&store), expected, "seed {seed}");
        let own: BTreeMap<u32, String> = store
            .own_keys(TABLE)
            .into_iter()
            .map(|own| {
                let name = PEOPLE.iter().find(|person| prefix(person) == own.prefix);
                (own.state.key, (*name.unwrap()).to_owned())
            })
            .collect();
        assert!(!own.is_empty(), "seed {seed}");
        let files = people_by_file(&world, &store, &keyring);
        for (key, people) in &files {
            match key {
                Some(key) => assert_eq!(people, &BTreeSet::from([own[key].clone()])),
                None => assert!(
                    own.values().all(|person| !people.contains(person)),
                    "{files:?}"
                ),
            }
        }
        assert_eq!(keyring.own_keys().len(), own.len(), "seed {seed}");
    }
}

/// A store with rows in files and in the log; ann's partition has a key if `sealed`.
fn prepared(seed: u64, sealed: bool) -> (SimEnv, Arc<Store>) {
    let world = SimEnv::seeded(seed);
    let store = open(&world);
    put(&store, 1000, &[("ann", 1), ("bob", 1)]);
    store.flush().unwrap();
    if sealed {
        store.seal_partition(TABLE, &prefix("ann"), "ann").unwrap();
    }
    put(&store, 2000, &[("bob", 2), ("ann", 2), ("cy", 2)]);
    (world, store)
}

/// Cuts the power at the first disk operation of `step`, at the second, and so on until it ends before
/// the cut; `check` sees each world after the next start. Returns how many cuts there were.
fn cut_at_every_step(
    sealed: bool,
    step: impl Fn(&Store) -> Result<()>,
    check: impl Fn(&SimEnv, Arc<Store>, &BTreeMap<String, Vec<u8>>),
) -> u64 {
    for k in 1..10_000 {
        let (world, store) = prepared(k, sealed);
        let before = copy_of(&world);
        world.disk.set_options(SimDiskOptions {
            power_cut_at: Some(world.disk.ops() + k),
            ..SimDiskOptions::default()
        });
        let ended = step(&store);
        let done = !world.disk.is_dark();
        assert_eq!(done, ended.is_ok(), "cut {k}: {ended:?}");
        drop(store);
        world.disk.crash();
        world.disk.set_options(SimDiskOptions::default());
        check(&world, open(&world), &before);
        if done {
            return k - 1;
        }
    }
    panic!("the step never ends");
}

#[test]
fn a_power_cut_at_any_step_of_giving_a_key_loses_nothing() {
    let all = counted(&[("ann", 2), ("bob", 2), ("cy", 1)]);
    let ann = prefix("ann");
    let cuts = cut_at_every_step(
        false,
        |store| store.seal_partition(TABLE, &ann, "ann"),
        |world, store, _| {
            assert_eq!(counts(&store), all);
            store.seal_partition(TABLE, &ann, "ann").unwrap();
            assert_eq!(counts(&store), all);
            let keyring = options(world).encryption.unwrap();
            for (key, people) in people_by_file(world, &store, &keyring) {
                assert_eq!(key.is_some(), people.contains("ann"), "{people:?}");
            }
        },
    );
    assert!(cuts > 30, "{cuts}");
}

#[test]
fn a_power_cut_at_any_step_of_an_erasure_is_made_good_by_the_next_one() {
    let others = counted(&[("bob", 2), ("cy", 1)]);
    let cuts = cut_at_every_step(
        true,
        |store| try_erase(store, 3000, "ann"),
        |world, store, before| {
            let mut found = counts(&store);
            assert!(matches!(found.remove("ann"), None | Some(2)));
            assert_eq!(found, others);
            erase(&store, 4000, "ann");
            put(&store, 5000, &[("ann", 7)]);
            store.compact(TABLE).unwrap();
            assert_eq!(counts(&store)["ann"], 1);
            drop(store);
            let today = copy_of(world)["keyring"].clone();
            let copy = put_back(before, &today);
            // Its SSTables are under the key that is gone.
            let error = Store::open(copy.env(), options(&copy)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        },
    );
    assert!(cuts > 30, "{cuts}");
}

#[test]
fn keys_change_under_writers_and_no_row_is_lost() {
    for seed in 0..10 {
        change_under_writers(&SimEnv::seeded(seed));
    }
}

fn change_under_writers(world: &SimEnv) {
    const ROWS: i64 = 250;
    let background = || StoreOptions {
        background: true,
        ..options(world)
    };
    let store = opened(world, background(), CompactionMode::Automatic);
    store.seal_partition(TABLE, &prefix("ann"), "ann").unwrap();
    let writers = std::sync::atomic::AtomicUsize::new(4);
    std::thread::scope(|scope| {
        for writer in 0..4_i64 {
            let (store, writers) = (&store, &writers);
            scope.spawn(move || {
                for nth in 0..ROWS {
                    let at = writer * ROWS + nth;
                    put(
                        store,
                        1000 + at.cast_unsigned(),
                        &[("ann", at), ("bob", at)],
                    );
                }
                writers.fetch_sub(1, std::sync::atomic::Ordering::Release);
            });
        }
        while writers.load(std::sync::atomic::Ordering::Acquire) > 0 {
            store.renew_key(TABLE, &prefix("ann")).unwrap();
            store.destroy_past_keys(TABLE, &prefix("ann")).unwrap();
        }
    });
    let all = counted(&[("ann", 4 * ROWS as usize), ("bob", 4 * ROWS as usize)]);
    assert_eq!(counts(&store), all);
    // What was not flushed comes back out of the log.
    store.close().unwrap();
    drop(store);
    let store = opened(world, background(), CompactionMode::Automatic);
    assert_eq!(counts(&store), all);
}

#[test]
fn to_compact_all_ends_also_where_no_merge_makes_fewer_files() {
    let world = SimEnv::seeded(8);
    let options = StoreOptions {
        // Two files in one merge.
        merge_bytes_max: 1,
        ..options(&world)
    };
    let store = opened(&world, options, CompactionMode::Automatic);
    let people = ["ann", "bob", "cy", "dee"];
    for person in people {
        store
            .seal_partition(TABLE, &prefix(person), person)
            .unwrap();
    }
    for round in 0..3_u64 {
        let at = round.cast_signed();
        let rows = people.iter().chain(&["eve", "flo"]);
        let rows: Vec<(&str, i64)> = rows.map(|person| (*person, at)).collect();
        put(&store, 1000 * (round + 1), &rows);
        store.flush().unwrap();
    }
    // It stays: nobody has said that nothing older is to come.
    delete(&store, 9000, "eve");
    store.compact(TABLE).unwrap();
    assert_eq!(store.sstables().len(), 5);
    assert_eq!(counts(&store).values().sum::<usize>(), 15);
}
