//! One node: a directory, a clock, a disk that may be full, and the database in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use activestore_db::{Db, DbOptions, Role, SqlOutcome};
use activestore_env::{Env, RealDisk, SimClock, SimRng};
use activestore_sync_proto::TableDigest;
use activestore_types::{ErrorKind, NodeId, Result};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use tokio::runtime::Runtime;

use crate::faulty_disk::{FaultyDisk, Space};

/// A copy of a node's directory.
pub struct Image(PathBuf);

/// See the module's text.
pub struct Node {
    pub clock: Arc<SimClock>,
    pub space: Space,
    runtime: Arc<Runtime>,
    role: Role,
    path: PathBuf,
    copies: u64,
    rng: Arc<SimRng>,
    db: Option<Db>,
}

impl Node {
    /// A new node, or one that begins with another's image.
    pub fn new(
        runtime: &Arc<Runtime>,
        role: Role,
        path: PathBuf,
        seed: u64,
        wall_ms: u64,
        image: Option<Image>,
    ) -> Self {
        match image {
            Some(image) => std::fs::rename(image.0, &path).unwrap(),
            None => std::fs::create_dir_all(&path).unwrap(),
        }
        let mut node = Node {
            clock: Arc::new(SimClock::at_ms(wall_ms)),
            space: Space::default(),
            runtime: runtime.clone(),
            role,
            path,
            copies: 0,
            rng: Arc::new(SimRng::seeded(seed)),
            db: None,
        };
        node.open();
        node
    }

    pub fn db(&self) -> &Db {
        self.db.as_ref().expect("the node runs")
    }

    fn open(&mut self) {
        let mut options = DbOptions::new(&self.path, self.role);
        options.name = self
            .path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        // The world says when, so that no thread does.
        options.seal_after = Duration::MAX;
        options.memory_bytes = 16 << 20;
        options.query_memory_bytes = 16 << 20;
        options.query_partitions = 1;
        // Short, so that edges are away for longer than their changes are kept.
        options.down_keep = Duration::from_secs(8);
        let open = || {
            let env = Env {
                clock: self.clock.clone(),
                rng: self.rng.clone(),
                disk: Arc::new(FaultyDisk {
                    disk: RealDisk::open(&self.path).unwrap(),
                    space: self.space.clone(),
                }),
            };
            Db::open_in(options.clone(), env)
        };
        let opened = open().or_else(|error| {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            assert!(self.space.is_full());
            // It says so, and somebody makes room.
            self.space.run_out(false);
            open()
        });
        self.db = Some(opened.unwrap());
    }

    fn close(&mut self) {
        if let Some(db) = self.db.take() {
            // A log that is out of order says so; the image was taken before.
            let _ = self.runtime.block_on(db.shutdown());
        }
    }

    /// What the directory holds at this moment.
    pub fn image(&mut self) -> Image {
        self.copies += 1;
        let to = self.path.with_extension(format!("image-{}", self.copies));
        copy(&self.path, &to);
        Image(to)
    }

    /// The process ends without a word and starts again.
    pub fn crash(&mut self) {
        let image = self.image();
        self.put_back(image);
    }

    /// The directory becomes what the image holds.
    pub fn put_back(&mut self, image: Image) {
        self.close();
        std::fs::remove_dir_all(&self.path).unwrap();
        std::fs::rename(image.0, &self.path).unwrap();
        self.open();
    }

    /// A new disk.
    pub fn lose_disk(&mut self) {
        self.close();
        std::fs::remove_dir_all(&self.path).unwrap();
        std::fs::create_dir_all(&self.path).unwrap();
        self.open();
    }

    pub fn run(&self, sql: &str) -> Result<()> {
        self.runtime.block_on(self.db().sql(sql, &[])).map(drop)
    }

    /// Of the rows that a node wrote.
    pub fn digests(&self, writer: NodeId) -> Vec<TableDigest> {
        let digests = self.db().digests(Some(writer));
        self.runtime.block_on(digests).unwrap()
    }

    pub fn seal(&self) -> Result<()> {
        self.runtime.block_on(self.db().seal())
    }

    /// Leaves nothing of what was deleted and may be forgotten.
    pub fn compact(&self, table: &str) {
        let db = self.db().clone();
        let sql = format!("ALTER TABLE {table} COMPACT");
        self.runtime.block_on(async {
            let compacting = tokio::spawn(async move { db.sql(&sql, &[]).await.map(drop) });
            // It waits for the stream to have seen all records, and no thread of its own seals.
            while !compacting.is_finished() {
                self.db().seal().await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            compacting.await.unwrap().unwrap();
        });
    }

    /// The rows of a query of two BIGINT columns, by the first.
    pub fn pairs(&self, sql: &str) -> BTreeMap<i64, i64> {
        self.runtime.block_on(async {
            let mut outcomes = self.db().sql(sql, &[]).await.unwrap();
            let Some(SqlOutcome::Rows(rows)) = outcomes.pop() else {
                panic!("'{sql}' answered without rows");
            };
            let batches: Vec<RecordBatch> = rows.stream.try_collect().await.unwrap();
            let mut pairs = BTreeMap::new();
            for batch in &batches {
                let keys = batch.column(0).as_primitive::<Int64Type>();
                let values = batch.column(1).as_primitive::<Int64Type>();
                for (key, value) in keys.iter().zip(values) {
                    let twice = pairs.insert(key.unwrap(), value.unwrap());
                    assert!(twice.is_none(), "two rows have one key");
                }
            }
            pairs
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.close();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
