//! A model in force, alone or beside another: a shadow that scores the same rows and is only compared, or a
//! candidate that scores a part of the rows in its place.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use activestore_env::Clock;
use activestore_plugin_host::Model;
use activestore_types::{DataType, Error, Result};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::compute::{cast, filter, not};
use arrow::datatypes::{DataType as ArrowType, Float64Type};
use parking_lot::Mutex;

/// Options of a model that are the node's, not the plugin's, beside those that begin with [`METRIC`].
const OWN_OPTIONS: [&str; 2] = ["shadow", "split"];
/// What whoever trained a model says of it: `metric_precision = '0.9'`.
const METRIC: &str = "metric_";

/// Whether an option of a model is the node's, not the plugin's.
pub(crate) fn is_own(option: &str) -> bool {
    OWN_OPTIONS.contains(&option) || option.starts_with(METRIC)
}

/// How a model did when it was trained, by the name of each figure.
///
/// # Errors
/// `Invalid` for what is no number.
pub(crate) fn training_metrics(options: &BTreeMap<String, String>) -> Result<BTreeMap<&str, f64>> {
    let named = options
        .iter()
        .filter_map(|(option, value)| Some((option, option.strip_prefix(METRIC)?, value)));
    named
        .map(|(option, name, value)| {
            let number = value.trim().parse::<f64>().ok();
            match number.filter(|number| number.is_finite()) {
                Some(number) if !name.is_empty() => Ok((name, number)),
                _ => Err(
                    Error::invalid(format!("{option} = '{value}' is not a figure")).with_hint(
                        "metric_precision = '0.9' keeps a figure of the training in system.models",
                    ),
                ),
            }
        })
        .collect()
}

/// A part of all rows, in hundredths.
const WHOLE: u64 = 100;

/// A model with what runs beside it.
pub(crate) struct Deployed {
    model: Arc<Model>,
    shadow: Option<Arc<Model>>,
    candidate: Option<(Arc<Model>, u64)>,
    pub(crate) compared: Mutex<Compared>,
    pub(crate) candidate_rows: AtomicU64,
    pub(crate) done: Done,
    clock: Arc<dyn Clock>,
}

/// What a model has done since it was put in force on this node, what runs beside it included.
#[derive(Default)]
pub(crate) struct Done {
    /// Calls, of queries and of writes.
    pub(crate) calls: AtomicU64,
    /// Rows in them.
    pub(crate) rows: AtomicU64,
    /// Time spent in them, in nanoseconds.
    pub(crate) busy_ns: AtomicU64,
    /// Calls that gave no scores.
    pub(crate) failures: AtomicU64,
    /// What went wrong last.
    pub(crate) last_failure: Mutex<Option<String>>,
}

/// How a shadow's scores compare.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Compared {
    /// Rows that both have scored.
    pub(crate) rows: u64,
    /// Rows that only one of them has scored.
    pub(crate) one_sided: u64,
    /// Sum of the absolute differences.
    pub(crate) sum: f64,
    /// The largest of them.
    pub(crate) max: f64,
    /// Calls in which the shadow failed.
    pub(crate) failures: u64,
}

impl Deployed {
    pub(crate) fn alone(model: Arc<Model>, clock: &Arc<dyn Clock>) -> Self {
        Deployed {
            model,
            shadow: None,
            candidate: None,
            compared: Mutex::default(),
            candidate_rows: AtomicU64::new(0),
            done: Done::default(),
            clock: clock.clone(),
        }
    }

    /// Whether another is made of the same models: then this one goes on with its counts.
    pub(crate) fn is_like(&self, other: &Deployed) -> bool {
        let same = |a: &Option<Arc<Model>>, b: &Option<Arc<Model>>| match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let part = |one: &Deployed| one.candidate.as_ref().map(|(_, percent)| *percent);
        let candidate = |one: &Deployed| one.candidate.as_ref().map(|(model, _)| model.clone());
        Arc::ptr_eq(&self.model, &other.model)
            && same(&self.shadow, &other.shadow)
            && same(&candidate(self), &candidate(other))
            && part(self) == part(other)
    }

    /// The model with a shadow beside it.
    ///
    /// # Errors
    /// `Invalid` for one that takes other inputs.
    pub(crate) fn with_shadow(mut self, name: &str, shadow: &Arc<Model>) -> Result<Self> {
        self.check(name, shadow)?;
        self.shadow = Some(shadow.clone());
        Ok(self)
    }

    /// The model with a candidate for so many hundredths of the rows.
    ///
    /// # Errors
    /// `Invalid` for one that takes other inputs.
    pub(crate) fn with_candidate(
        mut self,
        name: &str,
        candidate: &Arc<Model>,
        percent: u64,
    ) -> Result<Self> {
        self.check(name, candidate)?;
        self.candidate = Some((candidate.clone(), percent));
        Ok(self)
    }

