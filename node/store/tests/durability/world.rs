//! A table of numbers, the commits that fill it, and the map that says what must be in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use activestore_env::{MasterKey, SimEnv, SimRng};
use activestore_store::{Note, ScanRequest, Store, StoreOptions, WalSync, WriteSet, open_keyring};
use activestore_types::{
    BatchColumn, Column, ColumnId, CompactionMode, DataType, Hlc, NodeId, OriginId, RangeTombstone,
    RowBatch, SyncMode, TableId, TableName, TableSchema, encode_keys,
};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Int64Type;

pub const NODE: NodeId = NodeId([1; 16]);
pub const TABLE: TableId = TableId(1);
const COUNT: &[u8] = b"count";

/// Seeds to run: `many` of them, or the one in `ACTIVESTORE_SEED`. `ACTIVESTORE_CRASH_RUNS=n` asks for
/// n where a test would run a thousand, and as many more or fewer of every other test;
/// `ACTIVESTORE_CRASH_FROM` is the first of them, 1 unless it is told.
pub fn seeds(many: u64) -> std::ops::RangeInclusive<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .expect("seeds and their counts are numbers"),
        )
    };
    if let Some(seed) = number("ACTIVESTORE_SEED") {
        return seed..=seed;
    }
    let many = match number("ACTIVESTORE_CRASH_RUNS") {
        Some(runs) => (many * runs).div_ceil(1000),
        None => many,
    };
    let first = number("ACTIVESTORE_CRASH_FROM").unwrap_or(1);
    first..=first + many.saturating_sub(1)
}

/// Whether one seed is being replayed.
pub fn replaying() -> bool {
    std::env::var("ACTIVESTORE_SEED").is_ok()
}

/// Runs a test for many seeds and says which one failed.
pub fn for_seeds(many: u64, run: impl Fn(u64)) {
    for seed in seeds(many) {
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed)));
        if let Err(panic) = ran {
            eprintln!("failed with ACTIVESTORE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Small limits, so that a few hundred rows meet every one of them; steps in a fixed order.
pub fn options() -> StoreOptions {
    StoreOptions {
        memtable_bytes: 24 << 10,
        wal_flush_bytes: 64 << 10,
        wal_segment_bytes: 8 << 10,
        wal_sync: WalSync::Batch,
        background: false,
        ..StoreOptions::new(NODE)
    }
}

/// The options for one seed: half of the seeds have an encrypted store, whose keys are read anew.
pub fn options_for(seed: u64, world: &SimEnv) -> StoreOptions {
    let encrypted = seed / 4 % 2 == 1;
    let master = encrypted.then(|| MasterKey::parse(&[seed as u8; 32]).unwrap());
    StoreOptions {
        encryption: open_keyring(&world.env(), master.as_ref(), false).unwrap(),
        ..options()
    }
}

pub fn schema() -> Arc<TableSchema> {
    let column = |id, name: &str, data_type| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
    };
    Arc::new(TableSchema {
        id: TABLE,
        name: TableName::new("plant", "readings"),
        columns: vec![
            column(1, "id", DataType::BigInt),
            column(2, "value", DataType::BigInt),
            column(3, "status", DataType::Text),
        ],
        partition_key: vec![ColumnId(1)],
        clustering_key: Vec::new(),
        flexible: false,
        ttl_s: None,
        sync: SyncMode::None,
        compaction: CompactionMode::Automatic,
        version: 1,
    })
}

pub fn key(id: i64) -> Vec<u8> {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![id]));
    encode_keys(&[(ids, false)]).unwrap().key(0).to_vec()
}

/// What one commit does: rows written, rows deleted, a range of ids deleted, in this order of age.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub upserts: Vec<(i64, i64, String)>,
    pub deletes: Vec<i64>,
    pub range: Option<(i64, i64)>,
}

impl Commit {
    pub fn random(rng: &SimRng, ids: std::ops::Range<i64>) -> Commit {
        let span = ids.end.abs_diff(ids.start);
        let id = || ids.start + rng.below(span).cast_signed();
        let mut commit = Commit::default();
        for _ in 0..rng.below(12) + 1 {
            let status = "x".repeat(rng.below(20) as usize);
            commit
                .upserts
                .push((id(), rng.below(1_000_000).cast_signed(), status));
        }
        if rng.one_in(5) {
            commit.deletes.push(id());
        }
        if rng.one_in(20) {
            let start = id();
            commit.range = Some((start, (start + 3).min(ids.end)));
        }
        commit
    }
}

/// What the table and the notes must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    pub rows: BTreeMap<i64, (i64, String)>,
    pub commits: u64,
}

impl Model {
    pub fn apply(&mut self, commit: &Commit) {
        for (id, value, status) in &commit.upserts {
            self.rows.insert(*id, (*value, status.clone()));
        }
        for id in &commit.deletes {
            self.rows.remove(id);
        }
        if let Some((start, end)) = commit.range {
            self.rows.retain(|id, _| !(start..end).contains(id));
        }
        self.commits += 1;
    }

