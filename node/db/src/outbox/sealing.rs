//! The two passes over the log. One takes everything that is not sealed yet; the other goes ahead of it and takes
//! urgent rows alone, which the first then leaves out, so that an alarm neither waits for a live segment
//! nor cuts it short. Which tables are urgent changes only where both have come to one place.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use activestore_catalog::Sharing;
use activestore_store::LogRecord;
use activestore_types::{
    Lsn, NodeId, Result, RowBatch, SyncClass, TableId, TableName, TableSchema,
};

use super::chain::{Payload, Sealed, Standing};
use super::filter::{Passed, deletes_of};
use super::let_go::Gone;
use super::limit::only_erases;
use super::origins::Naming;
use super::packing::Packing;
use super::waking::urgent_tables;
use super::{LOG_STEP_BYTES, Shared};

/// Payloads by class, what stayed here of filtered tables, and what there was no room for.
type Packed = (Vec<(SyncClass, Payload)>, Passed, BTreeMap<TableName, Gone>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    All,
    Urgent,
}

impl Pass {
    fn from(self, standing: &Standing) -> Lsn {
        match self {
            Pass::All => standing.cursor,
            Pass::Urgent => standing.urgent,
        }
    }

    fn sealed(self, next: Lsn) -> Sealed {
        match self {
            Pass::All => Sealed::All(next),
            Pass::Urgent => Sealed::Urgent(next),
        }
    }

    /// Whether it takes rows of that class of the record `lsn`.
    fn takes(self, class: SyncClass, lsn: Lsn, standing: &Standing) -> bool {
        match self {
            Pass::All => !class.is_urgent() || lsn >= standing.urgent,
            Pass::Urgent => class.is_urgent(),
        }
    }
}

impl Shared {
    /// Seals every committed record that is not sealed yet.
    pub(super) fn seal_all(&self) -> Result<()> {
        let _sealing = self.sealing.lock();
        self.seal_committed()
    }

    /// The same, for who holds `sealing`.
    pub(super) fn seal_committed(&self) -> Result<()> {
        self.mind_classes()?;
        self.pass(Pass::All)
    }

    /// Seals urgent rows that are not sealed yet.
    pub(super) fn seal_urgent(&self) -> Result<()> {
        let _sealing = self.sealing.lock();
        self.mind_classes()?;
        self.pass(Pass::Urgent)
    }

    /// The tables whose rows are urgent.
    fn urgent_tables(&self) -> BTreeMap<TableId, SyncClass> {
        if !self.lanes.load(Ordering::Acquire) {
            return BTreeMap::new();
        }
        urgent_tables(&self.catalog.state())
    }

    /// Takes over what is urgent now, after everything is sealed under what was urgent before.
    fn mind_classes(&self) -> Result<()> {
        let urgent = self.urgent_tables();
        if self.queue.standing().classes == urgent {
            return Ok(());
        }
        self.pass(Pass::All)?;
        self.queue.take_classes(urgent)
    }

    fn pass(&self, pass: Pass) -> Result<()> {
        loop {
            let standing = self.queue.standing();
            // A cursor that was moved over records with nothing to ship is not synced, and the log gives
            // them back all the same: after a crash it stands before the log's first record.
            let from = pass.from(&standing).max(self.store.first_log_lsn());
            let newest = self.store.last_lsn();
            let records = self.store.log(from, LOG_STEP_BYTES)?;
            let Some(last) = records.last() else {
                // Numbers without a record (a clean stop leaves one) hold nothing to ship.
                if newest >= from {
                    self.queue.skip(pass.sealed(Lsn(newest.0 + 1)))?;
                    self.hold_log();
                }
                return Ok(());
            };
            let _in_span = tracing::debug_span!("seal", records = records.len()).entered();
            let sealed = pass.sealed(Lsn(last.lsn.0 + 1));
            let full = self.is_full();
            let (payloads, passed, gone) = self.pack(&records, &standing, pass, full)?;
            if !gone.is_empty() {
                self.tell_of_passing_over(&gone);
            }
            if payloads.is_empty() && gone.is_empty() {
                self.queue.skip(sealed)?;
            } else {
                self.queue.append_all_but(gone, payloads, sealed)?;
                self.marks.sealed(&self.queue.standing());
                if let Some(waker) = self.waker.lock().as_ref() {
                    waker();
                }
            }
            self.filters.count(passed);
            self.hold_log();
            self.mind_limit();
        }
    }

