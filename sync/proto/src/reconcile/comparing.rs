//! The end that asks: from keyspaces to tables to days to rows, one question after the other. It is data;
//! whoever drives it runs its steps where they may block, and may drop it at any time.

use std::collections::VecDeque;

use activestore_types::{Error, Result, TableName};

use super::DAYS_MAX;
use super::answering::groups;
use super::days::Days;
use super::descent::Descent;
use super::examining::Examining;
use super::holdings::{Holdings, Start, View};
use super::others::Others;
use super::question::{Ask, Found, Question};
use super::report::{DayReport, Outcome, Report};

/// How long the next look waits for what is on its way, in milliseconds …
const LOOK_AGAIN_MS: u64 = 200;
/// … and how often it looks.
const LOOKS_MAX: u32 = 150;
/// Questions of one comparison: a peer that answers without end is found out by this.
const QUESTIONS_MAX: u64 = 100_000;
/// How often the other end may name tables whose older rows it let go.
const RETRIES_MAX: u32 = 3;

/// What is wanted of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Whether differences are mended.
    pub repair: bool,
    /// Whether the clock asks for it: then the host may say that it is not due.
    pub scheduled: bool,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "one is made at a time, and taken at once"
)]
pub enum Step {
    /// Ask the other end, and go on with its answer.
    Ask(Question),
    /// Go on without an answer after so many milliseconds.
    Wait(u64),
    /// It is over; `None` where it was not due.
    Done(Option<Box<Report>>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Beginning,
    Settling {
        looks: u32,
    },
    Groups {
        retries: u32,
    },
    Tables {
        left: Vec<String>,
        asked: Option<String>,
    },
    Days {
        asked: Option<(usize, Days)>,
    },
    Descending {
        work: Day,
        descent: Descent,
    },
    Examining {
        work: Day,
        examining: Examining,
    },
    /// All days of these rows are done.
    Passed,
    Telling,
    Done,
}

/// A day to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    table: usize,
    day: i32,
    here: u64,
    there: u64,
}

/// A comparison under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparing {
    pub(super) wish: Wish,
    pub(super) start: Option<Start>,
    pub(super) stage: Stage,
    pub(super) report: Report,
    /// Tables whose days are to be compared.
    pub(super) tables: VecDeque<usize>,
    days: VecDeque<Day>,
    pub(super) others: Others,
}

impl Comparing {
    /// Of nothing yet.
    pub fn new(wish: Wish) -> Self {
        Comparing {
            wish,
            start: None,
            stage: Stage::Beginning,
            report: Report::default(),
            tables: VecDeque::new(),
            days: VecDeque::new(),
            others: Others::default(),
        }
    }

    /// Goes on, with the answer to the last question where there was one. Blocks as long as the host does.
    ///
    /// # Errors
    /// What the host says, what the other end says, and when its answers make no sense.
    pub fn step(
        &mut self,
        here: &dyn Holdings,
        answer: Option<Result<Found, String>>,
    ) -> Result<Step> {
        if let Some(found) = answer {
            self.others.wait = false;
            let found = found.map_err(|reason| {
                Error::overloaded(format!("the other end cannot compare: {reason}"))
            })?;
            if let Some(ask) = self.answered(here, found)? {
                return self.ask(ask);
            }
            if self.others.wait {
                return Ok(Step::Wait(LOOK_AGAIN_MS));
            }
        }
        self.next(here)
    }

    fn view(&self) -> Result<&View> {
        let start = self.start.as_ref();
        let view = start.map(|start| &start.view);
        view.ok_or_else(|| Error::internal("a comparison that has not begun"))
    }

    fn ask(&mut self, ask: Ask) -> Result<Step> {
        self.report.questions += 1;
        if self.report.questions > QUESTIONS_MAX {
            return Err(
                Error::overloaded("a comparison takes more questions than are allowed")
                    .with_hint("the other end's answers do not fit each other; look at its log"),
            );
        }
        Ok(Step::Ask(Question {
            id: 0,
            view: self.view()?.clone(),
            ask,
        }))
    }

