//! The database as a comparison with another node sees it: which tables both have, and what ships to that node.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use activestore_sync_proto::reconcile::{
    Erasure, Held, Holdings, Judgement, KeyAt, Outcome, Pick, Start, Sum, View, Whose,
};
use activestore_types::{Hlc, Lsn, NodeId, Result, TableName, TableSchema};
use bytes::Bytes;

use super::{Awaited, EXPIRY_MARGIN_MS, OUTCOME_NOTE, Settling};
use crate::clouds::Further;
use crate::db::Inner;
use crate::events::Kind;
use crate::outbox::{News, Sealer};
use crate::write::gates::Way;

/// The database as comparisons see it.
pub(crate) struct Mirror {
    pub(crate) inner: Arc<Inner>,
    /// The further cloud that it is compared with.
    pub(crate) further: Option<Arc<Further>>,
}

impl Mirror {
    /// What ships to the node that this one is compared with.
    pub(super) fn outbox(&self) -> Option<&Arc<Sealer>> {
        match &self.further {
            Some(further) => Some(&further.outbox),
            None => self.inner.outbox.as_ref(),
        }
    }

    fn settling(&self) -> &Settling {
        match &self.further {
            Some(further) => &further.settling,
            None => &self.inner.reconcile.settling,
        }
    }

    /// The tables that the other end has of this one.
    fn shared(&self, whose: Whose) -> Vec<Arc<TableSchema>> {
        let mut tables = self.inner.compared_tables(whose);
        if let Some(further) = &self.further {
            tables.retain(|schema| further.outbox.addressee().takes(&schema.name));
        }
        tables
    }
}

impl Holdings for Mirror {
    fn tables(&self, view: &View) -> Result<Vec<(TableName, Sum)>> {
        let mut all = Vec::new();
        for schema in self.shared(view.whose) {
            let mut sum = Sum::default();
            for (_, day) in self.inner.days_of(view, &schema)? {
                sum.add(&day);
            }
            if sum.rows > 0 {
                all.push((schema.name.clone(), sum));
            }
        }
        Ok(all)
    }

    fn takes_back(&self) -> bool {
        // Nothing comes down from a further cloud.
        self.further.is_none()
    }

    fn compares(&self, table: &TableName) -> bool {
        match &self.further {
            Some(_) => self
                .shared(Whose::Own)
                .iter()
                .any(|schema| schema.name == *table),
            None => [Whose::Own, Whose::Others]
                .into_iter()
                .any(|whose| self.inner.compared_table(whose, table).is_ok()),
        }
    }

    fn evicted(&self) -> Vec<(TableName, i64)> {
        let tables = self.shared(Whose::Own).into_iter();
        let evicted = tables.filter_map(|schema| {
            let before = self.inner.evicted_rows(&schema)?.before_ns?;
            Some((schema.name.clone(), before))
        });
        evicted.collect()
    }

    fn deletes_from(&self) -> Hlc {
        self.inner.horizons().newest()
    }

    fn others(&self, view: &View) -> Option<View> {
        // Nothing comes down from a further cloud.
        let own = self.further.is_none();
        own.then(|| self.inner.view_of_others(view)).flatten()
    }

    fn below(&self, own: &View, after: Option<NodeId>) -> Option<View> {
        self.inner.view_below(own, after)
    }

    fn tells(&self, view: &View) -> bool {
        self.inner.tells(view)
    }

    fn unfollowed(&self, view: &View) -> u64 {
        self.inner.unfollowed(view)
    }

    fn fetch_anew(&self) -> Result<()> {
        self.inner.forget_place()
    }

    fn days(&self, view: &View, table: &TableName) -> Result<Vec<(i32, Sum)>> {
        let schema = self.inner.compared_table(view.whose, table)?;
        self.inner.days_of(view, &schema)
    }

    fn sums(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        ranges: &[(u64, u64)],
    ) -> Result<Vec<Sum>> {
        self.inner.range_sums(view, table, day, ranges)
    }

    fn rows_of(&self, view: &View, table: &TableName, day: i32, range: (u64, u64)) -> Result<Held> {
        self.inner.load(view, table, day, range)
    }

    fn keys(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
        limit: usize,
    ) -> Result<Vec<KeyAt>> {
        self.inner.picked_keys(view, table, day, pick, limit)
    }

    fn judge(&self, view: &View, table: &TableName, keys: &[KeyAt]) -> Result<Vec<Judgement>> {
        self.inner.judge(view, table, keys)
    }

