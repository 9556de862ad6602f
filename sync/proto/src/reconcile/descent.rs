//! Within one day: from a day that differs down to the rows that each end lacks.
//!
//! A range is split where it is large, its few rows are listed where an end has few, and it is compared by
//! coded symbols where that costs less: few misses, or misses all over the place.

use std::collections::BTreeSet;

use activestore_types::{Error, Result, TableName};

use super::coding::{Coded, Coding};
use super::holdings::{Held, Holdings, View};
use super::packed::PackedRanges;
use super::question::{Ask, CodedRange, Found, Other, Pick};
use super::range::{Missing, Node, codes_well, merged, packed};
use super::report::Side;
use super::{CodedSymbol, FAN_OUT, ITEMS_MAX, KEYS_MAX, LISTED_MAX, RANGES_MAX, SYMBOLS_ASKED_MAX};

/// Of so many parts of a range that differ, the damage counts as scattered.
const SCATTERED_PARTS: usize = 4;

/// Misses that are found one by one in a day; a day with more is reported as far as it was looked at.
const FOUND_MAX: usize = 1 << 18;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    /// Ranges with the rows here, and the number of the range that they are parts of.
    Sums(Vec<(Node, usize)>),
    Have(Vec<(Node, Vec<u64>)>),
    Coded(Vec<Coding>),
}

/// The state of one day's comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descent {
    table: TableName,
    day: i32,
    to_split: Vec<Node>,
    to_list: Vec<Node>,
    to_code: Vec<Coding>,
    asked: Asked,
    ids: [BTreeSet<u64>; 2],
    spans: Vec<Missing>,
    /// Whether something differs that could not be found.
    unexplored: bool,
}

impl Descent {
    pub(super) fn new(table: TableName, day: i32, here: u64, there: u64) -> Self {
        let mut descent = Descent {
            table,
            day,
            to_split: Vec::new(),
            to_list: Vec::new(),
            to_code: Vec::new(),
            asked: Asked::Nothing,
            ids: [BTreeSet::new(), BTreeSet::new()],
            spans: Vec::new(),
            unexplored: false,
        };
        descent.sort_in(Node {
            low: 0,
            high: u64::MAX,
            here,
            there,
            scattered: false,
            uncodable: false,
        });
        descent
    }

    /// Decides what becomes of a range that differs.
    fn sort_in(&mut self, node: Node) {
        if self.ids.iter().map(BTreeSet::len).sum::<usize>() > FOUND_MAX {
            self.unexplored = true;
        } else if node.here == 0 || node.there == 0 {
            let (side, rows) = match node.here {
                0 => (Side::Here, node.there),
                here => (Side::There, here),
            };
            self.span(side, node, Vec::new(), rows);
        } else if node.here as usize <= LISTED_MAX {
            self.to_list.push(node);
        } else if codes_well(&node) {
            self.to_code.push(Coding::of(node));
        } else {
            self.to_split.push(node);
        }
    }

    /// Of a range that cannot be compared otherwise.
    fn split(&mut self, node: Node) {
        self.to_split.push(Node {
            uncodable: true,
            ..node
        });
    }

    fn span(&mut self, side: Side, node: Node, mut but: Vec<u64>, rows: u64) {
        but.sort_unstable();
        if rows > 0 {
            self.spans.push(Missing {
                side,
                pick: Pick {
                    low: node.low,
                    high: node.high,
                    all_but: true,
                    ids: but,
                },
                rows,
            });
        }
    }

    fn lacks(&mut self, side: Side, ids: impl IntoIterator<Item = u64>) {
        let [here, there] = &mut self.ids;
        let known = if side == Side::Here { here } else { there };
        known.extend(ids);
    }

