//! Rows in a map, as one end holds them, and two ends that talk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use activestore_types::{Hlc, NodeId, Result, TableName};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::reconcile::*;
use crate::{Frame, decode as decode_frame, encode as encode_frame};

/// A row: its key, its stamp and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) key: u64,
    pub(crate) hlc: u64,
    pub(crate) value: u64,
}

impl Row {
    fn hash(&self) -> u128 {
        u128::from(self.value) << 64
            | u128::from(self.key.wrapping_mul(31) ^ self.hlc.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn day(&self) -> i32 {
        (self.hlc / DAY) as i32
    }
}

/// Stamps of a day.
pub(crate) const DAY: u64 = 86_400_000 << 16;

/// Rows, and deletes as key and stamp.
type Sent = (Vec<Row>, Vec<(u64, u64)>);

/// One end.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) rows: Mutex<BTreeMap<u64, Row>>,
    /// Keys that were erased, with the stamp.
    pub(crate) erased: Mutex<BTreeMap<u64, u64>>,
    /// What is on its way to the other end.
    pub(crate) sent: Mutex<Sent>,
    pub(crate) evicted: Option<i64>,
    /// Rows that fit into memory.
    pub(crate) items_max: usize,
    pub(crate) outcome: Mutex<Option<Outcome>>,
}

pub(crate) fn table() -> TableName {
    TableName::new("plant", "readings")
}

impl Model {
    pub(crate) fn of(rows: impl IntoIterator<Item = Row>) -> Model {
        Model {
            rows: Mutex::new(rows.into_iter().map(|row| (row.key, row)).collect()),
            items_max: ITEMS_MAX,
            ..Model::default()
        }
    }

    pub(crate) fn insert(&self, row: Row) {
        let erased = self.erased.lock().get(&row.key).copied();
        if erased.is_some_and(|erased| erased >= row.hlc) {
            return;
        }
        let mut rows = self.rows.lock();
        let known = rows.entry(row.key).or_insert(row);
        if known.hlc < row.hlc {
            *known = row;
        }
    }

    pub(crate) fn erase(&self, key: u64, hlc: u64) {
        self.erased.lock().insert(key, hlc);
        let mut rows = self.rows.lock();
        if rows.get(&key).is_some_and(|row| row.hlc <= hlc) {
            rows.remove(&key);
        }
    }

    fn day_rows(&self, view: &View, day: i32) -> Vec<Row> {
        let rows = self.rows.lock();
        let seen = rows.values().filter(|row| row.hlc <= view.as_of.0);
        seen.filter(|row| row.day() == day).copied().collect()
    }

    fn picked(&self, view: &View, day: i32, pick: &Pick) -> Vec<Row> {
        let mut rows = self.day_rows(view, day);
        rows.retain(|row| pick.takes(row.hlc, keyed(view.seed, row.hash()) as u64));
        rows.sort_by_key(|row| row.hlc);
        rows
    }

    /// What was sent arrives.
    pub(crate) fn deliver(&self, to: &Model) {
        let (rows, erased) = std::mem::take(&mut *self.sent.lock());
        for row in rows {
            to.insert(row);
        }
        for (key, hlc) in erased {
            to.erase(key, hlc);
        }
    }
}

fn key_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().unwrap())
}

impl Holdings for Model {
    fn tables(&self, view: &View) -> Result<Vec<(TableName, Sum)>> {
        let mut sum = Sum::default();
        for (_, day) in self.days(view, &table())? {
            sum.add(&day);
        }
        Ok(vec![(table(), sum)])
    }

    fn compares(&self, _: &TableName) -> bool {
        true
    }

    fn evicted(&self) -> Vec<(TableName, i64)> {
        self.evicted
            .iter()
            .map(|before| (table(), *before))
            .collect()
    }

    fn days(&self, view: &View, name: &TableName) -> Result<Vec<(i32, Sum)>> {
        let before = view.evicted_before(name).unwrap_or(i64::MIN);
        let mut days: BTreeMap<i32, Sum> = BTreeMap::new();
        for row in self.rows.lock().values() {
            if row.hlc <= view.as_of.0 && i64::from(row.day()) >= before {
                days.entry(row.day()).or_default().push(row.hash());
            }
        }
        Ok(days.into_iter().collect())
    }

