//! Stream processors: what [`crate::processor!`] needs.

use std::time::Duration;

use crate::exports::processor as wit;
use crate::scalar::Timestamp;
use crate::state::State;
use crate::{Batch, Column, Error, Field, VarBytes};

pub use wit::Output;

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

    /// A setting's span of time, such as `90s`, `5m`, `2h` or `1d`, or `default` where it is not set.
    ///
    /// # Errors
    /// `invalid`, naming the setting, when its text cannot be read.
    pub fn duration(&self, name: &str, default: Duration) -> Result<Duration, Error> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        let text = text.trim();
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let seconds = match &text[digits.len()..] {
            "ns" => 1e-9,
            "us" => 1e-6,
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => f64::NAN,
        };
        let number: f64 = digits.trim().parse().unwrap_or(f64::NAN);
        Duration::try_from_secs_f64(number * seconds).map_err(|_| {
            Error::Invalid(format!(
                "{name} = '{text}' is not a span of time like 90s, 5m, 2h or 1d"
            ))
        })
    }

    /// A setting's span of time in nanoseconds, above zero; `None` where it is not set.
    ///
    /// # Errors
    /// As [`Config::duration`], and `invalid` for no time at all.
    pub fn nanoseconds(&self, name: &str) -> Result<Option<i64>, Error> {
        if self.get(name).is_none() {
            return Ok(None);
        }
        let span = self.duration(name, Duration::ZERO)?.as_nanos();
        match i64::try_from(span) {
            Ok(span) if span > 0 => Ok(Some(span)),
            Ok(_) => Err(Error::Invalid(format!("{name} is no time at all"))),
            Err(_) => Err(Error::Invalid(format!("{name} is longer than 292 years"))),
        }
    }

    /// The places among `fields` of the columns that a setting lists, `others` where it is not set.
    ///
    /// # Errors
    /// `invalid`, naming a column that there is not.
    pub fn columns(
        &self,
        name: &str,
        fields: &[Field],
        others: impl Fn(&Field) -> bool,
    ) -> Result<Vec<usize>, Error> {
        let names = self.list(name);
        if names.is_empty() {
            let places = (0..fields.len()).filter(|place| others(&fields[*place]));
            return Ok(places.collect());
        }
        names
            .iter()
            .map(|name| {
                fields
                    .iter()
                    .position(|field| field.name == *name)
                    .ok_or_else(|| Error::Invalid(format!("the table has no column '{name}'")))
            })
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
            Some((key, _)) if known.is_empty() => Err(Error::Invalid(format!(
                "there is no setting '{key}', nor any other"
            ))),
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
    /// The rows that it sends, a table for each: `CREATE PROCESSOR … INTO` names them in this order.
    pub outputs: Vec<Output>,
    /// Which of the offered fields it wants, by position, in this order.
    pub columns: Vec<u32>,
}

impl Spec {
    /// Of a processor that sends rows to one table.
    pub fn sending(fields: Vec<Field>, columns: Vec<u32>) -> Self {
        let output = Output {
            name: "rows".to_owned(),
            fields,
        };
        Spec {
            outputs: vec![output],
            columns,
        }
    }
}

/// What a processor made of a batch.
#[derive(Clone, Debug, Default)]
pub struct Processed {
    /// Rows for each of [`Spec::outputs`]; outputs that are left out at the end get none.
    pub outputs: Vec<Batch>,
    /// Input rows that must not be stored, ascending, and why.
    pub rejected: Vec<(usize, String)>,
}

impl Processed {
    /// Rows for the one output; what the columns hold does not matter where there are no rows.
    pub fn sending(rows: usize, columns: Vec<Column>) -> Self {
        Processed {
            outputs: vec![Batch {
                rows: rows as u32,
                columns,
            }],
            rejected: Vec::new(),
        }
    }
}

/// A timer that went off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// The key that it was set for.
    pub key: Vec<u8>,
    /// When it was to go off.
    pub at: Timestamp,
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

    /// Sees rows that were stored before the processor was made, in the order of their keys, once each;
    /// they stay whatever is rejected. Left out, they are processed like any other.
    ///
    /// # Errors
    /// Whatever makes the whole batch fail.
    fn replay(&mut self, batch: &Batch, state: &mut dyn State) -> Result<Processed, Error> {
        self.process(batch, state)
    }

    /// Timers of [`State::set_timers`] went off, in the order of their time. Gives rows as
    /// [`Processed::outputs`] does.
    ///
    /// # Errors
    /// Whatever makes the call fail; the timers go off again.
    fn on_timer(&mut self, due: &[Timer], state: &mut dyn State) -> Result<Vec<Batch>, Error> {
        let _unused = (due, state);
        Ok(Vec::new())
    }
}

