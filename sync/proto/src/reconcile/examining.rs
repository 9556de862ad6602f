//! What was found to differ within a day, looked at row by row: whether a row is missing, or the other end
//! knows better. A range of rows is judged by a few of them; where one of those has an explanation, all are.
//! Then, if that is wanted, rows and erasures go where they are missing.

use std::collections::VecDeque;

use activestore_types::{Error, Result, TableName};

use super::KEYS_MAX;
use super::cells::{adds, all_after, keep, within};
use super::holdings::{CellAt, Erasure, Holdings, Judgement, KeyAt, View};
use super::question::{Ask, Found, Pick};
use super::range::Missing;
use super::report::{DayReport, Side};

/// Rows by which a range is judged, if none of them has an explanation.
const SAMPLE: usize = 8;
/// Rows of a day that are judged one by one; of more, the rest counts as missing.
const JUDGED_MAX: usize = 1 << 16;
/// Keys that a report names of a day.
const EXAMPLES_MAX: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// The other end judges keys of ours.
    Judge(Vec<KeyAt>),
    /// The other end names keys of its rows.
    Keys(usize),
    /// The other end tells the cells of those of the rows that both show.
    Cells(Vec<KeyAt>, Vec<(KeyAt, Vec<CellAt>)>),
    /// Rows come.
    Rows,
}

/// Rows that are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Work {
    missing: Missing,
    /// What of them is not looked at yet.
    rest: Pick,
    looked_at: u64,
    lacking: u64,
    /// Whether the last that were looked at may have been deleted at the other end, which has forgotten it.
    forgotten: bool,
}

/// The state of one day's examination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Examining {
    table: TableName,
    day: i32,
    repair: bool,
    work: VecDeque<Work>,
    /// Rows that one end lacks, with how many of them do count.
    lacking: Vec<(Missing, u64)>,
    fetching: Option<(Pick, u64)>,
    erased_here: Vec<Erasure>,
    erased_there: Vec<Erasure>,
    judged: usize,
    asked: Asked,
    /// Whether rows of others are looked at: what is missing here is fetched with everything else, and what is
    /// missing there is for them to ship, or has to go here.
    pub(super) others: bool,
    pub(super) report: DayReport,
}

impl Examining {
    pub(super) fn new(
        table: TableName,
        day: i32,
        repair: bool,
        found: Vec<Missing>,
        report: DayReport,
    ) -> Self {
        let work = found.into_iter().map(|missing| Work {
            rest: missing.pick.clone(),
            missing,
            looked_at: 0,
            lacking: 0,
            forgotten: false,
        });
        Examining {
            table,
            day,
            repair,
            work: work.collect(),
            lacking: Vec::new(),
            fetching: None,
            erased_here: Vec::new(),
            erased_there: Vec::new(),
            judged: 0,
            asked: Asked::Nothing,
            others: false,
            report,
        }
    }

    /// The next question; `None` when the day is done.
    pub(super) fn next(&mut self, view: &View, here: &dyn Holdings) -> Result<Option<Ask>> {
        while let Some(work) = self.work.front() {
            let limit = if self.is_sample() { SAMPLE } else { KEYS_MAX };
            // Of rows that may be too old to be shipped the first ones are always judged: the others are newer.
            let is_open = work.missing.side == Side::There && work.looked_at == 0;
            if self.judged >= JUDGED_MAX && !is_open {
                self.close_work(true);
                continue;
            }
            if work.missing.side == Side::Here {
                self.asked = Asked::Keys(limit);
                return Ok(Some(Ask::Keys {
                    table: self.table.clone(),
                    day: self.day,
                    pick: work.rest.clone(),
                    limit: limit as u32,
                }));
            }
            let keys = here.keys(view, &self.table, self.day, &work.rest, limit)?;
            let keys = within(keys);
            if keys.is_empty() {
                self.close_work(false);
                continue;
            }
            self.asked = Asked::Judge(keys.clone());
            return Ok(Some(Ask::Judge {
                table: self.table.clone(),
                keys,
            }));
        }
        if self.repair {
            return self.mend(view, here);
        }
        Ok(None)
    }

