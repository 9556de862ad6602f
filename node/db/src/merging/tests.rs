//! Nodes that write a cell at will and hear of each other in any order, late and more than once, end with the
//! join of all writes, and then nobody writes any more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use activestore_store::{StampedCell, StampedCells};
use activestore_types::{
    BatchColumn, Column, ColumnId, CompactionMode, DataType, Hlc, NodeId, OriginId, RangeTombstone,
    Result, RowBatch, SyncMode, TableId, TableName, TableSchema,
};
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::incoming::{Coming, Lifted, lifted};
use super::{Join, Joined};

const KEYS: i64 = 3;
const KEY: ColumnId = ColumnId(0);
const VALUE: ColumnId = ColumnId(1);

/// Bits that were set by anybody: what two values join to is mostly neither of them.
struct Or;

impl Join for Or {
    fn join(&self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let pairs = left.as_primitive::<Int64Type>().iter();
        let pairs = pairs.zip(right.as_primitive::<Int64Type>());
        let joined: Int64Array = pairs.map(|(a, b)| Some(a.unwrap() | b.unwrap())).collect();
        Ok(Arc::new(joined))
    }
}

fn joined() -> Vec<Joined> {
    vec![Joined {
        id: VALUE,
        name: "value".to_owned(),
        data_type: DataType::BigInt,
        function: Arc::new(Or),
    }]
}

fn schema() -> TableSchema {
    let column = |id, name: &str| Column {
        id,
        name: name.to_owned(),
        data_type: DataType::BigInt,
    };
    TableSchema {
        id: TableId(1),
        name: TableName::new("plant", "flags"),
        columns: vec![column(KEY, "key"), column(VALUE, "value")],
        partition_key: vec![KEY],
        clustering_key: Vec::new(),
        flexible: false,
        ttl_s: None,
        sync: SyncMode::Both,
        compaction: CompactionMode::Automatic,
        version: 1,
    }
}

/// One row write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Write {
    key: i64,
    value: Option<i64>,
    hlc: u64,
    origin: u32,
    expiry_ms: u64,
}

fn node_id(origin: u32) -> NodeId {
    NodeId([origin as u8; 16])
}

fn batch(writes: &[Write]) -> RowBatch {
    let column = |id, array: Int64Array| BatchColumn {
        id,
        array: Arc::new(array),
        set: None,
    };
    let keys = writes.iter().map(|write| Some(write.key)).collect();
    let values = writes.iter().map(|write| write.value).collect();
    let columns = vec![column(KEY, keys), column(VALUE, values)];
    let mut batch = RowBatch::upsert(TableId(1), writes.len(), columns, Hlc::ZERO, OriginId(0));
    batch.hlc = writes.iter().map(|write| write.hlc).collect();
    batch.origin = writes.iter().map(|write| write.origin).collect();
    batch.expiry_ms = Some(writes.iter().map(|write| write.expiry_ms).collect());
    batch
}

/// A node that merges by stamps, as the store does.
#[derive(Clone, Debug, Default)]
struct Node {
    origin: u32,
    clock: u64,
    writes: Vec<Write>,
    /// Rows that it wrote because of others.
    lifts: usize,
}

impl Node {
    fn held(&self, key: i64) -> Option<Write> {
        let of_key = self.writes.iter().filter(|write| write.key == key);
        of_key
            .max_by_key(|write| (write.hlc, node_id(write.origin)))
            .copied()
    }

    fn value(&self, key: i64) -> Option<i64> {
        self.held(key).and_then(|write| write.value)
    }

    /// Writes as the write path does: what is there is joined in.
    fn write(&mut self, key: i64, value: i64) {
        self.clock += 1;
        self.writes.push(Write {
            key,
            value: Some(value | self.value(key).unwrap_or(0)),
            hlc: self.clock,
            origin: self.origin,
            expiry_ms: 0,
        });
    }

    fn hear(&mut self, heard: &[Write]) {
        if heard.is_empty() {
            return;
        }
        let (schema, columns, batch) = (schema(), joined(), batch(heard));
        let keys: Vec<Vec<u8>> = (0..KEYS).map(|key| encoded(&schema, key)).collect();
        let lifted = lifted(&Coming {
            schema: &schema,
            columns: &columns,
            batches: &[&batch],
            ranges: &[],
            now_ms: 0,
            node: &|origin| Some(node_id(origin.0)),
            held: &|key| {
                let key = keys.iter().position(|known| known == key).unwrap() as i64;
                Ok(cells(self.held(key)))
            },
        });
        let highest = heard.iter().map(|write| write.hlc).max().unwrap();
        self.clock = self.clock.max(highest);
        self.writes.extend(heard);
        if let Some(lifted) = lifted.unwrap() {
            self.lifts += lifted.rows;
            for (key, value) in pairs(&lifted) {
                self.clock = (self.clock + 1).max(lifted.after.0 + 1);
                self.writes.push(Write {
                    key,
                    value: Some(value),
                    hlc: self.clock,
                    origin: self.origin,
                    expiry_ms: 0,
                });
            }
        }
    }
}

fn encoded(schema: &TableSchema, key: i64) -> Vec<u8> {
    let array: ArrayRef = Arc::new(Int64Array::from(vec![key]));
    let column = BatchColumn {
        id: KEY,
        array,
        set: None,
    };
    super::keys_of(schema, &[column]).unwrap().key(0).to_vec()
}

