//! Rows of several files that come in turn, merged a stretch at a time. Partitions are told apart by their
//! prefixes; within one only the numbers of its rows are looked at, so a row costs a few comparisons of integers.
//! Of the rows of one key the newest is taken where it says all of the row.

use std::cmp::Ordering;
use std::ops::Range;

use activestore_types::Result;

use super::met::Met;
use super::strand::Strand;
use crate::version::Origins;

mod lists;

use lists::{meet, never_meet, precede};

/// Rows of each strand that are looked at together, at least and at most.
const WINDOW_ROWS: Range<usize> = 64..1024;

/// Up to so many pairs of strands are compared, which takes less than to sort their rows.
const PAIRS_MAX: usize = 16;

/// How the rows are to come.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    /// Whether they may come strand by strand.
    pub(super) any_order: bool,
    pub(super) origins: &'a Origins,
}

/// Rows of a strand that show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    /// By its place.
    pub(super) strand: usize,
    /// Of its vector.
    pub(super) rows: Range<usize>,
}

/// What weaving needs room for, again and again.
#[derive(Default)]
pub(super) struct Loom {
    /// The strands that have rows of the partition at hand.
    members: Vec<usize>,
    /// For each of them the numbers of its next rows, as far as no unknown row can come between.
    numbers: Vec<Vec<u64>>,
    /// The members as they follow each other.
    order: Vec<usize>,
    threads: Vec<Thread>,
    runs: Vec<Run>,
    /// Rows of each member that are looked at together: few behind a key that could not be told.
    window: usize,
    /// Whether the next key cannot be told from the strands alone.
    pub(super) is_stuck: bool,
    /// What is handed out, in the order that it is to come.
    pub(super) taken: Vec<Taken>,
}

/// A row of the partition at hand.
#[derive(Clone, Copy)]
struct Thread {
    number: u64,
    member: u32,
    /// How many rows of its strand come before it.
    place: u32,
}

/// Rows of a member that are handed out together.
#[derive(Clone, Copy, Default)]
struct Run {
    from: u32,
    to: u32,
    /// How many rows of the member are behind, shown or not.
    passed: u32,
}