    fn next(&mut self, here: &dyn Holdings) -> Result<Step> {
        loop {
            match &mut self.stage {
                Stage::Beginning => {
                    let Some(mut start) = here.begin(self.wish.scheduled)? else {
                        self.stage = Stage::Done;
                        return Ok(Step::Done(None));
                    };
                    start.view.evicted = here.evicted();
                    start.view.deletes_from = here.deletes_from();
                    self.report.outcome.at_ms = start.at_ms;
                    self.start = Some(start);
                    self.stage = Stage::Settling { looks: 0 };
                }
                Stage::Settling { looks } => {
                    let behind = match &self.start {
                        Some(start) => here.waiting(start)?,
                        None => 0,
                    };
                    self.report.outcome.behind = behind;
                    if behind > 0 && *looks < LOOKS_MAX {
                        *looks += 1;
                        return Ok(Step::Wait(LOOK_AGAIN_MS));
                    }
                    self.stage = Stage::Groups { retries: 0 };
                }
                Stage::Groups { .. } => {
                    let tables = here.tables(self.view()?)?;
                    let all = groups(&tables);
                    self.report.tables.clone_from(&self.others.before);
                    for (table, sum) in &tables {
                        // Equal so far.
                        let index = self.report.of(table);
                        if let Some(one) = self.report.tables.get_mut(index) {
                            one.here.add(sum);
                            one.there.add(sum);
                        }
                    }
                    self.others.sums = tables;
                    return self.ask(Ask::Groups(all));
                }
                Stage::Tables { left, asked } => {
                    let Some(keyspace) = left.pop() else {
                        self.stage = Stage::Days { asked: None };
                        continue;
                    };
                    *asked = Some(keyspace.clone());
                    let ours = self.others.sums.iter();
                    let ours = ours.filter(|(table, _)| table.keyspace == keyspace);
                    let sums = ours.map(|(table, sum)| (table.table.clone(), *sum));
                    let sums = sums.collect();
                    return self.ask(Ask::Tables { keyspace, sums });
                }
                Stage::Days { asked } => {
                    let Some(index) = self.tables.pop_front() else {
                        self.next_day();
                        continue;
                    };
                    let Some(one) = self.report.tables.get(index) else {
                        continue;
                    };
                    let Some(start) = &self.start else {
                        return Err(Error::internal("a comparison that has not begun"));
                    };
                    let days = Days::of(here.days(&start.view, &one.table)?);
                    let ask = days.ask(one.table.clone());
                    *asked = Some((index, days));
                    return self.ask(ask);
                }
                Stage::Descending { work, descent } => {
                    let view = match &self.start {
                        Some(start) => &start.view,
                        None => return Err(Error::internal("a comparison that has not begun")),
                    };
                    if let Some(ask) = descent.next(view, here)? {
                        return self.ask(ask);
                    }
                    let (work, descent) = (*work, descent.clone());
                    self.examine(work, descent);
                }
                Stage::Examining { work, examining } => {
                    let view = match &self.start {
                        Some(start) => &start.view,
                        None => return Err(Error::internal("a comparison that has not begun")),
                    };
                    if let Some(ask) = examining.next(view, here)? {
                        return self.ask(ask);
                    }
                    let table = work.table;
                    let day = std::mem::take(&mut examining.report);
                    self.note(table, day);
                    self.next_day();
                }
                Stage::Passed => self.passed(here)?,
                Stage::Telling => {
                    let (writer, outcome) = (self.view()?.writer, self.report.outcome);
                    here.compared(writer, &outcome);
                    return self.ask(Ask::Told(outcome));
                }
                Stage::Done => {
                    let report = std::mem::take(&mut self.report);
                    return Ok(Step::Done(Some(Box::new(report))));
                }
            }
        }
    }