#[doc(hidden)]
pub fn init<P: Processor>(
    config: Vec<(String, String)>,
    fields: Vec<Field>,
) -> Result<(P, Spec), Error> {
    crate::log::report_panics();
    P::init(&Config(config), &fields)
}

/// A processor in its sandbox, with what it said that it sends.
#[doc(hidden)]
pub type Running<P> = Option<(P, Vec<Output>)>;

#[doc(hidden)]
pub fn process<P: Processor>(
    running: &mut Running<P>,
    input: &Batch,
    replay: bool,
    state: &mut dyn State,
) -> Result<wit::Processed, Error> {
    let (processor, outputs) = running.as_mut().ok_or_else(not_initialised)?;
    let processed = if replay {
        processor.replay(input, state)?
    } else {
        processor.process(input, state)?
    };
    Ok(wit::Processed {
        outputs: filled(processed.outputs, outputs),
        rejected_rows: processed
            .rejected
            .iter()
            .map(|(row, _)| *row as u32)
            .collect(),
        rejected_reasons: VarBytes::of(processed.rejected.iter().map(|(_, why)| why)),
    })
}

#[doc(hidden)]
pub fn on_timer<P: Processor>(
    running: &mut Running<P>,
    due: &wit::Due,
    state: &mut dyn State,
) -> Result<Vec<Batch>, Error> {
    let (processor, outputs) = running.as_mut().ok_or_else(not_initialised)?;
    let timers: Vec<Timer> = due
        .at_ns
        .iter()
        .enumerate()
        .map(|(row, at)| Timer {
            key: due.keys.get(row).to_vec(),
            at: Timestamp(*at),
        })
        .collect();
    Ok(filled(processor.on_timer(&timers, state)?, outputs))
}

fn not_initialised() -> Error {
    Error::Failed("the processor is not initialised".to_owned())
}

/// A batch for each output; columns of the declared types where there are no rows.
fn filled(mut batches: Vec<Batch>, outputs: &[Output]) -> Vec<Batch> {
    for (number, output) in outputs.iter().enumerate() {
        let empty = || Batch {
            rows: 0,
            columns: output
                .fields
                .iter()
                .map(|field| Column::empty(field.kind))
                .collect(),
        };
        match batches.get_mut(number) {
            Some(batch) if batch.rows == 0 => *batch = empty(),
            Some(_) => {}
            None => batches.push(empty()),
        }
    }
    batches
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
            static ACTIVESTORE_PROCESSOR: ::std::cell::RefCell<$crate::processor::Running<$type>> =
                const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::exports::processor::Guest for ActivestorePlugin {
            fn init(
                config: Vec<(String, String)>,
                fields: Vec<$crate::Field>,
            ) -> Result<$crate::exports::processor::Spec, $crate::Error> {
                let (processor, spec) = $crate::processor::init::<$type>(config, fields)?;
                ACTIVESTORE_PROCESSOR.set(Some((processor, spec.outputs.clone())));
                Ok($crate::exports::processor::Spec {
                    outputs: spec.outputs,
                    columns: spec.columns,
                })
            }

            fn process(
                input: $crate::Batch,
                replay: bool,
            ) -> Result<$crate::exports::processor::Processed, $crate::Error> {
                ACTIVESTORE_PROCESSOR.with_borrow_mut(|running| {
                    let mut state = $crate::state::HostState;
                    $crate::processor::process(running, &input, replay, &mut state)
                })
            }

            fn on_timer(
                due: $crate::exports::processor::Due,
            ) -> Result<Vec<$crate::Batch>, $crate::Error> {
                ACTIVESTORE_PROCESSOR.with_borrow_mut(|running| {
                    let mut state = $crate::state::HostState;
                    $crate::processor::on_timer(running, &due, &mut state)
                })
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::processor_world::export_processor!(
            ActivestorePlugin with_types_in $crate::bindings::processor_world
        );
    };
}

#[cfg(test)]
mod tests;
