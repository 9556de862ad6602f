//! Bounds that narrow while a scan runs: a reader that keeps the ten greatest rows wants nothing below the least of
//! those that it has. They are looked at again for every vector, and a vector that nothing is wanted of stays unread.

use std::fmt;
use std::sync::Arc;

use activestore_sst::{Sst, ZonePredicate};
use activestore_types::{ColumnId, TableSchema};

/// What a reader wants of the rows that are still to come.
pub trait Narrowing: fmt::Debug + Send + Sync {
    /// What it wants by now: rows that satisfy every one of these. It never wants again what it did not want before.
    /// Other rows may come or not.
    fn now(&self) -> Arc<[Wanted]>;
}

/// What at least one column of a row must satisfy.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// One of these. None at all: no row is wanted any more.
    pub one_of: Vec<WantedValues>,
}

/// What values of a column are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedValues {
    /// Which column.
    pub column: ColumnId,
    /// Values in this range, bounds that are `None` being none; nothing at all where no value is wanted.
    pub range: Option<ZonePredicate>,
    /// NULL, and no value at all.
    pub nulls: bool,
}

impl Wanted {
    /// Whether what it asks for is the same for all that was ever written under one key.
    fn is_of_keys(&self, schema: &TableSchema) -> bool {
        self.one_of
            .iter()
            .all(|values| schema.is_key(values.column))
    }

    /// Whether no row of a vector can satisfy it.
    fn excludes(&self, sst: &Sst, vector: usize) -> bool {
        !self.one_of.iter().any(|values| {
            let range = values.range.as_ref();
            range.is_some_and(|range| sst.may_match(vector, range))
                || (values.nulls && sst.may_lack(vector, values.column))
        })
    }
}

/// The bounds of a scan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Narrowed(pub(crate) Vec<Arc<dyn Narrowing>>);

impl Narrowed {
    /// Whether no row of a vector is wanted that nothing is merged with.
    pub(crate) fn excludes(&self, sst: &Sst, vector: usize) -> bool {
        let mut all = self.0.iter();
        all.any(|one| one.now().iter().any(|wanted| wanted.excludes(sst, vector)))
    }

    /// Whether no row of a vector is wanted by its key, whatever is merged with it.
    pub(crate) fn excludes_keys(&self, schema: &TableSchema, sst: &Sst, vector: usize) -> bool {
        let mut all = self.0.iter();
        all.any(|one| {
            let now = one.now();
            let mut of_keys = now.iter().filter(|wanted| wanted.is_of_keys(schema));
            of_keys.any(|wanted| wanted.excludes(sst, vector))
        })
    }
}