impl Loom {
    /// Moves the strands past as many rows as can be told from them alone, and notes which of those show.
    ///
    /// # Errors
    /// `Corrupt` where stamps that have to be compared cannot be read.
    pub(super) fn weave(
        &mut self,
        strands: &mut [Strand<'_>],
        manner: Manner<'_>,
        met: &mut Met,
    ) -> Result<()> {
        self.taken.clear();
        self.is_stuck = false;
        while !strands.iter().any(Strand::is_torn) && self.gather(strands) {
            if let [only] = self.members.as_slice() {
                if let Some(strand) = strands.get_mut(*only) {
                    let (rows, _) = strand.stretch();
                    self.taken.extend(shown(strand, *only, 0, rows));
                    strand.pass(rows);
                }
                continue;
            }
            if !self.read_numbers(strands) {
                break;
            }
            if self.is_apart(manner.any_order) {
                self.take_all(strands);
            } else if !self.merge(strands, manner, met)? {
                self.window = WINDOW_ROWS.start;
                self.is_stuck = true;
                break;
            }
            self.window *= 2;
        }
        Ok(())
    }

    /// Finds the strands that stand in the partition that comes next; whether there are any.
    fn gather(&mut self, strands: &[Strand<'_>]) -> bool {
        self.members.clear();
        let mut next: &[u8] = &[];
        for (place, strand) in strands.iter().enumerate() {
            if strand.is_empty() {
                continue;
            }
            let order = if self.members.is_empty() {
                Ordering::Less
            } else {
                strand.compare(next)
            };
            if order == Ordering::Less {
                self.members.clear();
                next = strand.prefix();
            }
            if order != Ordering::Greater {
                self.members.push(place);
            }
        }
        !self.members.is_empty()
    }

    /// Reads the numbers of the members' rows in the partition, up to the last row of the first of them that may
    /// go on in a way that is not known; whether there are any.
    fn read_numbers(&mut self, strands: &[Strand<'_>]) -> bool {
        self.numbers
            .resize_with(self.numbers.len().max(self.members.len()), Vec::new);
        self.window = self.window.clamp(WINDOW_ROWS.start, WINDOW_ROWS.end);
        let mut known = u64::MAX;
        for (numbers, place) in self.numbers.iter_mut().zip(&self.members) {
            numbers.clear();
            let Some(strand) = strands.get(*place) else {
                continue;
            };
            let (rows, goes_on) = strand.stretch();
            strand.numbers(rows.min(self.window), numbers);
            if goes_on || rows > self.window {
                known = known.min(numbers.last().copied().unwrap_or(0));
            }
        }
        let mut any = false;
        for numbers in self.numbers.iter_mut().take(self.members.len()) {
            numbers.truncate(numbers.partition_point(|number| *number <= known));
            any |= !numbers.is_empty();
        }
        any
    }

    /// Whether no key is in two members and they can be handed out one after the other, in `order`.
    fn is_apart(&mut self, any_order: bool) -> bool {
        let numbers = self.numbers.get(..self.members.len()).unwrap_or(&[]);
        self.order.clear();
        self.order.extend(0..numbers.len());
        let of = |member: &usize| numbers.get(*member).map_or(&[][..], Vec::as_slice);
        self.order.sort_by_key(|member| of(member).first().copied());
        let pairs = self.order.windows(2);
        let mut pairs = pairs.map(|pair| match pair {
            [before, behind] => (of(before), of(behind)),
            _ => (&[][..], &[][..]),
        });
        let ends_before = |(before, behind): (&[u64], &[u64])| {
            let last = before.last();
            last.is_none_or(|last| behind.first().is_some_and(|first| last < first))
        };
        if pairs.clone().all(ends_before) {
            return true;
        }
        if !any_order {
            return false;
        }
        if self.are_disjoint(never_meet) {
            return true;
        }
        let around = self.order.first().zip(self.order.last());
        let turns = pairs.all(|(before, behind)| precede(before, behind))
            && around
                .is_some_and(|(first, last)| precede(of(last), of(first).get(1..).unwrap_or(&[])));
        turns || self.are_disjoint(|one, other| !meet(one, other))
    }

    /// Whether no number is in two members, as far as so many pairs tell, of each of which `apart` says whether it has none
    /// in common. Those of which one ends before the other begins need no look: files of other times, mostly.
    fn are_disjoint(&self, apart: impl Fn(&[u64], &[u64]) -> bool) -> bool {
        let numbers = |member: &usize| self.numbers.get(*member).map_or(&[][..], Vec::as_slice);
        let mut pairs = 0;
        let mut rest = self.order.as_slice();
        while let Some((one, others)) = rest.split_first() {
            let one = numbers(one);
            let Some(last) = one.last() else {
                rest = others;
                continue;
            };
            // In the order of their first numbers: none that follows one that begins behind the last lies among these.
            let among = others.iter().map(numbers);
            for other in among.take_while(|other| other.first().is_none_or(|first| first <= last)) {
                pairs += 1;
                if pairs > PAIRS_MAX || !apart(one, other) {
                    return false;
                }
            }
            rest = others;
        }
        true
    }

    /// Hands out all rows that were read, member by member.
    fn take_all(&mut self, strands: &mut [Strand<'_>]) {
        for member in &self.order {
            let (Some(place), Some(numbers)) =
                (self.members.get(*member), self.numbers.get(*member))
            else {
                continue;
            };
            if let Some(strand) = strands.get_mut(*place) {
                self.taken.extend(shown(strand, *place, 0, numbers.len()));
                strand.pass(numbers.len());
            }
        }
    }

    /// Hands out the rows that were read one by one; whether all of them.
    fn merge(
        &mut self,
        strands: &mut [Strand<'_>],
        manner: Manner<'_>,
        met: &mut Met,
    ) -> Result<bool> {
        self.threads.clear();
        for (member, numbers) in (0_u32..).zip(&self.numbers).take(self.members.len()) {
            let threads = (0_u32..).zip(numbers).map(|(place, number)| Thread {
                number: *number,
                member,
                place,
            });
            self.threads.extend(threads);
        }
        // Sorted stretches are found and merged.
        self.threads.sort_by_key(|thread| thread.number);
        self.runs.clear();
        self.runs.resize(self.members.len(), Run::default());
        let mut whole = true;
        let mut last = 0;
        let threads = std::mem::take(&mut self.threads);
        let mut rest = threads.as_slice();
        while let Some((first, behind)) = rest.split_first() {
            let equal = |thread: &&Thread| thread.number == first.number;
            let twins = behind.iter().take_while(equal).count();
            let (group, behind) = rest.split_at(twins + 1);
            let winner = match group {
                [only] => *only,
                _ => match self.newest(group, strands, manner.origins, met)? {
                    Some(winner) => winner,
                    None => {
                        whole = false;
                        break;
                    }
                },
            };
            if !manner.any_order && winner.member != last {
                self.end_run(last, strands);
                last = winner.member;
            }
            self.push(winner, strands);
            for thread in group {
                if let Some(run) = self.runs.get_mut(thread.member as usize) {
                    run.passed = thread.place + 1;
                }
            }
            rest = behind;
        }
        self.threads = threads;
        for member in (0_u32..).take(self.members.len()) {
            self.end_run(member, strands);
        }
        for (run, place) in self.runs.iter().zip(&self.members) {
            if let Some(strand) = strands.get_mut(*place) {
                strand.pass(run.passed as usize);
            }
        }
        Ok(whole)
    }

    /// The newest row of a key that several strands have; `None` where it does not say all of the row.
    fn newest(
        &self,
        group: &[Thread],
        strands: &[Strand<'_>],
        origins: &Origins,
        met: &mut Met,
    ) -> Result<Option<Thread>> {
        let strand = |thread: &Thread| strands.get(*self.members.get(thread.member as usize)?);
        for (place, one) in group.iter().enumerate() {
            for other in group.iter().skip(place + 1) {
                if let (Some(one), Some(other)) = (strand(one), strand(other)) {
                    met.note(one.source, other.source);
                }
            }
        }
        let mut best: Option<(Thread, &Strand<'_>)> = None;
        for thread in group {
            let Some(strand) = strand(thread) else {
                return Ok(None);
            };
            let newer = match best {
                None => true,
                Some((other, others)) => {
                    let row = strand.row(thread.place as usize);
                    let other_row = others.row(other.place as usize);
                    strand.is_newer(row, others, other_row, origins)?
                }
            };
            if newer {
                best = Some((*thread, strand));
            }
        }
        Ok(best
            .filter(|(_, strand)| strand.worth.decides)
            .map(|(thread, _)| thread))
    }

    /// Adds a row to the run of its member.
    fn push(&mut self, row: Thread, strands: &[Strand<'_>]) {
        let adjoins = self
            .runs
            .get(row.member as usize)
            .is_some_and(|run| run.to == row.place);
        if !adjoins {
            self.end_run(row.member, strands);
        }
        if let Some(run) = self.runs.get_mut(row.member as usize) {
            if !adjoins {
                run.from = row.place;
            }
            run.to = row.place + 1;
        }
    }

    /// Hands out what a member's run holds.
    fn end_run(&mut self, member: u32, strands: &[Strand<'_>]) {
        let (Some(run), Some(place)) = (
            self.runs.get_mut(member as usize),
            self.members.get(member as usize),
        ) else {
            return;
        };
        let (from, rows) = (run.from as usize, (run.to - run.from) as usize);
        run.from = run.to;
        if let Some(strand) = strands.get(*place) {
            self.taken.extend(shown(strand, *place, from, rows));
        }
    }
}

/// The next rows of a strand behind so many, if they are to be shown.
fn shown(strand: &Strand<'_>, place: usize, from: usize, rows: usize) -> Option<Taken> {
    (strand.worth.shows && rows > 0).then(|| Taken {
        strand: place,
        rows: strand.span(from, rows),
    })
}
