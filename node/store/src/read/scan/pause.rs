//! When weaving is tried: it begins with a look at all sources, which few rows are not worth.

/// Fewer rows than these are not worth the look at all sources that weaving begins with.
const WORTH_ROWS: usize = 8;
/// Steps without weaving, at most, where it gives little.
const PAUSE_MAX: usize = 256;

/// When weaving is tried again after it gave little.
#[derive(Default)]
pub(super) struct Pause {
    /// Steps to go without it.
    left: usize,
    /// After how many in vain steps in a row.
    length: usize,
}

impl Pause {
    /// Counts a step; whether weaving is to be tried in it.
    pub(super) fn is_over(&mut self) -> bool {
        if self.left == 0 {
            return true;
        }
        self.left -= 1;
        false
    }

    /// Weaving handed out so many rows.
    pub(super) fn note(&mut self, rows: usize) {
        if rows >= WORTH_ROWS {
            self.length = 0;
            return;
        }
        self.length = (self.length * 2).clamp(1, PAUSE_MAX);
        self.left = self.length;
    }

    /// The next step goes without it.
    pub(super) fn skip_one(&mut self) {
        self.left = self.left.max(1);
    }
}
