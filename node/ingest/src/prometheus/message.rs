//! The messages of both versions, walked field by field into rows.

use activestore_types::{Error, Result};

use super::protobuf::{Content, Fields, Malformed};
use super::series::Series;
use super::tables::{Begun, Tables};
use super::{LABELS_MAX, RemoteWrite, RemoteWriteOptions, SYMBOLS_MAX, Version};
use crate::room::Unfit;

/// A label as it stands on the wire.
type Label<'a> = (&'a [u8], &'a [u8]);

/// The numbers of fields that differ between the versions.
struct Numbers {
    series: u64,
    samples: u64,
    histograms: u64,
    exemplars: u64,
}

const ONE: Numbers = Numbers {
    series: 1,
    samples: 2,
    histograms: 4,
    exemplars: 3,
};

const TWO: Numbers = Numbers {
    series: 5,
    samples: 2,
    histograms: 3,
    exemplars: 4,
};

/// The field of a series that names its labels, in both versions.
const LABELS: u64 = 1;
/// The field of a request of version 2 that holds a text.
const SYMBOLS: u64 = 4;

/// Why a body is not taken.
enum Fault {
    Malformed(Malformed),
    TooLarge,
    TooManySymbols,
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Fault::Malformed(malformed)
    }
}

/// Reads a body that was unpacked.
///
/// # Errors
/// `Invalid` where it is not the message, or makes more rows than it may: then nothing of it is taken.
pub fn parse(body: &[u8], version: Version, options: &RemoteWriteOptions) -> Result<RemoteWrite> {
    read(body, version, options).map_err(|fault| told(&fault, options))
}

/// The same, but nothing where the body makes more rows than it may: who has room for more may read it again.
///
/// # Errors
/// `Invalid` where it is not the message.
pub fn parse_within(
    body: &[u8],
    version: Version,
    options: &RemoteWriteOptions,
) -> Result<Option<RemoteWrite>> {
    match read(body, version, options) {
        Err(Fault::TooLarge) => Ok(None),
        done => done.map(Some).map_err(|fault| told(&fault, options)),
    }
}

fn told(fault: &Fault, options: &RemoteWriteOptions) -> Error {
    match fault {
        Fault::Malformed(malformed) => Error::invalid(format!(
            "the body is not a message of remote write: {}",
            malformed.reason()
        )),
        Fault::TooLarge => Error::invalid(format!(
            "the body makes more tables, or more than {} bytes of rows",
            options.rows_bytes_max
        ))
        .with_hint("lower max_samples_per_send in the sender's queue_config"),
        Fault::TooManySymbols => {
            Error::invalid(format!("the body lists more than {SYMBOLS_MAX} texts"))
                .with_hint("lower max_samples_per_send in the sender's queue_config")
        }
    }
}

fn read(
    body: &[u8],
    version: Version,
    options: &RemoteWriteOptions,
) -> std::result::Result<RemoteWrite, Fault> {
    // Texts may stand behind the series that name them.
    let symbols = match version {
        Version::One => Vec::new(),
        Version::Two => symbols(body)?,
    };
    let numbers = match version {
        Version::One => ONE,
        Version::Two => TWO,
    };
    let mut reading = Reading {
        version,
        numbers,
        symbols,
        labels: Vec::new(),
        tables: Tables::new(options),
        outcome: RemoteWrite::default(),
    };
    let mut fields = Fields::of(body);
    while let Some((field, content)) = fields.next()? {
        if field == reading.numbers.series {
            reading.series(content.bytes()?)?;
        }
    }
    let mut outcome = reading.outcome;
    outcome.rows_bytes = reading.tables.bytes();
    outcome.batches = reading.tables.finish();
    Ok(outcome)
}

fn symbols(body: &[u8]) -> std::result::Result<Vec<&[u8]>, Fault> {
    let mut symbols = Vec::new();
    let mut fields = Fields::of(body);
    while let Some((field, content)) = fields.next()? {
        if field == SYMBOLS {
            if symbols.len() >= SYMBOLS_MAX {
                return Err(Fault::TooManySymbols);
            }
            symbols.push(content.bytes()?);
        }
    }
    Ok(symbols)
}

struct Reading<'a, 'o> {
    version: Version,
    numbers: Numbers,
    symbols: Vec<&'a [u8]>,
    /// Those of the series at hand.
    labels: Vec<Label<'a>>,
    tables: Tables<'o>,
    outcome: RemoteWrite,
}

