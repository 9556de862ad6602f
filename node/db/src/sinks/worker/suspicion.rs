//! Whether it is an event that breaks connections off. A receiver that closes the connection says nothing of why: it may
//! be ending itself, or be about to choke on the same message for ever.
//!
//! So what breaks off is tried again as it is, then each event of it alone, and one that is alone again and again when it
//! happens is left out. Where that happens to the one behind it as well, with nothing taken in between, it may be the
//! receiver after all: from one to the next it takes twice as many tries, so a receiver that closes every connection for a
//! month costs a few events, and events that are all of that kind hold nothing up for ever.

/// It takes so many tries, however few an event has: a receiver that is made ready anew closes a connection or two.
const TRIES_MIN: u32 = 3;
/// The tries double so often.
const DOUBLED_MAX: u32 = 16;

/// What is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Suspicion {
    /// Connections that broke off since an event was behind it or the receiver said something.
    broke_off: u32,
    /// So many events go alone.
    alone: usize,
    /// Events that were left out for it since one was taken.
    left_out: u32,
}

/// What is to be done after a connection broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same goes once more.
    Again,
    /// The events go one by one.
    Alone,
    /// It is this event; the connection broke off so often upon it.
    Event(u32),
}

impl Suspicion {
    /// Whether the next event goes alone.
    pub(super) fn goes_alone(&self) -> bool {
        self.alone > 0
    }

    /// The first event is behind it.
    pub(super) fn passed(&mut self) {
        self.broke_off = 0;
        self.alone = self.alone.saturating_sub(1);
    }

    /// The receiver took something, or said why it does not.
    pub(super) fn answered(&mut self) {
        (self.broke_off, self.left_out) = (0, 0);
    }

    /// An event was left out for breaking connections off.
    pub(super) fn left_out(&mut self) {
        self.left_out = self.left_out.saturating_add(1);
    }

    /// A connection broke off upon so many events, of which none was taken.
    pub(super) fn broke_off(&mut self, events: usize, attempts: u32) -> Verdict {
        self.broke_off = self.broke_off.saturating_add(1);
        let tries = attempts.max(TRIES_MIN);
        if events > 1 {
            if self.broke_off < tries {
                return Verdict::Again;
            }
            (self.broke_off, self.alone) = (0, events);
            return Verdict::Alone;
        }
        let doubled = 1_u32 << self.left_out.min(DOUBLED_MAX);
        match self.broke_off < tries.saturating_mul(doubled) {
            true => Verdict::Again,
            false => Verdict::Event(self.broke_off),
        }
    }
}