fn cells(held: Option<Write>) -> StampedCells {
    StampedCells {
        cells: vec![held.map(|write| StampedCell {
            value: Arc::new(Int64Array::from(vec![write.value])),
            hlc: Hlc(write.hlc),
            origin: OriginId(write.origin),
            expiry_ms: write.expiry_ms,
        })],
        deleted: Hlc::ZERO,
    }
}

/// Keys and values of lifted rows.
fn pairs(lifted: &Lifted) -> Vec<(i64, i64)> {
    let numbers = |id| {
        let column = lifted
            .columns
            .iter()
            .find(|column| column.id == id)
            .unwrap();
        column.array.as_primitive::<Int64Type>().values().to_vec()
    };
    numbers(KEY).into_iter().zip(numbers(VALUE)).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        node: usize,
        key: i64,
        bit: u32,
    },
    /// Some of what one node knows reaches another: from here on, every so many.
    Tell {
        from: usize,
        to: usize,
        skip: usize,
        every: usize,
    },
}

fn steps(nodes: usize) -> impl Strategy<Value = Vec<Step>> {
    let write =
        (0..nodes, 0..KEYS, 0..20_u32).prop_map(|(node, key, bit)| Step::Write { node, key, bit });
    let tell = (0..nodes, 0..nodes, 0..8_usize, 1..4_usize).prop_map(|(from, to, skip, every)| {
        Step::Tell {
            from,
            to,
            skip,
            every,
        }
    });
    proptest::collection::vec(prop_oneof![write, tell], 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn all_end_with_the_join_of_all_writes_and_write_no_more(
        (count, steps) in (2..5_usize).prop_flat_map(|count| (Just(count), steps(count))),
    ) {
        let mut nodes: Vec<Node> = (0..count)
            .map(|origin| Node { origin: origin as u32, ..Node::default() })
            .collect();
        let mut all = [0; KEYS as usize];
        for step in steps {
            match step {
                Step::Write { node, key, bit } => {
                    nodes[node].write(key, 1 << bit);
                    all[key as usize] |= 1 << bit;
                }
                Step::Tell { from, to, skip, every } => {
                    let told: Vec<Write> = nodes[from].writes.iter().skip(skip).step_by(every).copied().collect();
                    nodes[to].hear(&told);
                }
            }
        }
        // Everybody tells everybody everything, until a round in which nobody had to write.
        let mut rounds = 0;
        loop {
            let before: usize = nodes.iter().map(|node| node.lifts).sum();
            for from in 0..count {
                let told = nodes[from].writes.clone();
                for to in (0..count).filter(|to| *to != from) {
                    nodes[to].hear(&told);
                }
            }
            rounds += 1;
            if nodes.iter().map(|node| node.lifts).sum::<usize>() == before {
                break;
            }
            prop_assert!(rounds < 4, "they go on writing: {nodes:?}");
        }
        for node in &nodes {
            for key in 0..KEYS {
                prop_assert_eq!(node.value(key).unwrap_or(0), all[key as usize]);
            }
        }
    }
}

/// What becomes of one write that comes to what is held.
fn meets(
    held: Option<Write>,
    coming: Write,
    deleted: u64,
    ranges: &[RangeTombstone],
) -> Vec<(i64, i64)> {
    let (schema, columns, batch) = (schema(), joined(), batch(&[coming]));
    let lifted = lifted(&Coming {
        schema: &schema,
        columns: &columns,
        batches: &[&batch],
        ranges: &ranges.iter().collect::<Vec<_>>(),
        now_ms: 1000,
        node: &|origin| Some(node_id(origin.0)),
        held: &|_| {
            Ok(StampedCells {
                deleted: Hlc(deleted),
                ..cells(held)
            })
        },
    });
    lifted
        .unwrap()
        .map(|lifted| pairs(&lifted))
        .unwrap_or_default()
}

#[test]
fn deletes_nulls_and_expiry_are_respected() {
    let write = |value, hlc, origin| Write {
        key: 1,
        value,
        hlc,
        origin,
        expiry_ms: 0,
    };
    let held = write(Some(1), 10, 0);
    assert_eq!(meets(Some(held), write(Some(2), 20, 1), 0, &[]), [(1, 3)]);
    // What is older than a delete does not come back, here or there.
    assert!(meets(Some(held), write(Some(2), 5, 1), 7, &[]).is_empty());
    let range = RangeTombstone {
        table: TableId(1),
        start: Vec::new(),
        end: Vec::new(),
        hlc: Hlc(15),
        origin: OriginId(1),
    };
    assert!(meets(Some(held), write(Some(2), 20, 1), 0, &[range]).is_empty());
    // A NULL that is later takes nothing away.
    assert_eq!(meets(Some(held), write(None, 20, 1), 0, &[]), [(1, 1)]);
    assert!(meets(Some(held), write(None, 5, 1), 0, &[]).is_empty());
    assert!(meets(None, write(Some(4), 5, 1), 0, &[]).is_empty());
    let expired = Write {
        expiry_ms: 999,
        ..write(Some(2), 20, 1)
    };
    assert!(meets(Some(held), expired, 0, &[]).is_empty());
    // The same write twice is no news.
    assert!(meets(Some(held), held, 0, &[]).is_empty());
}
