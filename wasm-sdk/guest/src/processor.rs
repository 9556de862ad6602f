//! Stream processors: what [`crate::processor!`] needs.

use crate::exports::processor as wit;
use crate::state::State;
use crate::{Batch, Column, Error, Field, VarBytes};

/// A processor's settings, as `CREATE PROCESSOR … WITH (…)` gave them.
#[derive(Clone, Debug, Default)]
pub struct Config(pub Vec<(String, String)>);

impl Config {
    /// A setting's text.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A setting's value, or `default` where it is not set.
    ///
    /// # Errors
    /// `invalid`, naming the setting, when its text cannot be read.
    pub fn parse<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, Error> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| Error::Invalid(format!("{name} = '{text}' cannot be read"))),
        }
    }

    /// A setting's comma-separated parts; none where it is not set.
    pub fn list(&self, name: &str) -> Vec<String> {
        self.get(name)
            .unwrap_or_default()
            .split(',')
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect()
    }

    /// Refuses settings that are not among `known`.
    ///
    /// # Errors
    /// `invalid`, naming the setting and the known ones.
    pub fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self
            .0
            .iter()
            .find(|(key, _)| !known.contains(&key.as_str()))
        {
            None => Ok(()),
            Some((key, _)) => Err(Error::Invalid(format!(
                "there is no setting '{key}'; there are {}",
                known.join(", ")
            ))),
        }
    }
}

/// What a processor sends and wants to see.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The columns of the rows it sends to its output table.
    pub outputs: Vec<Field>,
    /// Which of the offered fields it wants, by position, in this order.
    pub columns: Vec<u32>,
}

/// What a processor made of a batch.
#[derive(Clone, Debug, Default)]
pub struct Processed {
    /// How many rows it sends.
    pub rows: usize,
    /// Their columns, as [`Spec::outputs`] says; empty for none.
    pub columns: Vec<Column>,
    /// Input rows that must not be stored, ascending, and why.
    pub rejected: Vec<(usize, String)>,
}

/// A stream processor. The type may keep what it likes between batches, but only what it puts into
/// `state` survives, and only that belongs to the rows: after a failed batch a new instance takes over.
pub trait Processor: Sized + 'static {
    /// Reads the settings and the table's columns. Key columns are those that are not nullable.
    ///
    /// # Errors
    /// `invalid` for settings or columns that it cannot work with.
    fn init(config: &Config, fields: &[Field]) -> Result<(Self, Spec), Error>;

    /// Sees a batch: the columns that it asked for.
    ///
    /// # Errors
    /// Whatever makes the whole batch fail.
    fn process(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error>;
}

#[doc(hidden)]
pub fn init<P: Processor>(
    config: Vec<(String, String)>,
    fields: Vec<Field>,
) -> Result<(P, wit::Spec), Error> {
    crate::log::report_panics();
    let (processor, spec) = P::init(&Config(config), &fields)?;
    let spec = wit::Spec {
        outputs: spec.outputs,
        columns: spec.columns,
    };
    Ok((processor, spec))
}

#[doc(hidden)]
pub fn process<P: Processor>(
    processor: Option<&mut P>,
    outputs: &[Field],
    input: &Batch,
    state: &mut dyn State,
) -> Result<wit::Processed, Error> {
    let processor =
        processor.ok_or_else(|| Error::Failed("the processor is not initialised".to_owned()))?;
    let processed = processor.process(input, state)?;
    let columns = if processed.rows == 0 {
        outputs
            .iter()
            .map(|field| Column::empty(field.kind))
            .collect()
    } else {
        processed.columns
    };
    Ok(wit::Processed {
        rows: Batch {
            rows: processed.rows as u32,
            columns,
        },
        rejected_rows: processed
            .rejected
            .iter()
            .map(|(row, _)| *row as u32)
            .collect(),
        rejected_reasons: VarBytes::of(processed.rejected.iter().map(|(_, why)| why)),
    })
}

/// Makes a plugin of a type that implements [`Processor`].
#[macro_export]
macro_rules! processor {
    ($type:ty) => {
        #[doc(hidden)]
        struct ActivestorePlugin;

        // Outside of the sandbox nothing is exported; this keeps the type in use there.
        const _: fn(
            &$crate::Config,
            &[$crate::Field],
        ) -> Result<($type, $crate::Spec), $crate::Error> = <$type as $crate::Processor>::init;

        ::std::thread_local! {
            static ACTIVESTORE_PROCESSOR: ::std::cell::RefCell<Option<($type, Vec<$crate::Field>)>> =
                const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::exports::processor::Guest for ActivestorePlugin {
            fn init(
                config: Vec<(String, String)>,
                fields: Vec<$crate::Field>,
            ) -> Result<$crate::exports::processor::Spec, $crate::Error> {
                let (processor, spec) = $crate::processor::init::<$type>(config, fields)?;
                ACTIVESTORE_PROCESSOR.set(Some((processor, spec.outputs.clone())));
                Ok(spec)
            }

            fn process(
                input: $crate::Batch,
            ) -> Result<$crate::exports::processor::Processed, $crate::Error> {
                ACTIVESTORE_PROCESSOR.with_borrow_mut(|slot| {
                    let (processor, outputs) = match slot {
                        Some((processor, outputs)) => (Some(processor), outputs.as_slice()),
                        None => (None, &[][..]),
                    };
                    $crate::processor::process(
                        processor,
                        outputs,
                        &input,
                        &mut $crate::state::HostState,
                    )
                })
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::processor_world::export_processor!(
            ActivestorePlugin with_types_in $crate::bindings::processor_world
        );
    };
}
