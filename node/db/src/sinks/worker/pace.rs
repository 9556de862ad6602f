//! How many events a batch holds now: fewer where one of them was refused, or where they took longer than a try may.
//!
//! A batch that was not done in time goes once more as it was composed, since its receiver may only have been slow, and
//! knows it by its key. Then it is halved, down to one event, without trying each half twice, until one goes through: over a
//! link that is slow the same would be late for ever.
//! What was late grows again slowly: each time that more was too much it takes twice as many batches until more is tried.

/// Tries that are not done in time until a batch is halved.
const LATE_MAX: u32 = 2;
/// So many full batches go through after one that was late until more is tried …
const PATIENCE_MIN: u32 = 4;
/// … and after many.
const PATIENCE_MAX: u32 = 256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Events of one batch, and of one where all is well.
    events: usize,
    whole: usize,
    /// Tries in a row that were not done in time, and of which nothing was taken.
    late: u32,
    /// So many full batches go through before there are more events in one, and so many did.
    patience: u32,
    went: u32,
    /// Whether no batch of as many events went through since they became more.
    is_bold: bool,
}

impl Pace {
    pub(super) fn new(whole: usize) -> Pace {
        Pace {
            events: whole,
            whole,
            late: 0,
            patience: 1,
            went: 0,
            is_bold: false,
        }
    }

    /// Events of one batch now.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// A batch of so many went through.
    pub(super) fn went(&mut self, events: usize) {
        self.late = 0;
        if events < self.events && self.patience > 1 {
            // Of whether a full one is done in time it says nothing.
            return;
        }
        (self.went, self.is_bold) = (self.went.saturating_add(1), false);
        if self.events >= self.whole {
            self.patience = 1;
        } else if self.went >= self.patience {
            self.events = self.events.saturating_mul(2).min(self.whole);
            (self.went, self.is_bold) = (0, true);
        }
    }

    /// One of so many events is not wanted, and the others do not go with it.
    pub(super) fn refused(&mut self, events: usize) {
        self.events = events.div_ceil(2).max(1);
        (self.late, self.went) = (0, 0);
    }

    /// A batch of so many, of which some were taken, was not done in time; whether other batches are made.
    pub(super) fn late(&mut self, events: usize, taken: usize) -> bool {
        self.late = self.late.saturating_add(1);
        if (taken == 0 && self.late < LATE_MAX) || events < 2 {
            return false;
        }
        self.patience = match self.is_bold {
            true => self.patience.saturating_mul(2),
            false => self.patience,
        };
        self.patience = self.patience.clamp(PATIENCE_MIN, PATIENCE_MAX);
        self.events = events.div_ceil(2);
        (self.went, self.is_bold) = (0, false);
        true
    }
}
