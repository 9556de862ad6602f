//! How a view divides time: from a moment to its windows, and from a window to its moments.

use activestore_types::{Error, Result};
use arrow::datatypes::DataType as ArrowType;
use datafusion::logical_expr::Expr;
use datafusion::scalar::ScalarValue;

use crate::bucket::Buckets;
use crate::tumble::width_ns;
use crate::windows::{fixed_ns, hop_widths};

/// Months of a year, and an hour that a clock is turned back by is in one of them.
const WINDOWS_OF_A_YEAR: usize = 12;

/// A division of time into windows, each known by its start.
#[derive(Clone, Debug)]
pub struct ViewWindows(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// `tumble`: of one width, from 1970 on.
    Tumble(i64),
    /// `time_bucket`.
    Buckets(Buckets),
    /// `hop`: one begins every so often, and all have one width.
    Hop { slide: i64, width: i64 },
    /// `session`: as long as less than a gap is between a row and the next. Nobody tells them from a row alone: the
    /// stretches that this divides time into are as wide as the gap, and lie in no certain session.
    Session(i64),
}

impl ViewWindows {
    /// The time and its division, of a call in `GROUP BY`; `None` for what is no window.
    ///
    /// # Errors
    /// `Invalid` for widths that are none.
    pub(super) fn of_call(name: &str, args: &[Expr]) -> Result<Option<(Expr, ViewWindows)>> {
        let constant = |place: usize| match args.get(place) {
            Some(Expr::Literal(value, _)) => Ok(as_text(value)),
            _ => Err(
                Error::invalid(format!("the widths of {name}() in a view are constants"))
                    .with_hint("write them as text: tumble(ts, '1 minute')"),
            ),
        };
        let time = |place: usize| args.get(place).cloned();
        Ok(match name {
            "tumble" => {
                let width = width_ns(&constant(1)?)?;
                time(0).map(|time| (time, ViewWindows::tumbling(width)))
            }
            "hop" => {
                let (slide, width) = hop_widths(&constant(1)?, &constant(2)?)?;
                time(0).map(|time| (time, ViewWindows::hopping(slide, width)))
            }
            "time_bucket" => {
                let mut constants = vec![constant(0)?];
                for place in 2..args.len() {
                    constants.push(constant(place)?);
                }
                let buckets = Buckets::of_args(&constants)?;
                time(1).map(|time| (time, ViewWindows(Kind::Buckets(buckets))))
            }
            "session" => {
                let gap = fixed_ns(&constant(1)?)?;
                time(0).map(|time| (time, ViewWindows::sessions(gap)))
            }
            _ => None,
        })
    }

    /// Windows of one width in nanoseconds, above zero, from 1970 on.
    pub fn tumbling(width: i64) -> ViewWindows {
        ViewWindows(Kind::Tumble(width.max(1)))
    }

    /// Windows of one width that begin every so often; both in nanoseconds, above zero.
    pub fn hopping(slide: i64, width: i64) -> ViewWindows {
        ViewWindows(Kind::Hop {
            slide: slide.max(1),
            width: width.max(1),
        })
    }

    /// Windows that end where no row comes for a gap in nanoseconds, above zero.
    pub fn sessions(gap: i64) -> ViewWindows {
        ViewWindows(Kind::Session(gap.max(1)))
    }

    /// The gap that ends a session; `None` for windows that a moment alone tells.
    pub fn gap(&self) -> Option<i64> {
        match &self.0 {
            Kind::Session(gap) => Some(*gap),
            Kind::Tumble(_) | Kind::Buckets(_) | Kind::Hop { .. } => None,
        }
    }

    /// The stretch that a moment lies in, by its start: all moments of it are in the same windows, or nearly so.
    pub fn slot(&self, ns: i64) -> i64 {
        match &self.0 {
            Kind::Tumble(width) | Kind::Session(width) => floor(ns, *width),
            Kind::Buckets(buckets) => buckets.start_of(ns),
            Kind::Hop { slide, .. } => floor(ns, *slide),
        }
    }

