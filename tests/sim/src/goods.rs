//! Shared rows that anybody writes and somebody deletes for good: none may ever come back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::world::World;

/// How long nobody has written to what is deleted: then every write of it is stamped before.
const QUIET: Duration = Duration::from_secs(1);
/// Longer than deletes are remembered in a fleet of this kind, in milliseconds, and so much more at most.
const AWAY_MS: (u64, u64) = (90_000, 120_000);

/// What was written to `shop.goods`.
#[derive(Debug, Default)]
pub(crate) struct Goods {
    next: i64,
    /// When each was written last.
    live: BTreeMap<i64, Duration>,
    gone: BTreeSet<i64>,
}

impl Goods {
    /// What of these is there that must not be.
    pub(crate) fn resurrected(&self, found: &BTreeMap<i64, i64>) -> Vec<i64> {
        let found = found.keys().filter(|item| self.gone.contains(item));
        found.copied().collect()
    }
}

impl World {
    /// Something new, a change of one cell of something known, or its end. Most write to what they do not hold.
    pub(crate) fn write_goods(&mut self, index: usize) {
        if self.edges[index].node.db().definitions().tables.is_empty() {
            return;
        }
        let known: Vec<i64> = self.goods.live.keys().copied().collect();
        let value = self.rng.below(1000);
        let sql = match (self.rng.below(6), self.one_of(&known)) {
            (0, _) if self.quiet().len() > 4 => {
                let quiet = self.quiet();
                let item = self.one_of(&quiet).unwrap();
                self.goods.live.remove(&item);
                self.goods.gone.insert(item);
                format!("DELETE FROM shop.goods WHERE item = {item}")
            }
            (1 | 2, Some(item)) => {
                self.goods.live.insert(item, self.now);
                let column = ["price", "stock"][self.rng.below(2) as usize];
                format!("INSERT INTO shop.goods (item, {column}) VALUES ({item}, {value})")
            }
            _ => {
                let item = self.goods.next;
                self.goods.next += 1;
                self.goods.live.insert(item, self.now);
                format!("INSERT INTO shop.goods VALUES ({item}, {value}, {value})")
            }
        };
        self.edges[index].node.run(&sql).unwrap();
        self.summary.writes += 1;
    }

    /// The cloud deletes, and lets go of what it can.
    pub(crate) fn clear_goods(&mut self) {
        let quiet = self.quiet();
        if let Some(item) = self.one_of(&quiet) {
            self.goods.live.remove(&item);
            self.goods.gone.insert(item);
            let sql = format!("DELETE FROM shop.goods WHERE item = {item}");
            self.cloud.run(&sql).unwrap();
        }
        if self.rng.one_in(4) {
            self.cloud.compact("shop.goods");
            self.cloud.compact("shop.prices");
        }
    }

    fn quiet(&self) -> Vec<i64> {
        let live = self.goods.live.iter();
        let quiet = live.filter(|(_, at)| **at + QUIET < self.now);
        quiet.map(|(item, _)| *item).collect()
    }

    fn one_of(&mut self, items: &[i64]) -> Option<i64> {
        let place = self.rng.below(items.len().max(1) as u64) as usize;
        items.get(place).copied()
    }

    /// An edge leaves, and comes back when nobody remembers.
    pub(crate) fn go_away(&mut self, index: usize) {
        self.summary.absences += 1;
        let ms = AWAY_MS.0 + self.rng.below(AWAY_MS.1);
        self.edges[index].away_until = self.now + Duration::from_millis(ms);
        if let Some(id) = self.edges[index].connection {
            self.lose(id);
        }
    }

    /// Nothing that was deleted for good is anywhere.
    pub(crate) fn check_goods(&mut self) -> Result<(), String> {
        let late = "SELECT CAST(0 AS BIGINT), CAST(coalesce(sum(\"rows\"), 0) AS BIGINT) FROM system.rejected_writes";
        self.summary.late += self.cloud.pairs(late)[&0] as u64;
        let edges = self
            .edges
            .iter()
            .map(|edge| (&edge.ledger.device, &edge.node));
        let cloud = String::from("the cloud");
        for (name, node) in edges.chain([(&cloud, &self.cloud)]) {
            let back = self.goods.resurrected(&node.pairs(crate::world::GOODS));
            if !back.is_empty() {
                return Err(format!("deleted goods are back at {name}: {back:?}"));
            }
        }
        Ok(())
    }
}
