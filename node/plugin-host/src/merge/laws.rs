//! The laws of a join, tried out on values of the host's choice: the same in either order, in any grouping,
//! and once as good as twice. Which values are tried is fixed, so that every node comes to the same verdict.
//! What a function refuses of them is left out.

use std::sync::Arc;

use activestore_types::{Error, Result};
use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{concat, take};
use arrow::util::display::array_value_to_string;

use super::{MergeFunction, settled};
use crate::instance::Failure;
use crate::plugin::{Plugin, PluginKind};

mod values;

use values::candidates;

/// Values that are tried, each with each and in threes.
const VALUES_MAX: usize = 28;
/// Results that are tried as values again.
const RESULTS_MAX: usize = 6;
/// Characters of a value that a message shows.
const SHOWN_MAX: usize = 60;

/// For each value what it is joined to with each: `None` where the function refuses them.
type Table = Vec<Vec<Option<ArrayRef>>>;

/// Values by number, and what two of them are joined to.
struct Tried {
    values: ArrayRef,
    joined: Table,
}

impl Plugin {
    /// Tries whether all of its merge functions keep the laws of a join; a plugin of another kind has none.
    ///
    /// # Errors
    /// As [`MergeFunction::check_laws`].
    pub fn check_laws(self: &Arc<Self>) -> Result<()> {
        if self.kind() != PluginKind::Merge {
            return Ok(());
        }
        let mut names: Vec<&str> = self.functions().iter().map(|one| &*one.name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            for function in self.merges(name)? {
                function.check_laws()?;
            }
        }
        Ok(())
    }
}

impl MergeFunction {
    /// Tries whether the function is commutative, associative and idempotent.
    ///
    /// # Errors
    /// `Invalid` with the values that break a law, or when the function refuses all that it is tried with;
    /// as [`MergeFunction::merge`] for faults.
    pub fn check_laws(&self) -> Result<()> {
        let tried = self.tried()?;
        let count = tried.values.len();
        for left in 0..count {
            for right in 0..count {
                tried.commutes(self, left, right)?;
            }
        }
        self.groups(&tried)
    }

    /// The values that the function takes, in their normal form, joined by two.
    fn tried(&self) -> Result<Tried> {
        let raw = settled(&candidates(self.kind))?;
        let mut values: Vec<ArrayRef> = Vec::new();
        let mut forms: Vec<(ArrayRef, ArrayRef)> = Vec::new();
        for number in 0..raw.len() {
            let value = raw.slice(number, 1);
            if let Some(normal) = self.one(&value, &value)? {
                self.is_normal(&value, &normal)?;
                if values.len() < VALUES_MAX && !values.contains(&normal) {
                    values.push(normal.clone());
                }
                forms.push((value, normal));
            }
        }
        if values.is_empty() {
            return Err(Error::invalid(format!(
                "merge function '{}' refuses every value that it was tried with, so nobody can say whether it is a join",
                self.name()
            ))
            .with_hint("let it take the empty text, [] or {}, which stand for nothing yet"));
        }
        self.ignores_form(&forms)?;
        // What it makes of values is a value again.
        let mut results: Vec<ArrayRef> = Vec::new();
        for result in self.table(&values)?.into_iter().flatten().flatten() {
            if results.len() < RESULTS_MAX
                && !values.contains(&result)
                && !results.contains(&result)
            {
                results.push(result);
            }
        }
        values.extend(results);
        let joined = self.table(&values)?;
        let parts: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        Ok(Tried {
            values: concat(&parts)?,
            joined,
        })
    }

    /// Each value joined with each, in one go where the function refuses none of them.
    fn table(&self, values: &[ArrayRef]) -> Result<Table> {
        let pairs = || {
            values
                .iter()
                .flat_map(|left| values.iter().map(move |right| (left, right)))
        };
        let left: Vec<&dyn Array> = pairs().map(|(left, _)| left.as_ref()).collect();
        let right: Vec<&dyn Array> = pairs().map(|(_, right)| right.as_ref()).collect();
        let all = self.whole(&concat(&left)?, &concat(&right)?);
        let rows = values.iter().enumerate().map(|(row, left)| {
            let cells = values.iter().enumerate().map(|(column, right)| match &all {
                Ok(all) => Ok(Some(all.slice(row * values.len() + column, 1))),
                Err(_) => self.one(left, right),
            });
            cells.collect()
        });
        rows.collect()
    }

    /// Joins two values; `None` where the function refuses them.
    fn one(&self, left: &ArrayRef, right: &ArrayRef) -> Result<Option<ArrayRef>> {
        let plugin = &self.callable.plugin;
        plugin.guarded(1, || match self.call(left, right) {
            Ok(array) => Ok(Some(array)),
            Err(Failure::Refused(_)) => Ok(None),
            Err(fault) => Err(fault),
        })
    }