    /// Whether rows of the table are shipped here.
    fn takes(&self, schema: &TableSchema) -> bool {
        self.direction.takes(schema.sync) && self.addressee.takes(&schema.name)
    }

    fn hold_log(&self) {
        self.hold
            .hold(&self.addressee.follower, Some(self.queue.cursor()));
    }

    /// What the pass takes of the records, as segment payloads by class. Rows of tables of which not everything
    /// leaves come together first and pass their filter; what stayed here of them is told beside. In an outbox that is
    /// `full` only what erases goes; the rest is counted.
    fn pack(
        &self,
        records: &[LogRecord],
        standing: &Standing,
        pass: Pass,
        full: bool,
    ) -> Result<Packed> {
        let state = self.catalog.state();
        let shippable = |table| state.table_by_id(table).filter(|schema| self.takes(schema));
        let class_of = |table: TableId| standing.classes.get(&table).copied().unwrap_or_default();
        let node_of = |origin| self.store.origin_node(origin);
        let naming = |via| Naming {
            definitions: state.version,
            node_of: &node_of,
            covered: None,
            via,
        };
        // Rows that took one way up to here travel on together, so that who gets them knows of every row whether
        // it has passed there before.
        let mut ways: BTreeMap<Vec<NodeId>, Naming<'_>> = BTreeMap::new();
        for record in records {
            let via = self.direction.way_of(record)?;
            ways.entry(via.clone())
                .or_insert_with(|| naming(self.direction.is_up().then_some(via)));
        }
        let mut packings: BTreeMap<(SyncClass, Vec<NodeId>), Packing<'_>> = BTreeMap::new();
        let mut filtered: BTreeMap<TableId, Vec<&RowBatch>> = BTreeMap::new();
        let mut gone: BTreeMap<TableName, Gone> = BTreeMap::new();
        for record in records {
            let via = self.direction.way_of(record)?;
            let fresh = || Packing::new(ways.get(&via));
            for batch in self.direction.rows_of(record) {
                let class = class_of(batch.table);
                if !pass.takes(class, record.lsn, standing) {
                    continue;
                }
                let Some(schema) = shippable(batch.table) else {
                    continue;
                };
                if full && !only_erases(batch) {
                    let mut lost = Gone::of(batch);
                    // What came through a gateway has deletes among its rows, and for those there is always room.
                    if let Some(deletes) = deletes_of(batch)? {
                        lost.rows = lost.rows.saturating_sub(deletes.rows as u64);
                        let packing = packings.entry((class, via.clone())).or_insert_with(fresh);
                        packing.rows(&self.store, schema, &deletes)?;
                    }
                    gone.entry(schema.name.clone()).or_default().add(lost);
                    continue;
                }
                let sharing = state.sharing.get(&schema.name);
                if self.direction.filters(batch) && sharing.is_some_and(Sharing::holds_back) {
                    filtered.entry(schema.id).or_default().push(batch);
                } else {
                    let packing = packings.entry((class, via.clone())).or_insert_with(fresh);
                    packing.rows(&self.store, schema, batch)?;
                }
            }
            for range in self.direction.ranges_of(record) {
                let class = class_of(range.table);
                if pass.takes(class, record.lsn, standing)
                    && let Some(schema) = shippable(range.table)
                {
                    let packing = packings.entry((class, via.clone())).or_insert_with(fresh);
                    packing.range(schema, range)?;
                }
            }
        }
        let mut passed = Passed::new();
        for (table, batches) in filtered {
            if let Some(schema) = shippable(table)
                && let Some(sharing) = state.sharing.get(&schema.name)
            {
                let (leaving, held) = self.filters.leaving(schema, sharing, &batches)?;
                for batch in &leaving {
                    // Only this node's own rows are filtered here.
                    let packing = packings
                        .entry((class_of(table), Vec::new()))
                        .or_insert_with(|| Packing::new(ways.get(&Vec::new())));
                    packing.rows(&self.store, schema, batch)?;
                }
                passed.push((schema.name.clone(), held));
            }
        }
        let mut payloads = Vec::new();
        for ((class, _), packing) in packings {
            let packed = packing.finish()?.into_iter();
            payloads.extend(packed.map(|payload| (class, payload)));
        }
        gone.values_mut().for_each(|gone| gone.times = 1);
        Ok((payloads, passed, gone))
    }
}
