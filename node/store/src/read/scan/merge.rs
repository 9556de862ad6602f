//! The merge of a scan: the sources of one key range as one stream of runs, rows that nothing has to be
//! merged with, and of single keys with all their fragments.

use std::cmp::Ordering;

use activestore_types::{KeyRange, Result};

use super::met::Met;
use super::pause::Pause;
use super::piece::Pieces;
use super::source::{Alone, Plan, Source};
use super::strand::Strand;
use super::weave::{Loom, Manner};
use crate::read::copy::Span;
use crate::read::lead::{Head, Lead};
use crate::read::piece::Fragment;

mod supersede;

pub(crate) struct Merge {
    sources: Vec<Source>,
    range: KeyRange,
    /// Which of the sources have keys in common.
    met: Met,
    /// Which of them are known to have none, where no order is asked for.
    apart: Met,
    lead: Lead,
    /// Whether woven rows may come source by source.
    any_order: bool,
    loom: Loom,
    pause: Pause,
    key: Vec<u8>,
    /// The sources that hold the next key.
    tied: Vec<usize>,
}

pub(crate) enum Step {
    /// Nothing is left.
    End,
    /// The fragments of the next key were added, in no order.
    Key,
    /// Rows were added in the order they are to come, each the only fragment of its key; or rows
    /// that do not show were passed.
    Run,
}

impl Merge {
    /// Of sources of this range.
    pub(crate) fn new(sources: Vec<Source>, plan: &Plan, range: &KeyRange) -> Self {
        Merge {
            met: Met::new(sources.len()),
            apart: Met::apart(&sources, plan.any_order, range),
            sources,
            range: range.clone(),
            lead: Lead::new(plan.reverse),
            any_order: plan.any_order,
            loom: Loom::default(),
            pause: Pause::default(),
            key: Vec::new(),
            tied: Vec::new(),
        }
    }

    /// The key of the last [`Step::Key`].
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The files in the midst of a vector that rows were taken of: the source's place and its piece.
    pub(crate) fn open_pieces(&self, pieces: &Pieces) -> Vec<(usize, usize)> {
        let open = |(place, source): (usize, &Source)| match source {
            Source::File(file) => Some((place, file.open_piece(pieces)?)),
            Source::View(_) => None,
        };
        self.sources.iter().enumerate().filter_map(open).collect()
    }

    /// The piece of the vector that the file at this place is in the midst of.
    pub(crate) fn piece(&mut self, place: usize, pieces: &mut Pieces) -> Option<usize> {
        match self.sources.get_mut(place) {
            Some(Source::File(file)) => file.piece(pieces),
            _ => None,
        }
    }

    /// The next step of a scan: what stands alone is handed out without key work.
    pub(crate) fn step(
        &mut self,
        alone: &Alone<'_>,
        pieces: &mut Pieces,
        fragments: &mut Vec<Fragment>,
        spans: &mut Vec<Span>,
    ) -> Result<Step> {
        loop {
            let Some((lead, known)) = self.lead.find(&self.sources) else {
                if self.any_order {
                    self.met.tell(&self.sources, &self.range);
                }
                return Ok(Step::End);
            };
            let other = self.other(lead);
            let Some(source) = self.sources.get(lead) else {
                return Ok(Step::End);
            };
            if let Source::File(file) = source
                && !file.is_loaded()
                && let Some(shows) = file.whole(other, alone)?
            {
                self.lead.forget();
                let covered = shows && file.is_covered(alone)?;
                if let Some(Source::File(file)) = self.sources.get_mut(lead) {
                    let taken = match covered {
                        true => file.pass_whole(pieces)?,
                        false => file.take_whole(shows, pieces)?,
                    };
                    spans.extend(taken);
                }
                return Ok(Step::Run);
            }
            if self.load(lead, pieces)? {
                continue;
            }
            let Some(source) = self.sources.get(lead) else {
                return Ok(Step::End);
            };
            let other = self.other(lead);
            let (rows, shows) = source.run(other, alone)?;
            if rows > 0
                && self.is_worth_weaving(lead, rows)
                && self.weave(lead, alone, pieces, spans)?
            {
                return Ok(Step::Run);
            }
            if rows > 0 {
                match self.sources.get_mut(lead) {
                    Some(Source::File(file)) => spans.extend(file.take_run(rows, shows, pieces)),
                    Some(Source::View(view)) => view.take_run(rows, pieces, spans),
                    None => {}
                }
                return Ok(Step::Run);
            }
            if !known
                && (self.supersede(lead, alone, pieces, spans)?
                    || self.is_worth_weaving(lead, 0) && self.weave(lead, alone, pieces, spans)?)
            {
                return Ok(Step::Run);
            }
            self.take_key(lead, known, pieces, fragments)?;
            return Ok(Step::Key);
        }
    }

    /// The nearest bound of the sources that may have a key of the lead: those that are known to have none do not matter to
    /// rows that may come in any order.
    fn other(&self, lead: usize) -> Option<&[u8]> {
        if self.apart.is_empty() {
            return self.lead.other(&self.sources);
        }
        let others = self.sources.iter().enumerate();
        let others = others.filter(|(place, _)| *place != lead && !self.apart.has(*place, lead));
        others.fold(None, |nearest, (_, source)| {
            self.lead.nearer(nearest, source.bound())
        })
    }

    /// Whether the lead has loaded rows behind a run of so many, which others then come between.
    fn is_worth_weaving(&mut self, lead: usize, rows: usize) -> bool {
        let left = self.sources.get(lead).map_or(0, Source::left);
        self.sources.len() > 1 && rows < left && self.pause.is_over()
    }