    fn check(&self, name: &str, other: &Model) -> Result<()> {
        let (wanted, given) = (self.inputs().len(), other.inputs().len());
        if wanted == given {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "model '{name}' takes {given} inputs, the one that it is beside {wanted}"
        )))
    }

    /// The columns that it takes, in order.
    pub(crate) fn inputs(&self) -> &[(String, DataType)] {
        self.model.inputs()
    }

    /// The columns that it gives, in order.
    pub(crate) fn outputs(&self) -> Vec<(String, DataType)> {
        self.model.output_columns().collect()
    }

    /// Bytes of its artifact.
    pub(crate) fn artifact_bytes(&self) -> usize {
        self.model.artifact_bytes()
    }

    /// The place of an output by its name, the first without one.
    pub(crate) fn output(&self, name: &str, output: Option<&str>) -> Result<usize> {
        let Some(output) = output else { return Ok(0) };
        self.model
            .outputs()
            .position(|name| name == output)
            .ok_or_else(|| {
                let names: Vec<&str> = self.model.outputs().collect();
                Error::not_found(format!("model '{name}' has no output '{output}'"))
                    .with_hint(format!("it has {}", names.join(", ")))
            })
    }

    /// An output for each row, as `Float64`; null where an input is null.
    ///
    /// # Errors
    /// What the models say; never what a shadow says.
    pub(crate) fn predict(&self, output: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        let began = self.clock.monotonic();
        let result = self.scored(output, args);
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        add(&self.done.calls, 1);
        add(
            &self.done.rows,
            args.first().map_or(0, |array| array.len()) as u64,
        );
        let busy = self.clock.monotonic().saturating_sub(began).as_nanos();
        let busy = u64::try_from(busy).unwrap_or(u64::MAX);
        add(&self.done.busy_ns, busy);
        if let Err(error) = &result {
            add(&self.done.failures, 1);
            *self.done.last_failure.lock() = Some(error.to_string());
        }
        result
    }

    fn scored(&self, output: usize, args: &[ArrayRef]) -> Result<ArrayRef> {
        let scores = match &self.candidate {
            None => self.model.predict_output(output, args)?,
            Some((candidate, percent)) => self.split(candidate, *percent, output, args)?,
        };
        if let Some(shadow) = &self.shadow {
            let compared = match shadow.predict_output(output, args) {
                Ok(others) => compare(&scores, &others),
                Err(_) => Compared {
                    failures: 1,
                    ..Compared::default()
                },
            };
            self.compared.lock().add(&compared);
        }
        Ok(scores)
    }

    fn split(
        &self,
        candidate: &Model,
        percent: u64,
        output: usize,
        args: &[ArrayRef],
    ) -> Result<ArrayRef> {
        let theirs = draw(args, percent)?;
        let drawn = theirs.true_count();
        if drawn == 0 {
            return self.model.predict_output(output, args);
        }
        let part = |rows: &BooleanArray| {
            let args = args.iter().map(|array| filter(array, rows));
            args.collect::<std::result::Result<Vec<ArrayRef>, _>>()
        };
        let ours = not(&theirs)?;
        let candidate = candidate.predict_output(output, &part(&theirs)?)?;
        self.candidate_rows
            .fetch_add(drawn as u64, Ordering::Relaxed);
        if drawn == theirs.len() {
            return Ok(candidate);
        }
        let model = self.model.predict_output(output, &part(&ours)?)?;
        let mut candidate = floats(&candidate)?.iter();
        let mut model = floats(&model)?.iter();
        let woven: Float64Array = theirs
            .values()
            .iter()
            .map(|theirs| {
                let next = if theirs {
                    candidate.next()
                } else {
                    model.next()
                };
                next.flatten()
            })
            .collect();
        Ok(Arc::new(woven))
    }
}

fn floats(array: &ArrayRef) -> Result<&Float64Array> {
    array
        .as_primitive_opt::<Float64Type>()
        .ok_or_else(|| Error::internal("a model answered with something other than DOUBLE"))
}

/// Which rows a candidate scores: by what is in the row, so that equal rows meet the same model on every
/// node and at every time.
fn draw(args: &[ArrayRef], percent: u64) -> Result<BooleanArray> {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let rows = args.first().map_or(0, |array| array.len());
    let mut hashes = vec![OFFSET; rows];
    for array in args {
        let array = cast(array, &ArrowType::Float64)?;
        for (hash, value) in hashes.iter_mut().zip(floats(&array)?) {
            // FNV-1a, byte by byte.
            for byte in value.unwrap_or(f64::NAN).to_le_bytes() {
                *hash = (*hash ^ u64::from(byte)).wrapping_mul(PRIME);
            }
        }
    }
    // The low bits of this hash are its best.
    let drawn = hashes
        .iter()
        .map(|hash| (hash ^ (hash >> 32)) % WHOLE < percent);
    Ok(BooleanArray::from(drawn.collect::<Vec<bool>>()))
}

fn compare(scores: &ArrayRef, others: &ArrayRef) -> Compared {
    let mut compared = Compared::default();
    if let (Ok(scores), Ok(others)) = (floats(scores), floats(others)) {
        for pair in scores.iter().zip(others) {
            match pair {
                (Some(score), Some(other)) => {
                    let difference = (score - other).abs();
                    compared.rows += 1;
                    compared.sum += difference;
                    compared.max = compared.max.max(difference);
                }
                (None, None) => {}
                _ => compared.one_sided += 1,
            }
        }
    }
    compared
}

impl Compared {
    fn add(&mut self, other: &Compared) {
        self.rows += other.rows;
        self.one_sided += other.one_sided;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
        self.failures += other.failures;
    }
}

/// `other:10`: a candidate and its part of the rows in hundredths.
///
/// # Errors
/// `Invalid` for anything else.
pub(crate) fn parse_split(text: &str) -> Result<(&str, u64)> {
    let wrong = || {
        Error::invalid(format!("split = '{text}' is not MODEL:PERCENT"))
            .with_hint("split = 'pump_health_2:10' lets that model score a tenth of the rows")
    };
    let (name, percent) = text.split_once(':').ok_or_else(wrong)?;
    let percent: u64 = percent.trim().parse().map_err(|_| wrong())?;
    if name.is_empty() || percent == 0 || percent > WHOLE {
        return Err(wrong());
    }
    Ok((name.trim(), percent))
}

#[cfg(test)]
mod tests;