    fn sums(
        &self,
        view: &View,
        _: &TableName,
        day: i32,
        ranges: &[(u64, u64)],
    ) -> Result<Vec<Sum>> {
        let rows = self.day_rows(view, day);
        let numbered = rows
            .iter()
            .map(|row| (row.hlc, keyed(view.seed, row.hash())));
        let items = Items::new(numbered.collect());
        Ok(ranges
            .iter()
            .map(|(low, high)| items.sum(*low, *high))
            .collect())
    }

    fn rows_of(&self, view: &View, _: &TableName, day: i32, range: (u64, u64)) -> Result<Held> {
        let mut rows = self.day_rows(view, day);
        rows.retain(|row| row.hlc >= range.0 && (range.1 == u64::MAX || row.hlc < range.1));
        if rows.len() > self.items_max {
            let mut places: Vec<u64> = rows.iter().map(|row| row.hlc).collect();
            places.sort_unstable();
            return Ok(Held::Parts(cuts(&places, FAN_OUT)));
        }
        let numbered = rows
            .iter()
            .map(|row| (row.hlc, keyed(view.seed, row.hash())));
        Ok(Held::Rows(Arc::new(Items::new(numbered.collect()))))
    }

    fn keys(
        &self,
        view: &View,
        _: &TableName,
        day: i32,
        pick: &Pick,
        limit: usize,
    ) -> Result<Vec<KeyAt>> {
        let rows = self.picked(view, day, pick).into_iter().take(limit);
        Ok(rows
            .map(|row| KeyAt {
                // As long as a device and a time are.
                key: [&row.key.to_be_bytes()[..], b"0123456789"].concat(),
                hlc: Hlc(row.hlc),
            })
            .collect())
    }

    fn judge(&self, view: &View, _: &TableName, keys: &[KeyAt]) -> Result<Vec<Judgement>> {
        let rows = self.rows.lock();
        let erased = self.erased.lock();
        let judged = keys.iter().map(|at| {
            let key = key_of(&at.key);
            let newest = rows.get(&key).map(|row| row.hlc);
            if newest.max(erased.get(&key).copied()) > Some(view.as_of.0) {
                return Judgement::Overruled;
            }
            if let Some(hlc) = erased.get(&key).filter(|hlc| **hlc >= at.hlc.0) {
                return Judgement::Erased(Erasure {
                    start: key.to_be_bytes().to_vec(),
                    end: [&key.to_be_bytes()[..], &[0]].concat(),
                    hlc: Hlc(*hlc),
                });
            }
            newest.map_or(Judgement::Unknown, |hlc| {
                Judgement::Cells(vec![CellAt {
                    column: 1,
                    hlc: Hlc(hlc),
                    own: true,
                }])
            })
        });
        Ok(judged.collect())
    }

    fn rows(
        &self,
        view: &View,
        _: &TableName,
        day: i32,
        pick: &Pick,
    ) -> Result<(Bytes, u64, Option<u64>)> {
        let rows = self.picked(view, day, pick);
        let piece: Vec<(u64, u64, u64)> = rows
            .iter()
            .take(1000)
            .map(|row| (row.key, row.hlc, row.value))
            .collect();
        let payload = postcard::to_stdvec(&piece).unwrap();
        let next = rows.get(1000).map(|row| row.hlc);
        Ok((payload.into(), piece.len() as u64, next))
    }

    fn others(&self, _: &View) -> Option<View> {
        None
    }

    fn below(&self, _: &View, _: Option<NodeId>) -> Option<View> {
        None
    }

    fn tells(&self, _: &View) -> bool {
        true
    }

    fn unfollowed(&self, _: &View) -> u64 {
        0
    }

    fn fetch_anew(&self) -> Result<()> {
        unreachable!("nothing flows down here")
    }

    fn deletes_from(&self) -> Hlc {
        Hlc::ZERO
    }

