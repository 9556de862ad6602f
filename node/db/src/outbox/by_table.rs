//! What waits for the cloud by table: rows, bytes, and the age of the oldest row.
//!
//! A segment holds rows of many tables, and only unpacking it tells of which. So of a long chain some segments are
//! looked at, evenly spread, and the chain's own sums, which are exact, are shared out as those are. What was looked at
//! is remembered as long as it waits, at places that stay the same while the chain grows.

use std::collections::BTreeMap;

use activestore_types::{Epoch, Hlc, Result, SyncClass, TableName};
use parking_lot::Mutex;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use super::Sealer;
use super::chain::Chain;
use super::queue::Queue;
use super::segment::{Section, Segment};
use crate::counters::Figures;
use crate::db::{Db, Inner};

/// Segments of a chain that are looked at, about: the first, the last, and so many between them.
const LOOKED_AT: u64 = 32;
/// Tables that metrics tell of by name; the rest is one figure.
const NAMED_MAX: usize = 50;
/// The name that metrics give to the rest.
const OTHERS: &str = "others";

/// What waits of one table in one class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableLag {
    /// The table, `KEYSPACE.TABLE`.
    pub table: String,
    /// `alarm`, `control`, `live` or `backlog`.
    pub class: &'static str,
    /// Rows that are sealed and not acknowledged.
    pub rows: u64,
    /// What they take of their segments, in bytes.
    pub bytes: u64,
    /// How long ago the oldest of them was written, in seconds.
    pub oldest_s: f64,
    /// Whether every segment was looked at; otherwise the figures are estimates.
    pub exact: bool,
}

/// What a segment holds of one table.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    rows: u64,
    bytes: u64,
    oldest_ms: u64,
}

/// What is remembered of segments that wait.
#[derive(Default)]
pub(crate) struct ByTable(Mutex<BTreeMap<(Epoch, u64), Known>>);

/// What a segment holds, by table.
type Known = BTreeMap<TableName, Held>;

/// What waits of one table in one class, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    rows: f64,
    bytes: f64,
    oldest_ms: Option<u64>,
    estimated: bool,
}

impl Sealer {
    /// What waits, by table and class; what of it is looked at is remembered in `known`.
    fn by_table(&self, known: &ByTable) -> Vec<(TableName, SyncClass, Sum)> {
        let queue = &self.shared.queue;
        let mut sums: BTreeMap<(TableName, SyncClass), Sum> = BTreeMap::new();
        let mut known = known.0.lock();
        let mut looked = BTreeMap::new();
        for chain in queue
            .standing()
            .chains
            .iter()
            .filter(|one| one.waiting() > 0)
        {
            let mut of_chain: BTreeMap<TableName, Held> = BTreeMap::new();
            for sequence in places(chain) {
                let at = (chain.epoch, sequence);
                let before = known.remove(&at);
                // One that cannot be read is told where it is to be shipped.
                let Some(held) = before.or_else(|| look(queue, at).ok().flatten()) else {
                    continue;
                };
                for (table, held) in &held {
                    let sum = of_chain.entry(table.clone()).or_insert(Held {
                        oldest_ms: u64::MAX,
                        ..Held::default()
                    });
                    sum.rows += held.rows;
                    sum.bytes += held.bytes;
                    sum.oldest_ms = sum.oldest_ms.min(held.oldest_ms);
                }
                looked.insert(at, held);
            }
            share(chain, &of_chain, &mut sums);
        }
        *known = looked;
        let all = sums.into_iter();
        all.map(|((table, class), sum)| (table, class, sum))
            .collect()
    }
}

/// Shares a chain's sums out among the tables that its segments hold.
fn share(
    chain: &Chain,
    held: &BTreeMap<TableName, Held>,
    sums: &mut BTreeMap<(TableName, SyncClass), Sum>,
) {
    let total = |of: fn(&Held) -> u64| held.values().map(of).sum::<u64>().max(1) as f64;
    let (rows, bytes) = (total(|held| held.rows), total(|held| held.bytes));
    for (table, held) in held {
        let sum = sums.entry((table.clone(), chain.class)).or_default();
        sum.rows += chain.pending_rows as f64 * held.rows as f64 / rows;
        sum.bytes += chain.pending_bytes as f64 * held.bytes as f64 / bytes;
        sum.oldest_ms = [sum.oldest_ms, Some(held.oldest_ms)]
            .into_iter()
            .flatten()
            .min();
        sum.estimated |= chain.waiting() > places(chain).len() as u64;
    }
}

