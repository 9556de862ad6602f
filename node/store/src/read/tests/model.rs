//! The naive model: every fragment and every tombstone in a list, each cell decided on its own.

use std::collections::BTreeMap;

use activestore_types::NodeId;

/// One cell as a write leaves it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Absent,
    Null,
    Value(i64),
}

/// (hlc, node)
pub(crate) type Stamp = (u64, NodeId);

#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) device: u8,
    pub(crate) at: i64,
    pub(crate) cells: [Cell; 3],
    pub(crate) expiry_ms: u64,
    pub(crate) tombstone: bool,
    pub(crate) hlc: u64,
    pub(crate) origin: u32,
}

/// A range tombstone: rows of one device with `from <= at < to` (a partition delete has no bounds).
#[derive(Clone, Debug)]
pub(crate) struct Delete {
    pub(crate) device: u8,
    pub(crate) span: Option<(i64, i64)>,
    pub(crate) hlc: u64,
    pub(crate) origin: u32,
}

pub(crate) type Row = [Option<i64>; 3];

#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) writes: Vec<Write>,
    pub(crate) deletes: Vec<Delete>,
}

pub(crate) fn node(origin: u32) -> NodeId {
    // Not in the order of the origin ids.
    NodeId([9 - u8::try_from(origin).unwrap(); 16])
}

impl Model {
    /// The visible rows by (device, at descending).
    pub(crate) fn rows(&self, now_ms: u64) -> Vec<((u8, i64), Row)> {
        let mut keys: BTreeMap<(u8, std::cmp::Reverse<i64>), Vec<&Write>> = BTreeMap::new();
        for write in &self.writes {
            keys.entry((write.device, std::cmp::Reverse(write.at)))
                .or_default()
                .push(write);
        }
        keys.into_iter()
            .filter_map(|((device, at), writes)| {
                Some(((device, at.0), self.row(device, at.0, &writes, now_ms)?))
            })
            .collect()
    }

    fn row(&self, device: u8, at: i64, writes: &[&Write], now_ms: u64) -> Option<Row> {
        let stamp = |write: &Write| -> Stamp { (write.hlc, node(write.origin)) };
        let dead: Option<Stamp> = self
            .deletes
            .iter()
            .filter(|delete| {
                delete.device == device
                    && delete.span.is_none_or(|(from, to)| from <= at && at < to)
            })
            .map(|delete| (delete.hlc, node(delete.origin)))
            .chain(
                writes
                    .iter()
                    .filter(|write| write.tombstone)
                    .map(|write| stamp(write)),
            )
            .max();
        let alive: Vec<&&Write> = writes
            .iter()
            .filter(|write| !write.tombstone && dead.is_none_or(|dead| stamp(write) > dead))
            .collect();
        let newest = alive.iter().max_by_key(|write| stamp(write))?;
        let expired = |write: &Write| write.expiry_ms != 0 && write.expiry_ms <= now_ms;
        let mut row = [None; 3];
        for (column, cell) in row.iter_mut().enumerate() {
            let decides = alive
                .iter()
                .filter(|write| write.cells[column] != Cell::Absent)
                .max_by_key(|write| stamp(write));
            if let Some(write) = decides
                && !expired(write)
                && let Cell::Value(value) = write.cells[column]
            {
                *cell = Some(value);
            }
        }
        (!expired(newest) || row.iter().any(Option::is_some)).then_some(row)
    }
}