    /// Hands out rows of several sources that come in turn; whether it could.
    fn weave(
        &mut self,
        lead: usize,
        alone: &Alone<'_>,
        pieces: &mut Pieces,
        spans: &mut Vec<Span>,
    ) -> Result<bool> {
        self.load_beside(lead, pieces)?;
        let mut strands = Vec::with_capacity(self.sources.len());
        // The nearest bound of those that cannot be woven.
        let mut other: Option<&[u8]> = None;
        for (index, source) in self.sources.iter().enumerate() {
            let strand = match source {
                Source::File(file) => file.strand(index, alone, pieces.wanted())?,
                Source::View(view) => view.strand(index, alone, pieces.wanted()),
            };
            match strand {
                Some(strand) => strands.push(strand),
                None => {
                    other = self.lead.nearer(other, source.bound());
                }
            }
        }
        if let Some(other) = other {
            strands
                .iter_mut()
                .for_each(|strand| strand.end_before(other));
            strands.retain(|strand| !strand.is_empty());
        }
        if strands.len() < 2 {
            self.pause.note(0);
            return Ok(false);
        }
        let manner = Manner {
            any_order: self.any_order,
            origins: alone.origins,
        };
        self.loom.weave(&mut strands, manner, &mut self.met)?;
        let torn = strands.iter().any(Strand::is_torn);
        let passed: Vec<(usize, usize)> = strands
            .iter()
            .map(|strand| (strand.source, strand.passed()))
            .collect();
        drop(strands);
        self.lead.forget();
        let mut numbers: Vec<Option<usize>> = vec![None; passed.len()];
        for taken in &self.loom.taken {
            let (Some(number), Some((source, _))) =
                (numbers.get_mut(taken.strand), passed.get(taken.strand))
            else {
                continue;
            };
            match self.sources.get_mut(*source) {
                Some(Source::View(view)) => {
                    view.push_spans(taken.rows.clone(), pieces, spans);
                    continue;
                }
                Some(Source::File(file)) if number.is_none() => *number = file.piece(pieces),
                _ => {}
            }
            spans.extend(number.map(|piece| Span {
                piece,
                start: taken.rows.start,
                rows: taken.rows.len(),
                reverse: self.lead.is_reverse(),
            }));
        }
        for (source, rows) in &passed {
            match self.sources.get_mut(*source) {
                Some(Source::File(file)) if *rows > 0 => {
                    file.take_run(*rows, false, pieces);
                }
                Some(Source::View(view)) => view.pass(*rows),
                _ => {}
            }
        }
        let rows: usize = passed.iter().map(|(_, rows)| rows).sum();
        // What ended with a vector would have ended anyway.
        if !torn {
            self.pause.note(rows);
        }
        if self.loom.is_stuck {
            self.pause.skip_one();
        }
        Ok(rows > 0)
    }

    /// Loads the files that may have rows among the loaded ones of the lead, and looks at the next rows of memtables.
    fn load_beside(&mut self, lead: usize, pieces: &mut Pieces) -> Result<()> {
        for source in &mut self.sources {
            if let Source::View(view) = source {
                view.look();
            }
        }
        let mut last = Vec::new();
        match self.sources.get(lead) {
            Some(Source::File(file)) if file.push_last(&mut last) => {}
            Some(Source::View(view)) if view.push_last(&mut last) => {}
            _ => return Ok(()),
        }
        let mut loaded = false;
        for source in &mut self.sources {
            let beside = |bound: &[u8]| self.lead.compare(bound, &last) != Ordering::Greater;
            if !source.is_loaded() && source.bound().is_some_and(beside) {
                source.load(pieces)?;
                loaded = true;
            }
        }
        if loaded {
            // Its bound has moved.
            self.lead.forget();
        }
        Ok(())
    }

    /// The fragments of the next key, runs or not; whether there is one.
    pub(crate) fn next_key(
        &mut self,
        pieces: &mut Pieces,
        fragments: &mut Vec<Fragment>,
    ) -> Result<bool> {
        loop {
            let Some((lead, known)) = self.lead.find(&self.sources) else {
                return Ok(false);
            };
            if !self.load(lead, pieces)? {
                self.take_key(lead, known, pieces, fragments)?;
                return Ok(true);
            }
        }
    }

    /// Loads a source that is not; whether it was not. More of the next key may hide in it.
    fn load(&mut self, lead: usize, pieces: &mut Pieces) -> Result<bool> {
        match self.sources.get_mut(lead) {
            Some(source) if !source.is_loaded() => {
                self.lead.forget();
                source.load(pieces)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Takes the next key of the lead, and from every other source that has it.
    fn take_key(
        &mut self,
        lead: usize,
        known: bool,
        pieces: &mut Pieces,
        fragments: &mut Vec<Fragment>,
    ) -> Result<()> {
        self.key.clear();
        let bound = self.sources.get(lead).and_then(Head::bound);
        self.key.extend_from_slice(bound.unwrap_or(&[]));
        if known {
            if let Some(source) = self.sources.get_mut(lead) {
                source.take(&self.key, pieces, fragments)?;
            }
            return Ok(());
        }
        self.tied.clear();
        for (index, source) in self.sources.iter_mut().enumerate() {
            if source.bound() == Some(self.key.as_slice()) {
                self.tied.push(index);
                source.take(&self.key, pieces, fragments)?;
            }
        }
        self.met.note_all(&self.tied);
        // Others than the lead have moved.
        if self.tied.len() > 1 {
            self.lead.forget();
        }
        Ok(())
    }
}
