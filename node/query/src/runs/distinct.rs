//! `count(DISTINCT text)` over runs: a text is looked up where it changes, and kept once, whatever groups it is in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericListArray, StringArray, StringBuilder};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Int32Type};
use datafusion::common::{HashMap, HashSet, Result, internal_datafusion_err};

use super::folds::Fold;
use super::keys::codes;
use super::table::Run;

/// About what a text costs beside its bytes, which are there twice, and a number in a set.
const TEXT_BYTES: usize = 96;
const NUMBER_BYTES: usize = 8;
const SET_BYTES: usize = 48;

/// The type of its state.
pub(super) fn state() -> ArrowType {
    ArrowType::List(item())
}

fn item() -> FieldRef {
    Arc::new(Field::new_list_field(ArrowType::Utf8, true))
}

/// The different texts of each group, by numbers.
#[derive(Default)]
pub(super) struct Distinct {
    numbers: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
    groups: Vec<HashSet<u32>>,
    bytes: usize,
}

impl Distinct {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = Arc::from(text);
        self.bytes += text.len() + TEXT_BYTES;
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    /// Adds the texts of runs; `same` says whether a row has the text of the row before it.
    fn note<'a>(
        &mut self,
        runs: &[Run],
        same: impl Fn(usize) -> bool,
        text: impl Fn(usize) -> Option<&'a str>,
    ) {
        let mut before: Option<(usize, u32)> = None;
        for run in runs {
            for row in run.start..run.start + run.rows {
                if row > run.start && same(row) {
                    continue;
                }
                let Some(text) = text(row) else {
                    continue;
                };
                let number = self.number(text);
                if before == Some((run.group, number)) {
                    continue;
                }
                before = Some((run.group, number));
                if let Some(group) = self.groups.get_mut(run.group)
                    && group.insert(number)
                {
                    self.bytes += NUMBER_BYTES;
                }
            }
        }
    }
}

impl Fold for Distinct {
    fn add(&mut self, argument: Option<&ArrayRef>, runs: &[Run], groups: usize) -> Result<()> {
        let array = argument.ok_or_else(|| internal_datafusion_err!("nothing to be told apart"))?;
        self.bytes += groups.saturating_sub(self.groups.len()) * SET_BYTES;
        self.groups.resize_with(groups, HashSet::default);
        if *array.data_type() == codes() {
            let coded = array.as_dictionary::<Int32Type>();
            let values = coded.values().as_string::<i32>();
            let (codes, nulls) = (coded.keys().values(), coded.keys().nulls());
            let is_valid = |row: usize| nulls.is_none_or(|nulls: &NullBuffer| nulls.is_valid(row));
            let same = |row: usize| {
                codes.get(row) == codes.get(row - 1) && is_valid(row) && is_valid(row - 1)
            };
            let text = |row: usize| {
                let code = codes.get(row).filter(|_| is_valid(row))?;
                value(values, usize::try_from(*code).ok()?)
            };
            self.note(runs, same, text);
            return Ok(());
        }
        let texts = array.as_string_opt::<i32>();
        let texts =
            texts.ok_or_else(|| internal_datafusion_err!("what is told apart is no text"))?;
        let same = |row: usize| {
            let before = value(texts, row - 1);
            before.is_some() && before == value(texts, row)
        };
        self.note(runs, same, |row| value(texts, row));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self) -> Vec<ArrayRef> {
        let all = std::mem::take(self);
        let lengths = OffsetBuffer::from_lengths(all.groups.iter().map(HashSet::len));
        let mut texts = StringBuilder::new();
        for number in all.groups.iter().flatten() {
            let text = usize::try_from(*number).ok();
            let text = text.and_then(|number| all.texts.get(number));
            texts.append_option(text.map(AsRef::as_ref));
        }
        let texts = Arc::new(texts.finish());
        vec![Arc::new(GenericListArray::<i32>::new(
            item(),
            lengths,
            texts,
            None,
        ))]
    }
}

fn value(texts: &StringArray, row: usize) -> Option<&str> {
    (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row))
}