    /// The rows at the front are looked at; with `rest`, what is left of them counts as missing.
    fn close_work(&mut self, rest: bool) {
        let Some(mut work) = self.work.pop_front() else {
            return;
        };
        let unseen = work.missing.rows.saturating_sub(work.looked_at);
        let mut unseen = if rest { unseen } else { 0 };
        if unseen > 0 && work.missing.side == Side::There && work.forgotten {
            // How many of them are too old nobody has looked at.
            self.report.undecided += unseen;
            work.missing.pick.high = work.rest.low;
            unseen = 0;
        }
        let lacking = work.lacking + unseen;
        match work.missing.side {
            Side::Here => self.report.missing_here += unseen,
            Side::There => self.report.missing_there += unseen,
        }
        if lacking > 0 {
            self.lacking.push((work.missing, lacking));
        }
    }

    /// So many rows of the front were looked at; where the sample of a range has no explanation, that is enough.
    fn advance(&mut self, keys: &[KeyAt], sampled: bool) {
        self.judged += keys.len();
        let Some(work) = self.work.front_mut() else {
            return;
        };
        work.looked_at += keys.len() as u64;
        match keys.iter().map(|key| key.hlc.0).max() {
            Some(last) if !sampled && work.looked_at < work.missing.rows => {
                work.rest.low = last.saturating_add(1);
            }
            _ => self.close_work(sampled),
        }
    }

    fn example(&mut self, side: Side, key: &[u8]) {
        if self.report.examples.len() < EXAMPLES_MAX {
            self.report.examples.push((side, key.to_vec()));
        }
    }

    fn lacks(&mut self, side: Side, key: &[u8]) {
        match side {
            Side::Here => self.report.missing_here += 1,
            Side::There => self.report.missing_there += 1,
        }
        if let Some(work) = self.work.front_mut() {
            work.lacking += 1;
        }
        self.example(side, key);
    }

    /// Takes the answer to the last question.
    pub(super) fn answered(
        &mut self,
        view: &View,
        here: &dyn Holdings,
        found: Found,
    ) -> Result<Option<Ask>> {
        match (std::mem::replace(&mut self.asked, Asked::Nothing), found) {
            (Asked::Judge(keys), Found::Judged(all)) if keys.len() == all.len() => {
                self.judged_there(view, here, &keys, all)?;
            }
            (Asked::Keys(limit), Found::Keys(keys)) if keys.len() <= limit => {
                return self.judge_here(view, here, keys);
            }
            (Asked::Cells(keys, ours), Found::Judged(all)) if ours.len() == all.len() => {
                for ((key, ours), theirs) in ours.into_iter().zip(all) {
                    match theirs {
                        Judgement::Cells(theirs) if !adds(&theirs, &ours) => {
                            self.report.overruled += 1;
                        }
                        // The other way round.
                        Judgement::Erased(erased) if all_after(&ours, &erased) => {
                            self.report.overruled += 1;
                        }
                        _ => self.lacks(Side::Here, &key.key),
                    }
                }
                self.advance(&keys, false);
            }
            (
                Asked::Rows,
                Found::Rows {
                    payload,
                    rows,
                    next,
                },
            ) => {
                self.taken(view, here, &payload, rows, next)?;
            }
            _ => return Err(Error::invalid("the answer is to another question")),
        }
        Ok(None)
    }

    /// The other end judged rows that it seems to lack.
    fn judged_there(
        &mut self,
        view: &View,
        here: &dyn Holdings,
        keys: &[KeyAt],
        all: Vec<Judgement>,
    ) -> Result<()> {
        let all_unknown = all.iter().all(|one| *one == Judgement::Unknown);
        for (key, judgement) in keys.iter().zip(all) {
            match judgement {
                Judgement::Unknown => self.lacks(Side::There, &key.key),
                // It may have been deleted there: it would be set aside, and then be deleted here too. They are in the
                // order of stamps, and what is as old is not shipped.
                Judgement::Forgotten => {
                    self.report.undecided += 1;
                    self.example(Side::There, &key.key);
                    if let Some(work) = self.work.front_mut() {
                        work.forgotten = true;
                        work.missing.pick.low = key.hlc.0.saturating_add(1);
                    }
                }
                Judgement::Overruled => self.report.overruled += 1,
                Judgement::Erased(erasure) => {
                    self.report.erasures_missing_here += 1;
                    self.example(Side::Here, &key.key);
                    keep(&mut self.erased_here, erasure);
                }
                Judgement::Cells(theirs) => {
                    let one = std::slice::from_ref(key);
                    let ours = here.judge(view, &self.table, one)?.pop();
                    match ours {
                        Some(Judgement::Cells(ours)) if !adds(&ours, &theirs) => {
                            self.report.overruled += 1;
                        }
                        // A delete here, and somebody wrote the row anew there.
                        Some(Judgement::Erased(erased)) if all_after(&theirs, &erased) => {
                            self.report.overruled += 1;
                        }
                        _ => self.lacks(Side::There, &key.key),
                    }
                }
            }
        }
        let sampled = all_unknown && self.is_sample();
        self.advance(keys, sampled);
        Ok(())
    }