impl<'a> Reading<'a, '_> {
    /// Labels first, wherever they stand, and samples after.
    fn series(&mut self, series: &'a [u8]) -> std::result::Result<(), Fault> {
        self.labels.clear();
        let (mut samples, mut named) = (0_u64, Ok(()));
        let mut fields = Fields::of(series);
        while let Some((field, content)) = fields.next()? {
            if field == LABELS && named.is_ok() {
                named = match self.version {
                    Version::One => self.label(content.bytes()?)?,
                    Version::Two => self.references(content)?,
                };
            } else if field == self.numbers.samples {
                samples += 1;
            } else if field == self.numbers.histograms {
                self.outcome.histograms += 1;
            } else if field == self.numbers.exemplars {
                self.outcome.exemplars += 1;
            }
        }
        if samples == 0 {
            return Ok(());
        }
        let begun = named
            .and_then(|()| Series::of(&self.labels, self.tables.shared()))
            .map_err(Unfit::Refused)
            .and_then(|series| self.tables.begin(series));
        match begun {
            Ok(begun) => self.samples(series, begun),
            Err(unfit) => self.unfit(unfit),
        }
    }

    fn samples(
        &mut self,
        series: &'a [u8],
        mut begun: Begun<'a>,
    ) -> std::result::Result<(), Fault> {
        let mut fields = Fields::of(series);
        while let Some((field, content)) = fields.next()? {
            if field != self.numbers.samples {
                continue;
            }
            let (ms, value) = sample(content.bytes()?)?;
            match self.tables.push(&mut begun, ms, value) {
                Ok(stale) => {
                    self.outcome.samples += 1;
                    self.outcome.stale += u64::from(stale);
                }
                // What the series has before is taken, what comes behind is not.
                Err(unfit) => return self.unfit(unfit),
            }
        }
        Ok(())
    }

    /// A series, or some samples of it, cannot be taken.
    fn unfit(&mut self, unfit: Unfit) -> std::result::Result<(), Fault> {
        match unfit {
            Unfit::TooLarge => Err(Fault::TooLarge),
            Unfit::Refused(reason) => {
                self.outcome.refused += 1;
                self.outcome.refusal.get_or_insert(reason);
                Ok(())
            }
        }
    }

    /// A label of version 1. What is wrong with the series alone is told inside.
    fn label(
        &mut self,
        label: &'a [u8],
    ) -> std::result::Result<std::result::Result<(), String>, Malformed> {
        let (mut name, mut value): Label<'_> = (&[], &[]);
        let mut fields = Fields::of(label);
        while let Some((field, content)) = fields.next()? {
            match field {
                1 => name = content.bytes()?,
                2 => value = content.bytes()?,
                _ => {}
            }
        }
        Ok(self.named(name, value))
    }

    /// The labels of version 2: numbers of texts, in pairs.
    fn references(
        &mut self,
        content: Content<'a>,
    ) -> std::result::Result<std::result::Result<(), String>, Malformed> {
        let mut packed = Fields::of(content.bytes()?);
        while !packed.is_empty() {
            let name = packed.number()?;
            if packed.is_empty() {
                return Ok(Err("a label has no value".to_owned()));
            }
            let (name, value) = (self.symbol(name), self.symbol(packed.number()?));
            let (Some(name), Some(value)) = (name, value) else {
                return Ok(Err("a label names a text that is not there".to_owned()));
            };
            let named = self.named(name, value);
            if named.is_err() {
                return Ok(named);
            }
        }
        Ok(Ok(()))
    }

    fn symbol(&self, number: u64) -> Option<&'a [u8]> {
        self.symbols.get(usize::try_from(number).ok()?).copied()
    }

    fn named(&mut self, name: &'a [u8], value: &'a [u8]) -> std::result::Result<(), String> {
        // The metric's name is one of them.
        if self.labels.len() > LABELS_MAX {
            return Err(format!("a series has more than {LABELS_MAX} labels"));
        }
        self.labels.push((name, value));
        Ok(())
    }
}

/// A sample's time in milliseconds, and its value; the same in both versions.
fn sample(message: &[u8]) -> std::result::Result<(i64, f64), Malformed> {
    // What is not told is zero.
    let (mut ms, mut value) = (0, 0.0);
    let mut fields = Fields::of(message);
    while let Some((field, content)) = fields.next()? {
        match field {
            1 => value = content.double()?,
            2 => ms = content.int64()?,
            _ => {}
        }
    }
    Ok((ms, value))
}