    /// The next question; `None` when everything is found.
    pub(super) fn next(&mut self, view: &View, here: &dyn Holdings) -> Result<Option<Ask>> {
        if !self.to_split.is_empty() {
            let many = self.to_split.len().min(RANGES_MAX / FAN_OUT);
            let nodes: Vec<Node> = self.to_split.drain(..many).collect();
            if let Some(ask) = self.ask_sums(nodes, view, here)? {
                return Ok(Some(ask));
            }
        }
        if !self.to_list.is_empty() {
            let many = self.to_list.len().min(RANGES_MAX);
            let mut nodes: Vec<Node> = self.to_list.drain(..many).collect();
            nodes.sort_by_key(|node| node.low);
            let mut asked = Vec::with_capacity(nodes.len());
            for node in nodes {
                asked.push((node, self.ids_of(view, here, node)?));
            }
            let ask = Ask::Have {
                table: self.table.clone(),
                day: self.day,
                ranges: packed(asked.iter().map(|(node, _)| node)),
                ids: asked.iter().map(|(_, ids)| ids.clone()).collect(),
            };
            self.asked = Asked::Have(asked);
            return Ok(Some(ask));
        }
        if !self.to_code.is_empty() {
            let mut symbols = 0;
            let fits = |coding: &&Coding| {
                symbols += coding.next;
                symbols <= SYMBOLS_ASKED_MAX
            };
            let many = self
                .to_code
                .iter()
                .take(RANGES_MAX)
                .take_while(fits)
                .count();
            let mut codings: Vec<Coding> = self.to_code.drain(..many).collect();
            codings.sort_by_key(|coding| coding.node.low);
            let ranges = codings.iter().map(|coding| CodedRange {
                low: coding.node.low,
                high: coding.node.high,
                from: coding.left.len() as u32,
                count: coding.next as u32,
            });
            let ask = Ask::Coded {
                table: self.table.clone(),
                day: self.day,
                ranges: ranges.collect(),
            };
            self.asked = Asked::Coded(codings);
            return Ok(Some(ask));
        }
        Ok(None)
    }

    fn ids_of(&self, view: &View, here: &dyn Holdings, node: Node) -> Result<Vec<u64>> {
        match here.rows_of(view, &self.table, self.day, (node.low, node.high))? {
            Held::Rows(items) => {
                // Rows may have come in since they were counted.
                let ids = items.ids(node.low, node.high);
                Ok(ids.take(u32::BITS as usize).collect())
            }
            Held::Parts(_) => Ok(Vec::new()),
        }
    }

    fn ask_sums(
        &mut self,
        nodes: Vec<Node>,
        view: &View,
        here: &dyn Holdings,
    ) -> Result<Option<Ask>> {
        let mut parts = Vec::new();
        for (parent, node) in nodes.into_iter().enumerate() {
            let held = here.rows_of(view, &self.table, self.day, (node.low, node.high))?;
            let cuts = match held {
                Held::Rows(items) => items.cuts(node.low, node.high, FAN_OUT),
                Held::Parts(cuts) => cuts,
            };
            let inside = |cut: &u64| *cut > node.low && *cut < node.high;
            let cuts: Vec<u64> = cuts.into_iter().filter(inside).take(FAN_OUT - 1).collect();
            if cuts.is_empty() {
                // All at one place: it cannot be split.
                match node.uncodable || node.here.max(node.there) as usize > ITEMS_MAX {
                    true => self.unexplored = true,
                    false => self.to_code.push(Coding::of(node)),
                }
                continue;
            }
            let lows = std::iter::once(node.low).chain(cuts.iter().copied());
            let highs = cuts.iter().copied().chain(std::iter::once(node.high));
            parts.extend(lows.zip(highs).map(|(low, high)| {
                let part = Node {
                    low,
                    high,
                    here: 0,
                    there: 0,
                    scattered: false,
                    uncodable: node.uncodable,
                };
                (part, parent)
            }));
        }
        if parts.is_empty() {
            return Ok(None);
        }
        parts.sort_by_key(|(part, _)| part.low);
        let ranges: Vec<(u64, u64)> = parts
            .iter()
            .map(|(part, _)| (part.low, part.high))
            .collect();
        let sums = here.sums(view, &self.table, self.day, &ranges)?;
        for ((part, _), sum) in parts.iter_mut().zip(&sums) {
            part.here = sum.rows;
        }
        let ask = Ask::Sums {
            table: self.table.clone(),
            day: self.day,
            ranges: PackedRanges::pack(&ranges),
            sums: sums.iter().map(|sum| sum.hash).collect(),
        };
        self.asked = Asked::Sums(parts);
        Ok(Some(ask))
    }