    /// The other end named rows that this one seems to lack.
    fn judge_here(
        &mut self,
        view: &View,
        here: &dyn Holdings,
        keys: Vec<KeyAt>,
    ) -> Result<Option<Ask>> {
        let all = here.judge(view, &self.table, &keys)?;
        let all_unknown = all.iter().all(|one| *one == Judgement::Unknown);
        let mut shown = Vec::new();
        for (key, judgement) in keys.iter().zip(all) {
            match judgement {
                Judgement::Unknown => self.lacks(Side::Here, &key.key),
                Judgement::Overruled => self.report.overruled += 1,
                Judgement::Erased(erasure) => {
                    self.report.erasures_missing_there += 1;
                    self.example(Side::There, &key.key);
                    keep(&mut self.erased_there, erasure);
                }
                Judgement::Forgotten => {
                    self.report.undecided += 1;
                    self.example(Side::Here, &key.key);
                }
                Judgement::Cells(ours) => shown.push((key.clone(), ours)),
            }
        }
        if shown.is_empty() {
            let sampled = all_unknown && self.is_sample();
            self.advance(&keys, sampled);
            return Ok(None);
        }
        // The work stays at the front until the cells are known.
        let ask = shown.iter().map(|(key, _)| key.clone()).collect();
        self.asked = Asked::Cells(keys, shown);
        Ok(Some(Ask::Judge {
            table: self.table.clone(),
            keys: ask,
        }))
    }

    /// Whether the next rows of the front stand for their whole range.
    fn is_sample(&self) -> bool {
        let work = self.work.front();
        work.is_some_and(|work| work.rest.all_but && work.looked_at == 0)
    }

    /// The next step of the repair.
    fn mend(&mut self, view: &View, here: &dyn Holdings) -> Result<Option<Ask>> {
        if let Some((pick, _)) = &self.fetching {
            let ask = Ask::Rows {
                table: self.table.clone(),
                day: self.day,
                pick: pick.clone(),
            };
            self.asked = Asked::Rows;
            return Ok(Some(ask));
        }
        while let Some((missing, rows)) = self.lacking.pop() {
            if self.others {
                self.report.mended_here += rows;
                continue;
            }
            if missing.side == Side::Here {
                if !here.takes_back() {
                    continue;
                }
                self.fetching = Some((missing.pick, rows));
                return self.mend(view, here);
            }
            let shipped = here.ship(view, &self.table, self.day, &missing.pick)?;
            self.report.mended_there += rows.min(shipped);
        }
        if !self.erased_here.is_empty() && here.takes_back() {
            here.take_erased(view, &self.table, &self.erased_here)?;
            self.erased_here.clear();
            self.report.mended_here += self.report.erasures_missing_here;
        }
        if !self.erased_there.is_empty() {
            here.ship_erased(view, &self.table, &self.erased_there)?;
            self.erased_there.clear();
            self.report.mended_there += self.report.erasures_missing_there;
        }
        Ok(None)
    }

    fn taken(
        &mut self,
        view: &View,
        here: &dyn Holdings,
        payload: &[u8],
        rows: u64,
        next: Option<u64>,
    ) -> Result<()> {
        let Some((pick, lacking)) = &mut self.fetching else {
            return Err(Error::invalid("rows came that nobody asked for"));
        };
        if rows > 0 {
            here.take(view, payload)?;
        }
        match next {
            Some(next) if next > pick.low && next < pick.high => pick.low = next,
            Some(_) => return Err(Error::invalid("rows to repair with go round in circles")),
            None => {
                self.report.mended_here += *lacking;
                self.fetching = None;
            }
        }
        Ok(())
    }
}