    /// The first of the windows that a moment of the stretch may lie in; the stretch's own start is the last one.
    pub fn first(&self, slot: i64) -> i64 {
        match &self.0 {
            Kind::Hop { slide, width } => {
                let back = (width - 1).div_euclid(*slide).saturating_mul(*slide);
                slot.saturating_sub(back)
            }
            Kind::Tumble(_) | Kind::Buckets(_) | Kind::Session(_) => slot,
        }
    }

    /// The first start of a window that changes with rows from a moment on. Of sessions that began before it is told
    /// by the rows around it.
    pub fn from(&self, ns: i64) -> i64 {
        match &self.0 {
            Kind::Session(_) => ns,
            _ => self.first(self.slot(ns)),
        }
    }

    /// The end of what changes with rows up to a moment: the last window that they lie in, but for sessions, of which
    /// [`ViewWindows::last`] tells it.
    pub fn upto(&self, ns: i64) -> i64 {
        match &self.0 {
            Kind::Session(_) => ns,
            _ => self.slot(ns),
        }
    }

    /// The last start of a window that changes where [`ViewWindows::upto`] ends: without the rows up to there, what comes
    /// within a gap begins a session of its own.
    pub fn last(&self, upto: i64) -> i64 {
        match &self.0 {
            Kind::Session(gap) => upto.saturating_add(*gap),
            _ => upto,
        }
    }

    /// The moment from which on the window of a row is closed. That of a session is told as if the row were alone.
    pub fn closes(&self, ns: i64) -> i64 {
        match &self.0 {
            Kind::Session(gap) => ns.saturating_add(*gap),
            _ => self.end(self.slot(ns)),
        }
    }

    /// The moment that belongs to a row's age: the window begins there. A session may have begun a gap before, with rows
    /// that are gone.
    pub fn aged(&self, ns: i64) -> i64 {
        match &self.0 {
            Kind::Session(gap) => ns.saturating_sub(*gap),
            _ => self.slot(ns),
        }
    }

    /// The first moment from which on rows, or a stretch of time, reach to this one: of sessions, less than a gap before.
    pub fn since(&self, ns: i64) -> i64 {
        match &self.0 {
            Kind::Session(gap) => ns.saturating_sub(gap - 1),
            _ => ns,
        }
    }

    /// How long a window lasts at the most, around a moment: those of months differ. A session lasts as long as it
    /// likes; what begins one is told from rows of a gap before, and it is looked at until a gap is behind it.
    pub fn longest(&self, ns: i64) -> i64 {
        if let Kind::Session(gap) = &self.0 {
            return gap.saturating_mul(2);
        }
        let mut start = self.slot(ns);
        let mut longest = 0;
        for _ in 0..WINDOWS_OF_A_YEAR {
            longest = longest.max(self.end(start).saturating_sub(start));
            start = self.next(start);
        }
        longest
    }

    /// The start of the window behind another one.
    pub fn next(&self, start: i64) -> i64 {
        match &self.0 {
            Kind::Tumble(width) | Kind::Session(width) => start.saturating_add(*width),
            Kind::Buckets(buckets) => buckets.next(start),
            Kind::Hop { slide, .. } => start.saturating_add(*slide),
        }
    }

    /// The first moment behind a window.
    pub fn end(&self, start: i64) -> i64 {
        match &self.0 {
            Kind::Hop { width, .. } => start.saturating_add(*width),
            Kind::Tumble(_) | Kind::Buckets(_) | Kind::Session(_) => self.next(start),
        }
    }
}

fn floor(ns: i64, width: i64) -> i64 {
    ns.saturating_sub(ns.rem_euclid(width))
}

/// Text of any kind as one.
fn as_text(value: &ScalarValue) -> ScalarValue {
    match value.cast_to(&ArrowType::Utf8) {
        Ok(text) if value.try_as_str().is_some() => text,
        _ => value.clone(),
    }
}
