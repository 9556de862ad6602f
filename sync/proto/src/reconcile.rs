//! Anti-entropy: two ends find out whether they hold the same rows of one writer, and if not, which rows
//! each lacks, with bytes that follow the damage and not the table. Behind the asker's own rows come those of all others
//! in tables that flow down; what of them the asker lacks it fetches as one that starts over does.
//!
//! Sums of tables come first, then sums of days. Within a day that differs, ranges of rows in the order of
//! their stamps are compared by sums and split sixteenfold (range-based set reconciliation, Meyer 2022),
//! because what is lost together was written together: a hole is one range of stamps, whatever the keys. A range with
//! few misses scattered over it is compared by a rateless invertible Bloom lookup table (SIGCOMM 2024), whose bytes follow
//! the number of misses. The rows that one end lacks are then named, judged and, if that is wanted, exchanged.
//!
//! One end asks ([`Comparing`]), the other answers one question at a time and remembers nothing between two ([`answer`]); what
//! both look at is behind [`Holdings`]. What is compared is the state that rows show: as of a stamp up to
//! which all rows have arrived, and as of a moment in the future by which both clocks agree on what has expired.

mod answering;
mod bounds;
mod cells;
mod coded;
mod coding;
mod comparing;
mod days;
mod descent;
mod examining;
mod holdings;
mod item;
mod others;
mod packed;
mod question;
mod range;
mod report;

pub use answering::answer;
pub use coded::{CodedSymbol, Decoded, decode, encode};
pub use comparing::{Comparing, Step, Wish};
pub use holdings::{
    CELLS_MAX, CellAt, Erasure, Held, Holdings, Judgement, KeyAt, Start, View, Whose,
};
pub use item::{Items, Sum, cuts, keyed};
pub use packed::PackedRanges;
pub use question::{Answer, Ask, CodedRange, Found, Other, Pick, Question};
pub use report::{DayReport, Outcome, Report, Side, TableReport};

/// A range of rows is split into so many.
pub const FAN_OUT: usize = 16;
/// An end that holds no more rows of a range than this lists them.
pub const LISTED_MAX: usize = 16;
/// Rows of one day that an end holds in memory to compare them, 24 bytes each; of more, a part at a time.
pub const ITEMS_MAX: usize = 1 << 18;
/// Ranges in one question.
pub const RANGES_MAX: usize = 512;
/// Coded symbols asked for in one question.
pub const SYMBOLS_ASKED_MAX: usize = 4096;
/// Coded symbols of one range, after which it is split instead.
pub const SYMBOLS_MAX: usize = 8192;
/// Ids in one question or answer.
pub const IDS_MAX: usize = 4096;
/// Keys in one question or answer …
pub const KEYS_MAX: usize = 256;
/// … and the bytes of them.
pub const KEY_BYTES_MAX: usize = 512 << 10;
/// Days listed in one answer.
pub const DAYS_MAX: usize = 4096;

#[cfg(test)]
pub(crate) mod tests;
