//! What must be true once everything has healed.

use std::time::Duration;

use activestore_sync_proto::DigestComparison;

use crate::connection::Connection;
use crate::world::{CALM, GOODS, LIMITS, PRICES, World, table_of};

/// How long after the last word rows are compared, so that none is left out as too new.
const COMPARED_AFTER: Duration = Duration::from_secs(300);
/// Repairs of every edge that must suffice.
const MENDINGS_MAX: usize = 4;

impl World {
    /// Goes on until everything is told.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        let until = self.now + CALM;
        while !self.settled() {
            if self.now > until {
                return Err(format!("the fleet did not settle: {}", self.unsettled()));
            }
            self.step()?;
        }
        Ok(())
    }

    /// Compares every edge's rows with what the cloud holds of them, and mends, until nothing is left.
    pub(crate) fn mend(&mut self) -> Result<(), String> {
        for _ in 0..MENDINGS_MAX {
            for index in 0..self.edges.len() {
                self.edges[index].left = None;
                if let Some(id) = self.edges[index].connection {
                    self.with_uplink(id, |end| end.compare(2, true));
                }
                let until = self.now + CALM;
                while self.edges[index].left.is_none() {
                    if self.now > until {
                        return Err(format!("the comparison of edge {index} did not end"));
                    }
                    self.step()?;
                }
            }
            self.settle()?;
            if self.edges.iter().all(|edge| edge.left == Some(0)) {
                return Ok(());
            }
        }
        let left: Vec<_> = self.edges.iter().map(|edge| edge.left).collect();
        Err(format!("{MENDINGS_MAX} repairs left {left:?}"))
    }

    /// Row by row nothing differs between two ends, whoever wrote it: not what was set aside, nor what one end has
    /// forgotten.
    pub(crate) fn compare_rows(&mut self) -> Result<(), String> {
        let later = self.now + COMPARED_AFTER;
        while self.now < later {
            self.step()?;
        }
        for index in 0..self.edges.len() {
            self.edges[index].left = None;
            if let Some(id) = self.edges[index].connection {
                self.with_uplink(id, |end| end.compare(3, false));
            }
            let until = self.now + CALM;
            while self.edges[index].left.is_none() {
                if self.now > until {
                    return Err(format!("the comparison of edge {index} did not end"));
                }
                self.step()?;
            }
            let left = self.edges[index].left;
            if left != Some(0) {
                let device = &self.edges[index].ledger.device;
                return Err(format!("{device} and the node above it differ: {left:?}"));
            }
        }
        Ok(())
    }

    pub(crate) fn settled(&self) -> bool {
        self.unsettled().is_empty()
    }

    /// What is still to be told.
    pub(crate) fn unsettled(&self) -> String {
        let sealed = self.cloud.db().sync_status();
        if sealed.down.is_some_and(|down| down.unsealed_records > 0) {
            return "the stream is not sealed".to_owned();
        }
        for (index, edge) in self.edges.iter().enumerate() {
            let above = self.inbox_above(index);
            let stream = above.down_position();
            let status = edge.node.db().sync_status();
            let own_stream = status.down.as_ref().filter(|_| self.is_gateway(index));
            let hosts = edge.node.db().sync_hosts();
            let live = edge.connection.and_then(|id| self.connections.get(&id));
            let place = hosts.replica.down_position().unwrap();
            let what = if !live.is_some_and(Connection::is_live) {
                "is not connected"
            } else if status.pending_rows > 0 || status.unsealed_records > 0 {
                "has rows to ship"
            } else if own_stream.is_some_and(|down| down.unsealed_records > 0) {
                "has a stream that is not sealed"
            } else if hosts.replica.catalog_version() != above.catalog_version() {
                "has other definitions"
            } else if place.cursor.is_some()
                || stream
                    .is_some_and(|(epoch, seq)| (epoch, seq) != (place.epoch, place.progress.seq))
            {
                "does not hold the stream"
            } else {
                continue;
            };
            let chains = hosts.outbox.map(|outbox| outbox.chains());
            return format!("edge {index} {what}: {chains:?} ({:?})", status.refused);
        }
        String::new()
    }

    pub(crate) fn check(&mut self) -> Result<(), String> {
        for edge in &self.edges {
            let device = &edge.ledger.device;
            let of = |table| format!("SELECT n, v FROM {table} WHERE device = '{device}'");
            let sql = [0, 1].map(|row| of(table_of(row))).join(" UNION ALL ");
            if let Some(wrong) = edge.ledger.judge(&self.cloud.pairs(&sql)) {
                let here = edge.ledger.judge(&edge.node.pairs(&sql));
                return Err(match here {
                    None => format!("{wrong}; the edge itself has what it must"),
                    Some(here) => format!("{wrong}; at the edge itself: {here}"),
                });
            }
        }
        // Rows of its own that an older cloud has not, edges keep for a minute: a documented limit.
        let same: &[&str] = match self.plan.old_clouds {
            true => &[PRICES],
            false if self.plan.absences => &[PRICES, LIMITS, GOODS],
            false => &[PRICES, LIMITS],
        };
        for sql in same {
            let cloud = self.cloud.pairs(sql);
            for edge in &self.edges {
                let here = edge.node.pairs(sql);
                if here != cloud {
                    let device = &edge.ledger.device;
                    return Err(format!("{sql}: {device} has {here:?}, the cloud {cloud:?}"));
                }
            }
        }
        if self.plan.absences {
            self.check_goods()?;
            self.compare_rows()?;
        }
        self.compare_digests()?;
        self.compare_writers()
    }

    /// Whatever a row came through, the cloud knows it as its writer's.
    fn compare_writers(&self) -> Result<(), String> {
        for edge in self.edges.iter().filter(|edge| edge.is_whole) {
            let node = edge.node.db().node_id();
            let (here, there) = (edge.node.digests(node), self.cloud.digests(node));
            let compared = DigestComparison::new(&here, &there);
            if !compared.equal() {
                let device = &edge.ledger.device;
                return Err(format!(
                    "what {device} wrote differs in the cloud: {compared:?}"
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn compare_digests(&mut self) -> Result<(), String> {
        let asked: Vec<usize> = (0..self.edges.len())
            .filter(|index| self.edges[*index].is_whole && !self.edges[*index].moved)
            .collect();
        for index in &asked {
            if let Some(id) = self.edges[*index].connection {
                self.with_uplink(id, |end| end.verify(1));
            }
        }
        let until = self.now + CALM;
        while asked
            .iter()
            .any(|index| self.edges[*index].verified.is_none())
        {
            if self.now > until {
                return Err("the comparison of digests did not end".to_owned());
            }
            self.step()?;
        }
        let differs = asked
            .iter()
            .find(|index| self.edges[**index].verified == Some(false));
        match differs {
            Some(index) => Err(format!(
                "the digests of edge {index} differ from the cloud's"
            )),
            None => Ok(()),
        }
    }
}
