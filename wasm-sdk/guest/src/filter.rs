//! Sync filters: what [`crate::filter!`] needs.

use crate::exports::filter as wit;
use crate::processor::Config;
use crate::{Batch, Column, Error, Field};

/// What a filter is given and what it gives. Columns are named by their place among the offered fields; those
/// that are named nowhere leave as they were written.
#[derive(Clone, Debug, Default)]
pub struct FilterSpec {
    /// The columns that it is given, in this order.
    pub columns: Vec<u32>,
    /// The columns that it gives values for, in this order; none of the primary key.
    pub gives: Vec<u32>,
    /// The columns that never leave; none of the primary key.
    pub withholds: Vec<u32>,
}

/// What of a batch leaves the node.
#[derive(Clone, Debug, Default)]
pub struct Filtered {
    /// The rows that leave, ascending.
    pub rows: Vec<usize>,
    /// For each of [`FilterSpec::gives`] one value a row that leaves.
    pub columns: Vec<Column>,
}

/// A sync filter. It remembers nothing from batch to batch: what it gives is what the batch alone says.
pub trait Filter: Sized + 'static {
    /// Reads the settings and chooses among the table's columns. Those of the primary key are not nullable.
    ///
    /// # Errors
    /// `invalid` for settings or columns that do not fit.
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, FilterSpec), Error>;

    /// What leaves of the rows that were written. A cell that a write does not name is null, and stays
    /// unnamed where a null is given for it.
    ///
    /// # Errors
    /// Whatever makes the whole call fail: then nothing of the batch leaves, and it comes again later.
    fn filter(&mut self, batch: &Batch) -> Result<Filtered, Error>;
}

#[doc(hidden)]
pub fn init<F: Filter>(
    config: Vec<(String, String)>,
    fields: Vec<Field>,
) -> Result<(F, wit::Spec), Error> {
    crate::log::report_panics();
    let (filter, spec) = F::init(&Config(config), &fields)?;
    let spec = wit::Spec {
        columns: spec.columns,
        gives: spec.gives,
        withholds: spec.withholds,
    };
    Ok((filter, spec))
}

#[doc(hidden)]
pub fn filter<F: Filter>(running: &mut Option<F>, input: &Batch) -> Result<wit::Filtered, Error> {
    let filter = running
        .as_mut()
        .ok_or_else(|| Error::Failed("the filter is not initialised".to_owned()))?;
    let filtered = filter.filter(input)?;
    Ok(wit::Filtered {
        rows: filtered.rows.iter().map(|row| *row as u32).collect(),
        columns: filtered.columns,
    })
}

/// Makes a plugin of a type that implements [`Filter`].
#[macro_export]
macro_rules! filter {
    ($type:ty) => {
        #[doc(hidden)]
        struct ActivestorePlugin;

        // Outside of the sandbox nothing is exported; this keeps the type in use there.
        const _: fn(
            &$crate::Config,
            &[$crate::Field],
        ) -> Result<($type, $crate::FilterSpec), $crate::Error> = <$type as $crate::Filter>::init;

        ::std::thread_local! {
            static ACTIVESTORE_FILTER: ::std::cell::RefCell<Option<$type>> =
                const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::exports::filter::Guest for ActivestorePlugin {
            fn init(
                config: Vec<(String, String)>,
                fields: Vec<$crate::Field>,
            ) -> Result<$crate::exports::filter::Spec, $crate::Error> {
                let (filter, spec) = $crate::filter::init::<$type>(config, fields)?;
                ACTIVESTORE_FILTER.set(Some(filter));
                Ok(spec)
            }

            fn filter(
                input: $crate::Batch,
            ) -> Result<$crate::exports::filter::Filtered, $crate::Error> {
                ACTIVESTORE_FILTER.with_borrow_mut(|running| {
                    $crate::filter::filter(running, &input)
                })
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::filter_world::export_filter!(
            ActivestorePlugin with_types_in $crate::bindings::filter_world
        );
    };
}
