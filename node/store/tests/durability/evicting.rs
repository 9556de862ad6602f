//! Eviction between power cuts: a row that is not covered is never missing, nothing that was deleted or
//! written over comes back, and what is gone stays gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use activestore_env::{SimDiskOptions, SimEnv, SimRng};
use activestore_store::{Eviction, Note, ScanRequest, Store, StoreOptions, WriteSet};
use activestore_types::{
    BatchColumn, ClusteringColumn, Column, ColumnId, DataType, Hlc, Lsn, OriginId, RowBatch,
    TableSchema,
};
use arrow::array::{ArrayRef, AsArray, Int64Array, TimestampNanosecondArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Int64Type, TimestampNanosecondType};

use crate::world::{TABLE, count, for_seeds, options_for, schema};

const LIVES: u64 = 3;
const HOUR_NS: i64 = 3_600_000_000_000;
const HOURS: i64 = 30;
const COMMITS: &[u8] = b"commits";

static ROWS_GONE: AtomicU64 = AtomicU64::new(0);

/// A row's key: device and time.
type Key = (i64, i64);

#[derive(Clone, Copy, Debug)]
struct Fragment {
    hlc: u64,
    lsn: u64,
    /// `None` deletes the row.
    value: Option<i64>,
}

/// Every fragment that was ever acknowledged, and what might be gone.
#[derive(Default)]
struct Model {
    rows: BTreeMap<Key, Vec<Fragment>>,
    commits: u64,
    /// What the last commit wrote that was not answered.
    unsure: Vec<(Key, Fragment)>,
    evictions: Vec<Eviction>,
    /// Rows that an answered eviction has taken, with the stamp of their newest fragment.
    gone: BTreeMap<Key, u64>,
}

fn table() -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&schema());
    schema.columns = [
        (1, "device", DataType::BigInt),
        (2, "at", DataType::Timestamp),
        (3, "value", DataType::BigInt),
    ]
    .map(|(id, name, data_type)| Column {
        id: ColumnId(id),
        name: name.to_owned(),
        data_type,
    })
    .to_vec();
    schema.clustering_key = vec![ClusteringColumn {
        id: ColumnId(2),
        descending: true,
    }];
    Arc::new(schema)
}

fn batch(rows: &[(Key, Fragment)], deletes: bool) -> RowBatch {
    let rows: Vec<_> = rows
        .iter()
        .filter(|(_, fragment)| fragment.value.is_none() == deletes)
        .collect();
    let devices: Int64Array = rows.iter().map(|((device, _), _)| *device).collect();
    let times: TimestampNanosecondArray = rows.iter().map(|((_, at), _)| Some(*at)).collect();
    let values: Int64Array = rows.iter().map(|(_, fragment)| fragment.value).collect();
    let column = |id, array: ArrayRef| BatchColumn {
        id: ColumnId(id),
        array,
        set: None,
    };
    let mut columns = vec![column(1, Arc::new(devices)), column(2, Arc::new(times))];
    if !deletes {
        columns.push(column(3, Arc::new(values)));
    }
    let mut batch = RowBatch::upsert(TABLE, rows.len(), columns, Hlc(0), OriginId(0));
    batch.hlc = rows.iter().map(|(_, fragment)| fragment.hlc).collect();
    batch.tombstone = deletes.then(|| BooleanBuffer::new_set(rows.len()));
    batch
}

/// The rows, and those that are deleted.
fn batches(rows: &[(Key, Fragment)]) -> Vec<RowBatch> {
    let batches = [false, true].map(|deletes| batch(rows, deletes));
    batches.into_iter().filter(|batch| batch.rows > 0).collect()
}

fn shown(store: &Store) -> BTreeMap<Key, i64> {
    let request = ScanRequest {
        columns: vec![ColumnId(1), ColumnId(2), ColumnId(3)],
        ..ScanRequest::default()
    };
    let mut rows = BTreeMap::new();
    for batch in store.snapshot(TABLE).unwrap().scan(request).unwrap() {
        let batch = batch.unwrap();
        let devices = batch.column(0).as_primitive::<Int64Type>();
        let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let values = batch.column(2).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let key = (devices.value(row), times.value(row));
            assert!(rows.insert(key, values.value(row)).is_none(), "a key twice");
        }
    }
    rows
}

impl Model {
    fn may_be_gone(&self, (_, at): Key, fragment: &Fragment) -> bool {
        self.evictions.iter().any(|eviction| {
            at < eviction.before_ns
                && fragment.lsn <= eviction.covered.0
                && fragment.hlc > eviction.stamped_after.0
        })
    }

    /// Takes over what a commit without an answer left, and compares.
    fn check(&mut self, store: &Store) {
        let extra = count(store, COMMITS) - self.commits;
        assert!(extra <= 1, "commits were invented");
        let unsure = std::mem::take(&mut self.unsure);
        if extra == 1 {
            self.acknowledged(unsure);
        }
        let shown = shown(store);
        for (key, fragments) in &self.rows {
            let newest = fragments
                .iter()
                .max_by_key(|fragment| fragment.hlc)
                .unwrap();
            let found = shown.get(key).copied();
            assert!(
                found.is_none() || found == newest.value,
                "{key:?} shows {found:?} after {fragments:?}: what was deleted or written over is back"
            );
            let may_be_gone = self.may_be_gone(*key, newest);
            assert!(
                found == newest.value || may_be_gone,
                "{key:?} is missing, and its newest fragment {newest:?} is not covered"
            );
            if self.gone.get(key) == Some(&newest.hlc) {
                assert_eq!(found, None, "{key:?} came back");
            }
        }
        assert!(shown.keys().all(|key| self.rows.contains_key(key)));
    }