    /// What a store holds; its commits are counted by a note that each commit writes.
    pub fn read(store: &Store) -> Model {
        Model::try_read(store).unwrap()
    }

    /// The same, where the files may be damaged.
    pub fn try_read(store: &Store) -> activestore_types::Result<Model> {
        let request = ScanRequest {
            columns: vec![ColumnId(1), ColumnId(2), ColumnId(3)],
            ..ScanRequest::default()
        };
        let mut rows = BTreeMap::new();
        let scan = store.snapshot(TABLE)?.scan(request)?;
        for batch in scan {
            let batch = batch?;
            let ids = batch.column(0).as_primitive::<Int64Type>();
            let values = batch.column(1).as_primitive::<Int64Type>();
            let statuses = batch.column(2).as_string::<i32>();
            for row in 0..batch.num_rows() {
                let cells = (values.value(row), statuses.value(row).to_owned());
                assert!(rows.insert(ids.value(row), cells).is_none(), "a key twice");
            }
        }
        Ok(Model {
            rows,
            commits: count(store, COUNT),
        })
    }
}

pub fn count(store: &Store, note: &[u8]) -> u64 {
    store
        .note(note)
        .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// Stamps that rise by one.
#[derive(Default)]
pub struct Stamps(std::sync::atomic::AtomicU64);

impl Stamps {
    pub fn above(hlc: Hlc) -> Self {
        Stamps(std::sync::atomic::AtomicU64::new(hlc.0 + 1))
    }

    fn take(&self, rows: u64) -> Hlc {
        Hlc(self.0.fetch_add(rows, std::sync::atomic::Ordering::Relaxed))
    }
}

/// The commit as the store takes it, `nth` of those that `note` counts.
pub fn write_set(commit: &Commit, stamps: &Stamps, nth: u64, note: &[u8]) -> WriteSet {
    let mut batches = Vec::new();
    let rows = commit.upserts.len();
    let ids: Int64Array = commit.upserts.iter().map(|row| row.0).collect();
    let values: Int64Array = commit.upserts.iter().map(|row| row.1).collect();
    let statuses: StringArray = commit.upserts.iter().map(|row| Some(&row.2)).collect();
    let column = |id, array: ArrayRef| BatchColumn {
        id: ColumnId(id),
        array,
        set: None,
    };
    assert_eq!(ids.null_count(), 0);
    batches.push(RowBatch::upsert(
        TABLE,
        rows,
        vec![
            column(1, Arc::new(ids)),
            column(2, Arc::new(values)),
            column(3, Arc::new(statuses)),
        ],
        stamps.take(rows as u64),
        OriginId(0),
    ));
    if !commit.deletes.is_empty() {
        let rows = commit.deletes.len();
        let ids: ArrayRef = Arc::new(Int64Array::from(commit.deletes.clone()));
        let first = stamps.take(rows as u64);
        let mut batch = RowBatch::upsert(TABLE, rows, vec![column(1, ids)], first, OriginId(0));
        batch.tombstone = Some(BooleanBuffer::new_set(rows));
        batches.push(batch);
    }
    let range = commit.range.map(|(start, end)| RangeTombstone {
        table: TABLE,
        start: key(start),
        end: key(end),
        hlc: stamps.take(1),
        origin: OriginId(0),
    });
    WriteSet {
        batches,
        tombstones: range.into_iter().collect(),
        notes: vec![Note {
            key: note.to_vec(),
            value: Some(nth.to_le_bytes().to_vec()),
        }],
    }
}

/// A store under test with what it was told and what it answered.
pub struct Tracked {
    /// What must be there.
    pub model: Model,
    /// Commits after it, in order, of which any number of the first may be there as well.
    pub unsure: Vec<Commit>,
}

impl Tracked {
    pub fn new() -> Self {
        Tracked {
            model: Model::default(),
            unsure: Vec::new(),
        }
    }

    /// Commits; what is acknowledged must be there from then on if `durable`.
    pub fn commit(
        &mut self,
        store: &Store,
        commit: Commit,
        stamps: &Stamps,
        durable: bool,
    ) -> activestore_types::Result<()> {
        let nth = self.model.commits + self.unsure.len() as u64 + 1;
        let set = write_set(&commit, stamps, nth, COUNT);
        let result = store.commit(set);
        if durable && result.is_ok() {
            assert!(self.unsure.is_empty());
            self.model.apply(&commit);
        } else {
            self.unsure.push(commit);
        }
        result.map(|_| ())
    }

    /// Checks that the store holds what it must, whole commits of what it may, and nothing else;
    /// from then on it must hold just that.
    pub fn check(&mut self, store: &Store) {
        let found = Model::read(store);
        let extra = found
            .commits
            .checked_sub(self.model.commits)
            .expect("an acknowledged commit is lost");
        assert!(extra as usize <= self.unsure.len(), "commits were invented");
        for commit in self.unsure.drain(..).take(extra as usize) {
            self.model.apply(&commit);
        }
        assert_eq!(found, self.model);
    }
}