    fn rows(
        &self,
        view: &View,
        table: &TableName,
        day: i32,
        pick: &Pick,
    ) -> Result<(Bytes, u64, Option<u64>)> {
        self.inner.rows_to_send(view, table, day, pick)
    }

    fn begin(&self, scheduled: bool) -> Result<Option<Start>> {
        let inner = &self.inner;
        // With a further cloud, somebody asks.
        if scheduled && (self.further.is_some() || !inner.comparison_due()) {
            return Ok(None);
        }
        let tables = self.shared(Whose::Own);
        let gates = tables.iter().map(|schema| (schema.id, Way::Alone));
        let (as_of, mark) = {
            // Alone for a moment: every stamp up to the last one is committed then.
            let _alone = inner.gates.pass_blocking(gates.collect());
            // As of now, not of the last write: what was written since may be lost.
            let now = inner.clock.reserve(inner.wall_ms(), 1);
            (now, inner.store.last_lsn())
        };
        *self.settling().lock() = Some((mark, None));
        inner.wake_sealers(News::default());
        let moment = inner.wall_ms() / EXPIRY_MARGIN_MS + 2;
        Ok(Some(Start {
            view: View {
                writer: inner.node,
                as_of,
                now_ms: moment * EXPIRY_MARGIN_MS,
                seed: inner.env.rng.next_u64(),
                evicted: Vec::new(),
                deletes_from: Hlc::ZERO,
                whose: Whose::Own,
            },
            at_ms: inner.wall_ms(),
            mark: mark.0.to_le_bytes().to_vec(),
        }))
    }

    fn waiting(&self, start: &Start) -> Result<u64> {
        let Some(outbox) = self.outbox() else {
            return Ok(0);
        };
        let standing = outbox.standing();
        let mut settling = self.settling().lock();
        let mark = <[u8; 8]>::try_from(start.mark.as_slice())
            .map_or(Lsn(0), |bytes| Lsn(u64::from_le_bytes(bytes)));
        let (lsn, awaited) = settling.get_or_insert((mark, None));
        if standing.cursor <= *lsn {
            return Ok(1 + standing.waiting());
        }
        // Where a chain began anew, all that is sealed now is waited for.
        let current = awaited.take();
        let current = current.filter(|awaited| awaited.generation == standing.generation);
        let current = current.unwrap_or_else(|| Awaited::of(&standing));
        let left = standing.left_of(&current.last);
        *awaited = Some(current);
        Ok(left)
    }

    fn take(&self, view: &View, payload: &[u8]) -> Result<u64> {
        self.inner.take_back(view, payload)
    }

    fn take_erased(&self, view: &View, table: &TableName, erased: &[Erasure]) -> Result<()> {
        self.inner.take_back_erased(view, table, erased)
    }

    fn ship(&self, view: &View, table: &TableName, day: i32, pick: &Pick) -> Result<u64> {
        self.ship_again(view, table, day, pick)
    }

    fn ship_erased(&self, view: &View, table: &TableName, erased: &[Erasure]) -> Result<()> {
        self.ship_erased_again(view, table, erased)
    }

    fn compared(&self, writer: NodeId, outcome: &Outcome) {
        let inner = &self.inner;
        inner.reconcile.comparisons.fetch_add(1, Ordering::Relaxed);
        // What the comparison held is not needed any more.
        *inner.reconcile.loaded.lock() = None;
        let text = format!(
            "{} rows differed, {} were mended; {} segments had not arrived",
            outcome.differences,
            outcome.mended_here.saturating_add(outcome.mended_there),
            outcome.behind
        );
        if let Some(further) = &self.further {
            let with = further.outbox.addressee().for_people();
            let text = format!("with {with}: {text}");
            inner.events.tell(Kind::Compared, Some(writer), text);
            *further.outcome.lock() = Some(*outcome);
            return;
        }
        inner.events.tell(Kind::Compared, Some(writer), text);
        let mut outcomes = inner.reconcile.outcomes.lock();
        outcomes.insert(writer, *outcome);
        drop(outcomes);
        if writer == inner.node {
            *inner.reconcile.jitter.lock() = None;
            if let Ok(value) = postcard::to_stdvec(outcome) {
                inner.keep_note(OUTCOME_NOTE, value);
            }
        }
        if outcome.left() > 0 && outcome.behind == 0 {
            tracing::warn!(
                %writer,
                differences = outcome.differences,
                "rows differ between this node and another; activestore sync verify --repair mends them"
            );
        }
    }
}
