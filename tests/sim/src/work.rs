//! What nodes do all day: edges write rows of their own and shared ones, the cloud its reference table.

use activestore_sync_proto::{Downlink, Uplink};

use crate::world::{Event, World, table_of};

impl World {
    pub(crate) fn work(&mut self, index: usize) {
        if !self.storms() {
            return;
        }
        for _ in 0..1 + self.rng.below(3) {
            self.write(index);
        }
        self.seal(index);
        self.later(self.plan.work_every, Event::Work(index));
    }

    fn seal(&mut self, index: usize) {
        let edge = &mut self.edges[index];
        // Without space rows stay in the log until there is some.
        let sealed = edge.node.seal().is_ok();
        if let (true, Some(id)) = (sealed, edge.connection) {
            self.with_uplink(id, Uplink::sealed);
        }
        if self.is_gateway(index) {
            let version = self.edges[index].node.db().definitions().version;
            for id in self.ids_above(Some(index)) {
                self.with_downlink(id, Downlink::down_sealed);
                self.with_downlink(id, |end| end.catalog_changed(version));
            }
        }
    }

    /// One statement of an edge: new rows, a change, a delete, or a shared row.
    pub(crate) fn write(&mut self, index: usize) {
        if self.plan.absences && self.rng.one_in(2) {
            return self.write_goods(index);
        }
        let device = self.edges[index].ledger.device.clone();
        let value = self.rng.below(1000) as i64;
        let known = self.edges[index].ledger.known();
        let chosen = known
            .get(self.rng.below(known.len() as u64) as usize)
            .copied();
        let (sql, touched) = match (self.rng.below(8), chosen) {
            // A row that was deleted may come again.
            (0, Some(row)) if !self.edges[index].ledger.is_live(row) => (
                format!(
                    "INSERT INTO {} VALUES ('{device}', {row}, {value})",
                    table_of(row)
                ),
                vec![(row, Some(value))],
            ),
            (0, Some(row)) => (
                format!(
                    "UPDATE {} SET v = {value} WHERE device = '{device}' AND n = {row}",
                    table_of(row)
                ),
                vec![(row, Some(value))],
            ),
            (1, Some(row)) => (
                format!(
                    "DELETE FROM {} WHERE device = '{device}' AND n = {row}",
                    table_of(row)
                ),
                vec![(row, None)],
            ),
            (2, _) => {
                let item = self.rng.below(12);
                let deletes = self.rng.one_in(4);
                let sql = match deletes {
                    true => format!("DELETE FROM shop.prices WHERE item = {item}"),
                    false => format!("INSERT INTO shop.prices VALUES ({item}, {value})"),
                };
                (sql, Vec::new())
            }
            _ => {
                let alarms = i64::from(self.rng.one_in(3));
                let count = 1 + self.rng.below(12) as i64;
                let rows = (self.next_row..self.next_row + count).map(|n| n * 2 + alarms);
                self.next_row += count;
                let rows: Vec<(i64, i64)> = rows.map(|row| (row, value + row)).collect();
                let told = rows
                    .iter()
                    .map(|(row, v)| format!("('{device}', {row}, {v})"));
                let told = told.collect::<Vec<_>>().join(", ");
                (
                    format!("INSERT INTO {} VALUES {told}", table_of(alarms)),
                    rows.into_iter().map(|(row, v)| (row, Some(v))).collect(),
                )
            }
        };
        let edge = &mut self.edges[index];
        // A node that has not been told of its tables yet cannot write.
        if edge.node.db().definitions().tables.is_empty() {
            return;
        }
        let done = edge.node.run(&sql);
        for (row, value) in touched {
            match done {
                Ok(()) => edge.ledger.wrote(row, value),
                Err(_) => edge.ledger.doubts(row, value),
            }
        }
        match done {
            Ok(()) => self.summary.writes += 1,
            Err(error) => {
                assert!(edge.node.space.is_full(), "{sql}: {error}");
                self.summary.refused_writes += 1;
            }
        }
    }

    pub(crate) fn cloud_work(&mut self) {
        if !self.storms() {
            return;
        }
        if self.plan.absences {
            self.clear_goods();
        }
        let (device, value) = (self.rng.below(20), self.rng.below(1000));
        // What only an older cloud wrote is nowhere else.
        let shares = !self.plan.old_clouds;
        let sql = match self.rng.below(5) {
            0 => format!("DELETE FROM ref.limits WHERE device = {device}"),
            1 if shares => format!("DELETE FROM shop.prices WHERE item = {device}"),
            2 if shares => format!("INSERT INTO shop.prices VALUES ({device}, {value})"),
            _ => format!("INSERT INTO ref.limits VALUES ({device}, {value})"),
        };
        self.cloud.run(&sql).unwrap();
        self.later(self.plan.work_every, Event::CloudWork);
    }

    /// What came from elsewhere is looked at too: the stream grows by the rows of edges.
    pub(crate) fn seal_down(&mut self) {
        // Gateways have more to seal than they write.
        let sealing = match self.storms() {
            true => self.plan.gateways,
            false => self.edges.len(),
        };
        for index in 0..sealing {
            self.seal(index);
        }
        self.cloud.seal().unwrap();
        for id in self.ids_above(None) {
            self.with_downlink(id, Downlink::down_sealed);
        }
    }
}