    /// A normal form is the normal form of itself: idempotence.
    fn is_normal(&self, value: &ArrayRef, normal: &ArrayRef) -> Result<()> {
        match self.one(normal, normal)? {
            Some(again) if again.as_ref() == normal.as_ref() => Ok(()),
            again => Err(self.broken(
                "idempotent",
                format!("merge(x, x) of {} is {}", shown(value, 0), shown(normal, 0)),
                format!("that of this one {}", outcome(again.as_ref())),
            )),
        }
    }

    /// Two values give the same as their normal forms.
    fn ignores_form(&self, forms: &[(ArrayRef, ArrayRef)]) -> Result<()> {
        for pair in forms.windows(2) {
            let [(left, left_normal), (right, right_normal)] = pair else {
                continue;
            };
            let as_given = self.one(left, right)?;
            let as_kept = self.one(left_normal, right_normal)?;
            if as_given != as_kept {
                return Err(self.broken(
                    "idempotent",
                    format!(
                        "merge({}, {}) {}",
                        shown(left, 0),
                        shown(right, 0),
                        outcome(as_given.as_ref())
                    ),
                    format!(
                        "of the same two as they are kept, merge({}, {}) {}",
                        shown(left_normal, 0),
                        shown(right_normal, 0),
                        outcome(as_kept.as_ref())
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Associativity, of all threes that the function takes, in one go where it can be.
    fn groups(&self, tried: &Tried) -> Result<()> {
        let count = tried.values.len();
        let mut threes = Vec::new();
        let mut left_parts = Vec::new();
        let mut right_parts = Vec::new();
        for a in 0..count {
            for b in 0..count {
                for c in 0..count {
                    if let (Some(left), Some(right)) = (tried.pair(a, b), tried.pair(b, c)) {
                        threes.push((a, b, c));
                        left_parts.push(left.as_ref());
                        right_parts.push(right.as_ref());
                    }
                }
            }
        }
        if threes.is_empty() {
            return Ok(());
        }
        let numbers = |pick: fn(&(usize, usize, usize)) -> usize| -> Result<ArrayRef> {
            let places: UInt32Array = threes
                .iter()
                .map(|three| Some(pick(three) as u32))
                .collect();
            Ok(take(&tried.values, &places, None)?)
        };
        let (first, last) = (numbers(|three| three.0)?, numbers(|three| three.2)?);
        let (left, right) = (concat(&left_parts)?, concat(&right_parts)?);
        let whole = (self.whole(&left, &last), self.whole(&first, &right));
        for (row, (a, b, c)) in threes.into_iter().enumerate() {
            let (left, right) = match &whole {
                (Ok(left), Ok(right)) => (Some(left.slice(row, 1)), Some(right.slice(row, 1))),
                // It refuses some of them: one by one, then.
                _ => (
                    self.one(&left.slice(row, 1), &last.slice(row, 1))?,
                    self.one(&first.slice(row, 1), &right.slice(row, 1))?,
                ),
            };
            if left != right {
                let value = |number| shown(&tried.values, number);
                return Err(self.broken(
                    "associative",
                    format!(
                        "merge(merge({}, {}), {}) {}",
                        value(a),
                        value(b),
                        value(c),
                        outcome(left.as_ref())
                    ),
                    format!(
                        "merge({}, merge({}, {})) {}",
                        value(a),
                        value(b),
                        value(c),
                        outcome(right.as_ref())
                    ),
                ));
            }
        }
        Ok(())
    }

    fn broken(&self, law: &str, one: String, other: String) -> Error {
        Error::invalid(format!(
            "merge function '{}' is not {law}: {one}, and {other}",
            self.name()
        ))
        .with_hint("nodes that hear the same writes in another order would keep other values")
    }
}

impl Tried {
    fn pair(&self, left: usize, right: usize) -> Option<&ArrayRef> {
        self.joined.get(left)?.get(right)?.as_ref()
    }

    fn commutes(&self, function: &MergeFunction, left: usize, right: usize) -> Result<()> {
        let (one, other) = (self.pair(left, right), self.pair(right, left));
        if one == other {
            return Ok(());
        }
        let value = |number| shown(&self.values, number);
        Err(function.broken(
            "commutative",
            format!("merge({}, {}) {}", value(left), value(right), outcome(one)),
            format!(
                "merge({}, {}) {}",
                value(right),
                value(left),
                outcome(other)
            ),
        ))
    }
}

fn outcome(result: Option<&ArrayRef>) -> String {
    match result {
        Some(array) => format!("is {}", shown(array, 0)),
        None => "is refused".to_owned(),
    }
}

fn shown(array: &ArrayRef, row: usize) -> String {
    let text = array_value_to_string(array, row).unwrap_or_default();
    let cut: String = text.chars().take(SHOWN_MAX).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    match array.data_type() {
        arrow::datatypes::DataType::Utf8 => format!("'{cut}{dots}'"),
        _ => format!("{cut}{dots}"),
    }
}