    fn answered(&mut self, here: &dyn Holdings, found: Found) -> Result<Option<Ask>> {
        let wrong = || Error::invalid("the answer is to another question");
        match (&mut self.stage, found) {
            (
                Stage::Groups { retries },
                Found::Groups {
                    differing,
                    evicted,
                    deletes_from,
                    behind,
                },
            ) => {
                if behind > 0 && self.others.looks < LOOKS_MAX {
                    self.others.looks += 1;
                    self.others.wait = true;
                    return Ok(None);
                }
                if behind > 0 {
                    self.report.outcome.behind = behind;
                    self.stage = Stage::Passed;
                    return Ok(None);
                }
                let known = self.start.as_ref().map(|start| start.view.deletes_from);
                // Where all is the same it is the same without those deletes.
                let forgot = Some(deletes_from) > known && !differing.is_empty();
                if (forgot || !evicted.is_empty()) && *retries < RETRIES_MAX {
                    *retries += 1;
                    if let Some(start) = &mut self.start {
                        start.view.deletes_from = start.view.deletes_from.max(deletes_from);
                        start.view.evicted.extend(evicted);
                        start
                            .view
                            .evicted
                            .truncate(crate::limits::MAX_DIGEST_TABLES);
                    }
                    return Ok(None);
                }
                self.stage = Stage::Tables {
                    left: differing,
                    asked: None,
                };
            }
            (Stage::Tables { asked, .. }, Found::Tables(others)) => {
                let keyspace = asked.take().ok_or_else(wrong)?;
                for (name, sum) in others {
                    self.differs(here, TableName::new(keyspace.clone(), name), sum);
                }
            }
            (Stage::Days { asked }, Found::Days { ranges, days, more }) => {
                let (index, ours) = asked.take().ok_or_else(wrong)?;
                let mut left_out = more;
                for (day, here, there) in ours.differing(&ranges, days) {
                    if self.days.len() >= DAYS_MAX {
                        left_out = true;
                        break;
                    }
                    self.days.push_back(Day {
                        table: index,
                        day,
                        here: here.rows,
                        there: there.rows,
                    });
                }
                if left_out && let Some(one) = self.report.tables.get_mut(index) {
                    one.unexplored = Some("more days differ than are looked at at once".to_owned());
                }
            }
            (Stage::Descending { descent, .. }, found) => {
                let start = self.start.as_ref().ok_or_else(wrong)?;
                descent.answered(&start.view, here, found)?;
            }
            (Stage::Examining { examining, .. }, found) => {
                let start = self.start.as_ref().ok_or_else(wrong)?;
                return examining.answered(&start.view, here, found);
            }
            (Stage::Telling, Found::Noted) => self.stage = Stage::Done,
            _ => return Err(wrong()),
        }
        Ok(None)
    }

    fn next_day(&mut self) {
        let Some(work) = self.days.pop_front() else {
            self.stage = Stage::Passed;
            return;
        };
        let table = self.report.tables.get(work.table);
        let Some(table) = table.map(|one| one.table.clone()) else {
            return;
        };
        let descent = Descent::new(table, work.day, work.here, work.there);
        self.stage = Stage::Descending { work, descent };
    }

    fn examine(&mut self, work: Day, descent: Descent) {
        let (found, whole) = descent.finish();
        let Some(one) = self.report.tables.get_mut(work.table) else {
            return;
        };
        if !whole {
            one.unexplored =
                Some("a day differs in more rows than are looked at at once".to_owned());
        }
        let report = DayReport {
            day: (work.day != i32::MIN).then_some(work.day),
            ..DayReport::default()
        };
        let (others, looks) = (self.others.is_part(), self.others.is_first_look());
        let repair = self.wish.repair && self.report.outcome.behind == 0 && !looks;
        let mut examining = Examining::new(one.table.clone(), work.day, repair, found, report);
        examining.others = others;
        self.stage = Stage::Examining { work, examining };
    }

    fn note(&mut self, table: usize, day: DayReport) {
        let outcome: &mut Outcome = &mut self.report.outcome;
        outcome.differences = outcome.differences.saturating_add(day.differences());
        outcome.mended_here = outcome.mended_here.saturating_add(day.mended_here);
        outcome.mended_there = outcome.mended_there.saturating_add(day.mended_there);
        if let Some(one) = self.report.tables.get_mut(table) {
            one.days.push(day);
        }
    }
}