    fn begin(&self, _: bool) -> Result<Option<Start>> {
        Ok(Some(Start {
            view: View {
                writer: NodeId([1; 16]),
                as_of: Hlc(u64::MAX - 1),
                now_ms: 1_767_225_600_000,
                seed: 0x1234_5678_9abc_def1,
                evicted: Vec::new(),
                deletes_from: Hlc::ZERO,
                whose: Whose::Own,
            },
            at_ms: 1_767_225_600_000,
            mark: Vec::new(),
        }))
    }

    fn waiting(&self, _: &Start) -> Result<u64> {
        Ok(0)
    }

    fn take(&self, _: &View, payload: &[u8]) -> Result<u64> {
        let rows: Vec<(u64, u64, u64)> = postcard::from_bytes(payload).unwrap();
        for (key, hlc, value) in &rows {
            self.insert(Row {
                key: *key,
                hlc: *hlc,
                value: *value,
            });
        }
        Ok(rows.len() as u64)
    }

    fn take_erased(&self, _: &View, _: &TableName, erased: &[Erasure]) -> Result<()> {
        for one in erased {
            self.erase(key_of(&one.start), one.hlc.0);
        }
        Ok(())
    }

    fn ship(&self, view: &View, _: &TableName, day: i32, pick: &Pick) -> Result<u64> {
        let rows = self.picked(view, day, pick);
        self.sent.lock().0.extend(&rows);
        Ok(rows.len() as u64)
    }

    fn ship_erased(&self, _: &View, _: &TableName, erased: &[Erasure]) -> Result<()> {
        let keys = erased.iter().map(|one| (key_of(&one.start), one.hlc.0));
        self.sent.lock().1.extend(keys);
        Ok(())
    }

    fn compared(&self, _: NodeId, outcome: &Outcome) {
        *self.outcome.lock() = Some(*outcome);
    }
}

/// Bytes that crossed the wire, both ways, by what they were for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// To find out which rows differ.
    pub(crate) finding: usize,
    /// To name and judge them.
    pub(crate) judging: usize,
    /// The rows.
    pub(crate) rows: usize,
}

/// A whole comparison, every frame through its bytes.
pub(crate) fn compare(here: &Model, there: &Model, repair: bool) -> Result<(Report, Traffic)> {
    let mut comparing = Comparing::new(Wish {
        repair,
        scheduled: false,
    });
    let mut traffic = Traffic::default();
    let mut answered = None;
    loop {
        let question = match comparing.step(here, answered.take())? {
            Step::Ask(question) => question,
            Step::Wait(_) => continue,
            Step::Done(report) => return Ok((*report.unwrap(), traffic)),
        };
        let count = match question.ask {
            Ask::Keys { .. } | Ask::Judge { .. } => &mut traffic.judging,
            Ask::Rows { .. } => &mut traffic.rows,
            _ => &mut traffic.finding,
        };
        let sent = encode_frame(&Frame::Question(Box::new(question))).unwrap();
        let Frame::Question(question) = decode_frame(&sent).unwrap() else {
            panic!("a question became another frame");
        };
        let back = encode_frame(&Frame::Answer(answer(&question, there))).unwrap();
        *count += sent.len() + back.len();
        let Frame::Answer(back) = decode_frame(&back)? else {
            panic!("an answer became another frame");
        };
        answered = Some(back.found);
    }
}

/// The keys of one that the other does not hold just so.
pub(crate) fn lacking(of: &Model, other: &Model) -> BTreeSet<u64> {
    let other = other.rows.lock();
    let rows = of.rows.lock();
    let lacking = rows.values().filter(|row| other.get(&row.key) != Some(row));
    lacking.map(|row| row.key).collect()
}

/// So many rows of one day, a hundred a second, of so many machines.
pub(crate) fn readings(rows: u64, machines: u64) -> impl Iterator<Item = Row> {
    (0..rows).map(move |number| Row {
        // In the order of keys machine by machine.
        key: ((number % machines) << 40) | (number / machines),
        hlc: 20_000 * DAY + ((number * 10) << 16) + number % 7,
        value: number.wrapping_mul(0x2545_f491_4f6c_dd1d),
    })
}
