//! activestore's store through its own public interface: `Store::commit` with `wal_sync = batch`, reads
//! through snapshots.

mod ingest;
mod memory;
mod mixed;
mod overlap;
mod reads;
mod table;

use std::path::Path;
use std::sync::Arc;

use activestore_env::Env;
use activestore_store::{Store, StoreOptions, WalSync, WriteSet};
use activestore_types::{HlcClock, NodeId, OriginId, RowBatch};
use arrow::record_batch::RecordBatch;

use crate::task::{Dataset, Result, Task, Work, emit};
use table::Table;

/// The wall clock of the stamps; what it says does not matter.
const NOW_MS: u64 = 1_767_225_600_000;

/// Does a task and prints its figures.
pub fn run(task: &Task) -> Result<()> {
    match task.work {
        Work::Ingest => ingest::batches(task),
        Work::Single => ingest::single_rows(task),
        Work::Size => size(task),
        Work::Reads => reads::run(task),
        Work::Overlap => overlap::run(task),
        Work::Mixed => mixed::run(task),
        Work::Memory => memory::run(task),
        Work::Replay => ingest::replay(task),
    }
}

/// A store with one table.
struct Opened {
    store: Arc<Store>,
    table: Table,
    clock: HlcClock,
}

/// Settings of a small server: memtables of 64 MiB, which is what RocksDB takes by default, and as
/// much for what point reads keep, which is what it is given here.
fn options() -> StoreOptions {
    StoreOptions {
        memtable_bytes: 64 << 20,
        block_cache_bytes: 48 << 20,
        row_cache_bytes: 16 << 20,
        wal_sync: WalSync::Batch,
        ..StoreOptions::new(NodeId([1; 16]))
    }
}

impl Opened {
    fn new(dir: &Path, data: &Dataset, options: StoreOptions) -> Result<Self> {
        let store = Store::open(Env::real(dir)?, options)?;
        let table = Table::of(data)?;
        store.put_schema(Arc::clone(&table.schema))?;
        Ok(Opened {
            clock: HlcClock::starting_at(store.max_hlc()),
            store,
            table,
        })
    }

    /// One durable commit.
    fn commit(&self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let first = self.clock.reserve(NOW_MS, rows as u64);
        let batch = RowBatch::upsert(
            table::TABLE,
            rows,
            self.table.columns(batch),
            first,
            OriginId(0),
        );
        self.store.commit(WriteSet::from_batches(vec![batch]))?;
        Ok(())
    }

    /// Writes every row of the data, in large commits.
    fn load(&self, data: &Dataset) -> Result<()> {
        for batch in data.open()? {
            self.commit(&batch?)?;
        }
        Ok(())
    }

    /// Bytes of the table's files.
    fn bytes(&self) -> f64 {
        let files = self.store.sstables();
        files.iter().map(|info| info.meta.bytes as f64).sum()
    }

    /// Bytes written over bytes that came, twice: SSTables over what the first of them took, and
    /// everything, the log included, over the rows as Arrow holds them.
    fn emit_write_amplification(&self, arrow_bytes: f64) {
        let stats = self.store.stats();
        let files = (stats.flush_bytes + stats.compaction_bytes) as f64;
        emit("write_amp_files", files / stats.flush_bytes as f64);
        emit(
            "write_amp_all",
            (files + stats.wal_bytes as f64) / arrow_bytes,
        );
    }
}

fn size(task: &Task) -> Result<()> {
    let opened = Opened::new(&task.dir, &task.data, options())?;
    opened.load(&task.data)?;
    opened.store.compact(table::TABLE)?;
    emit("bytes", opened.bytes());
    for info in opened.store.sstables() {
        for column in &info.meta.columns {
            eprintln!("    {}: {} bytes", column.name, column.bytes);
        }
    }
    Ok(())
}