/// The segments of a chain that are looked at: the ends, and one of each stretch of so many, always the same one. Which one
/// is drawn from its number, so that tables that take turns are met as often as they come.
fn places(chain: &Chain) -> Vec<u64> {
    let (first, last) = (chain.acknowledged + 1, chain.last_sealed);
    let step = (chain.waiting() / LOOKED_AT).max(1).next_power_of_two();
    let drawn = (first / step..=last / step)
        .map(|stretch| stretch * step + xxh3_64(&stretch.to_le_bytes()) % step);
    let between = drawn.filter(|place| (first..=last).contains(place));
    let mut all: Vec<u64> = between.chain([first, last]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn look(queue: &Queue, (epoch, sequence): (Epoch, u64)) -> Result<Option<Known>> {
    let Some(segment) = queue.segment(epoch, sequence)? else {
        return Ok(None);
    };
    let mut known = Known::new();
    for section in &Segment::unpack(&segment.payload)?.sections {
        let held = known.entry(section.table.clone()).or_insert(Held {
            oldest_ms: u64::MAX,
            ..Held::default()
        });
        held.rows += u64::from(section.rows);
        held.bytes += section.packed_bytes();
        held.oldest_ms = held.oldest_ms.min(oldest_ms(section)?);
    }
    Ok(Some(known))
}

fn oldest_ms(section: &Section) -> Result<u64> {
    let stamps = section.stamps()?;
    let oldest = stamps.iter().min();
    Ok(oldest.map_or(u64::MAX, |stamp| Hlc(*stamp).wall_ms()))
}

impl Db {
    /// What waits for the cloud by table and class.
    pub fn sync_tables(&self) -> Vec<TableLag> {
        self.inner.lags_by_table()
    }
}

/// A figure of the sum of a table and class: rows, bytes, age in seconds.
type Figure = fn(&(u64, u64, f64)) -> f64;

impl Inner {
    pub(crate) fn lags_by_table(&self) -> Vec<TableLag> {
        let Some(outbox) = &self.outbox else {
            return Vec::new();
        };
        let now_ms = self.wall_ms();
        let all = outbox.by_table(&self.by_table).into_iter();
        all.map(|(table, class, sum)| {
            let age_ms = sum.oldest_ms.map_or(0, |at| now_ms.saturating_sub(at));
            TableLag {
                table: table.to_string(),
                class: class.name(),
                rows: sum.rows.round() as u64,
                bytes: sum.bytes.round() as u64,
                oldest_s: age_ms as f64 / 1e3,
                exact: !sum.estimated,
            }
        })
        .collect()
    }

    /// The same as figures, of so many tables as there is room for.
    pub(crate) fn table_lag_figures(&self, all: &mut Figures) {
        let mut lags = self.lags_by_table();
        lags.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.table.cmp(&b.table)));
        let mut named: BTreeMap<(String, &'static str), (u64, u64, f64)> = BTreeMap::new();
        for (place, lag) in lags.into_iter().enumerate() {
            let table = if place < NAMED_MAX {
                lag.table
            } else {
                OTHERS.to_owned()
            };
            let sum = named.entry((table, lag.class)).or_default();
            sum.0 += lag.rows;
            sum.1 += lag.bytes;
            sum.2 = sum.2.max(lag.oldest_s);
        }
        let each: [(_, _, Figure); 3] = [
            (
                "activestore_sync_table_rows",
                "Rows of a table and class sealed and not acknowledged; of a long backlog an estimate.",
                |sum| sum.0 as f64,
            ),
            (
                "activestore_sync_table_bytes",
                "Bytes of a table and class sealed and not acknowledged; of a long backlog an estimate.",
                |sum| sum.1 as f64,
            ),
            (
                "activestore_sync_table_oldest_seconds",
                "Age of the oldest row of a table and class that is sealed and not acknowledged.",
                |sum| sum.2,
            ),
        ];
        for (name, help, value) in each {
            for ((table, class), sum) in &named {
                all.push(
                    name,
                    help,
                    crate::counters::CounterKind::Gauge,
                    vec![("table", table.clone()), ("class", (*class).to_owned())],
                    value(sum),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Which segments of a chain are looked at.
    use super::*;

    #[test]
    fn the_ends_and_some_between_are_looked_at_and_stay_the_same() {
        let mut chain = Chain::fresh(SyncClass::Live, Epoch(1));
        chain.last_sealed = 20;
        chain.acknowledged = 3;
        assert_eq!(places(&chain), (4..=20).collect::<Vec<_>>());
        chain.last_sealed = 10_000;
        let before = places(&chain);
        assert!(before.len() as u64 <= LOOKED_AT + 3, "{}", before.len());
        assert_eq!((before.first(), before.last()), (Some(&4), Some(&10_000)));
        chain.last_sealed += 1;
        let after = places(&chain);
        let kept = before.iter().filter(|place| after.contains(place)).count();
        assert_eq!(kept, before.len() - 1, "all but the end");
    }
}