    /// Takes the answer to the last question.
    pub(super) fn answered(
        &mut self,
        view: &View,
        here: &dyn Holdings,
        found: Found,
    ) -> Result<()> {
        match (std::mem::replace(&mut self.asked, Asked::Nothing), found) {
            (Asked::Sums(parts), Found::Sums(others)) => self.differ(view, here, &parts, &others),
            (Asked::Have(asked), Found::Have(have)) if asked.len() == have.len() => {
                for ((node, ids), (bits, there)) in asked.into_iter().zip(have) {
                    let has =
                        |at: usize| bits.checked_shr(at as u32).is_some_and(|bit| bit & 1 == 1);
                    let (known, lacked): (Vec<_>, Vec<_>) =
                        ids.into_iter().enumerate().partition(|(at, _)| has(*at));
                    self.lacks(Side::There, lacked.into_iter().map(|(_, id)| id));
                    let more = there.saturating_sub(known.len() as u64);
                    let known = known.into_iter().map(|(_, id)| id).collect();
                    self.span(Side::Here, node, known, more);
                }
                Ok(())
            }
            (Asked::Coded(codings), Found::Coded(all)) if codings.len() == all.len() => {
                for (coding, (there, symbols)) in codings.into_iter().zip(all) {
                    self.decoded(view, here, coding, there, &symbols)?;
                }
                Ok(())
            }
            _ => Err(Error::invalid("the answer is to another question")),
        }
    }

    fn differ(
        &mut self,
        view: &View,
        here: &dyn Holdings,
        parts: &[(Node, usize)],
        others: &[Other],
    ) -> Result<()> {
        let wrong = || Error::invalid("the answer is about ranges that were not asked about");
        if !others.is_sorted_by(|one, next| one.range < next.range) {
            return Err(wrong());
        }
        let mut differing = std::collections::BTreeMap::<usize, usize>::new();
        for other in others {
            let (_, parent) = parts.get(other.range as usize).ok_or_else(wrong)?;
            *differing.entry(*parent).or_default() += 1;
        }
        for other in others {
            let (part, parent) = parts.get(other.range as usize).ok_or_else(wrong)?;
            let node = Node {
                there: other.rows,
                scattered: differing.get(parent).is_some_and(|n| *n >= SCATTERED_PARTS),
                ..*part
            };
            if other.ids.is_empty() || other.ids.len() as u64 != other.rows {
                self.sort_in(node);
                continue;
            }
            let Held::Rows(items) =
                here.rows_of(view, &self.table, self.day, (node.low, node.high))?
            else {
                self.split(node);
                continue;
            };
            let theirs: BTreeSet<u64> = other.ids.iter().copied().collect();
            let common: Vec<u64> = items
                .ids(node.low, node.high)
                .filter(|id| theirs.contains(id))
                .collect();
            let more = theirs.iter().filter(|id| !common.contains(id)).copied();
            let more: Vec<u64> = more.collect();
            let ours = items.count(node.low, node.high) - common.len() as u64;
            self.lacks(Side::Here, more);
            if ours as usize <= LISTED_MAX {
                let lacked = items.ids(node.low, node.high);
                let lacked: Vec<u64> = lacked.filter(|id| !theirs.contains(id)).collect();
                self.lacks(Side::There, lacked);
            } else {
                self.span(Side::There, node, common, ours);
            }
        }
        Ok(())
    }

    fn decoded(
        &mut self,
        view: &View,
        here: &dyn Holdings,
        coding: Coding,
        there: u64,
        symbols: &[CodedSymbol],
    ) -> Result<()> {
        let node = coding.node;
        if symbols.len() != coding.next {
            return Err(Error::invalid(
                "the answer has another number of symbols than were asked for",
            ));
        }
        let held = here.rows_of(view, &self.table, self.day, (node.low, node.high))?;
        let Held::Rows(items) = held else {
            self.split(node);
            return Ok(());
        };
        let ours = items.symbols(node.low, node.high, coding.left.len(), coding.next);
        match coding.take(ours, symbols, there) {
            Coded::Found(found) => {
                self.lacks(Side::There, found.here);
                self.lacks(Side::Here, found.there);
            }
            Coded::More(coding) => self.to_code.push(coding),
            Coded::Useless(node) => self.split(node),
        }
        Ok(())
    }

    /// What was found, and whether that is all.
    pub(super) fn finish(mut self) -> (Vec<Missing>, bool) {
        let mut found = merged(self.spans);
        for (side, ids) in [Side::Here, Side::There].into_iter().zip(&mut self.ids) {
            let ids: Vec<u64> = std::mem::take(ids).into_iter().collect();
            found.extend(ids.chunks(KEYS_MAX).map(|ids| Missing {
                side,
                pick: Pick {
                    low: 0,
                    high: u64::MAX,
                    all_but: false,
                    ids: ids.to_vec(),
                },
                rows: ids.len() as u64,
            }));
        }
        (found, !self.unexplored)
    }
}