    fn acknowledged(&mut self, written: Vec<(Key, Fragment)>) {
        for (key, fragment) in written {
            self.rows.entry(key).or_default().push(fragment);
        }
        self.commits += 1;
    }

    fn note_gone(&mut self, store: &Store) {
        let shown = shown(store);
        for (key, fragments) in &self.rows {
            let newest = fragments
                .iter()
                .max_by_key(|fragment| fragment.hlc)
                .unwrap();
            if newest.value.is_some() && !shown.contains_key(key) {
                self.gone.insert(*key, newest.hlc);
            }
        }
    }
}

#[test]
fn what_is_not_covered_is_never_evicted() {
    for_seeds(300, |seed| {
        let world = SimEnv::seeded(seed);
        let rng = SimRng::seeded(seed ^ 0xe71c);
        let mut model = Model::default();
        let mut stamp = 1_u64 << 40;
        for _ in 0..LIVES {
            let options = options_for(seed, &world);
            let reach = [60, 200, 900, 4000][rng.below(4) as usize];
            world.disk.set_options(SimDiskOptions {
                power_cut_at: Some(world.disk.ops() + 1 + rng.below(reach)),
                ..SimDiskOptions::default()
            });
            one_life(options, &world, &rng, &mut model, &mut stamp);
            world.disk.crash();
        }
        world.disk.set_options(SimDiskOptions::default());
        let store = Store::open(world.env(), options_for(seed, &world)).unwrap();
        if store.snapshot(TABLE).is_ok() {
            model.check(&store);
        }
    });
    let few = crate::world::seeds(300).count() < 100;
    let gone = ROWS_GONE.load(Ordering::Relaxed);
    assert!(few || gone > 1000, "only {gone} rows were evicted");
}

fn one_life(
    options: StoreOptions,
    world: &SimEnv,
    rng: &SimRng,
    model: &mut Model,
    stamp: &mut u64,
) {
    let options = StoreOptions {
        memtable_bytes: 6 << 10,
        ..options
    };
    let Ok(store) = Store::open(world.env(), options) else {
        assert!(world.disk.is_dark());
        return;
    };
    if store.put_schema(table()).is_err() || world.disk.is_dark() {
        assert!(world.disk.is_dark());
        return;
    }
    store.keep_local(TABLE, Some(Duration::from_secs(8 * 3600)));
    model.check(&store);
    // Two writers at once are not an eviction apart.
    let mut apart = true;
    for _ in 0..200 {
        let written = some_rows(rng, stamp, store.last_lsn().0 + 1, apart);
        apart = false;
        let set = WriteSet {
            batches: batches(&written),
            notes: vec![Note {
                key: COMMITS.to_vec(),
                value: Some((model.commits + 1).to_le_bytes().to_vec()),
            }],
            ..WriteSet::default()
        };
        match store.commit(set) {
            Ok(lsn) => {
                assert!(written.iter().all(|(_, fragment)| fragment.lsn == lsn.0));
                model.acknowledged(written);
            }
            Err(_) => {
                assert!(world.disk.is_dark());
                model.unsure = written;
                return;
            }
        }
        let done = match rng.below(12) {
            0 => store.flush(),
            1 => store.compact(TABLE),
            2 | 3 => {
                apart = true;
                evict(&store, world, rng, model)
            }
            _ => continue,
        };
        if done.is_err() || world.disk.is_dark() {
            assert!(world.disk.is_dark(), "{done:?}");
            return;
        }
        model.check(&store);
    }
}

fn evict(
    store: &Store,
    world: &SimEnv,
    rng: &SimRng,
    model: &mut Model,
) -> activestore_types::Result<()> {
    let eviction = Eviction {
        before_ns: rng.below((HOURS * HOUR_NS).cast_unsigned()).cast_signed(),
        covered: Lsn(rng.below(store.last_lsn().0 + 2)),
        stamped_after: Hlc(if rng.one_in(4) {
            (1 << 40) | rng.below(1500)
        } else {
            0
        }),
    };
    model.evictions.push(eviction);
    let done = store.evict(TABLE, &eviction)?;
    ROWS_GONE.fetch_add(done.rows, Ordering::Relaxed);
    if !world.disk.is_dark() {
        model.note_gone(store);
    }
    Ok(())
}

/// Mostly rows about now, some late, some deleted or written again; stamps do not quite rise with the log.
fn some_rows(rng: &SimRng, stamp: &mut u64, lsn: u64, apart: bool) -> Vec<(Key, Fragment)> {
    let hour = (*stamp - (1 << 40)).cast_signed() / 60;
    let mut rows: BTreeMap<Key, Fragment> = BTreeMap::new();
    for _ in 0..rng.below(6) + 1 {
        let late = if rng.one_in(6) { rng.below(20) } else { 0 };
        let hour = (hour % HOURS).saturating_sub(late.cast_signed()).max(0);
        let key = (
            rng.below(3).cast_signed(),
            hour * HOUR_NS + rng.below(4).cast_signed(),
        );
        *stamp += 3;
        // Of two writers at once, the later one may have the earlier stamp.
        let earlier = rng.one_in(5) && !(apart && rows.is_empty());
        let hlc = if earlier { *stamp - 4 } else { *stamp };
        let value = (!rng.one_in(6)).then(|| rng.below(1000).cast_signed());
        rows.insert(key, Fragment { hlc, lsn, value });
    }
    rows.into_iter().collect()
}
