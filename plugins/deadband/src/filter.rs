//! What passes, for one series.
//!
//! *Deadband*: a value that is farther than the band from the one sent last.
//!
//! *Swinging door*: the value before, once a straight line from the one sent last to a newer one would miss
//! any of those between by more than the band. So whoever draws lines between the values sent is never off
//! by more than the band. The doors are the steepest and the flattest line from the value sent last that
//! still pass within the band of all since. After Bristol, "Swinging door trending", 1990; a door that
//! closes on the newest value rather than on its band keeps the promise exactly.
//!
//! It knows neither keys nor where its memory is kept.

use activestore_plugin::series::Bits;
use activestore_plugin::{Error, ScalarType};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Values that moved.
    Deadband,
    /// Corners of a line through all values.
    SwingingDoor,
}

/// How far is far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Band {
    /// In the signal's own unit.
    Absolute(f64),
    /// A part of the value sent last.
    Relative(f64),
}

impl Band {
    /// Reads `0.5` or `2%`.
    ///
    /// # Errors
    /// `invalid` for anything else and for what is below zero.
    pub fn parse(text: &str) -> Result<Band, Error> {
        let text = text.trim();
        let (number, relative) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        match number.trim().parse::<f64>() {
            Ok(number) if number >= 0.0 && number.is_finite() => Ok(if relative {
                Band::Relative(number / 100.0)
            } else {
                Band::Absolute(number)
            }),
            _ => Err(Error::Invalid(format!(
                "band = '{text}' is not zero or a number above, with or without %"
            ))),
        }
    }

    fn around(self, value: f64) -> f64 {
        match self {
            Band::Absolute(band) => band,
            Band::Relative(part) => part * value.abs(),
        }
    }
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Nanoseconds since 1970, or 0 where the table has no timestamp.
    pub time: i64,
    /// As it is.
    pub bits: Bits,
    /// As a number.
    pub value: f64,
    /// As a whole number, of a BIGINT: floats do not tell those above 2^53 apart.
    pub whole: Option<i64>,
}

impl Point {
    /// A value of this type.
    pub fn of(time: i64, bits: Bits, kind: ScalarType) -> Self {
        Point {
            time,
            bits,
            value: bits.number(kind),
            whole: (kind == ScalarType::Int64).then_some(bits.0.cast_signed()),
        }
    }
}

/// The memory of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Filter {
    /// The value sent last.
    Deadband(Option<Point>),
    /// The doors, once there was a value.
    SwingingDoor(Option<Door>),
}

/// A door that swings around the value sent last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Door {
    /// The value sent last.
    pub hinge: Point,
    /// The newest value, which is not sent yet.
    pub held: Option<Point>,
    /// The slopes between which a line passes within the band of all values since, per nanosecond.
    pub slopes: (f64, f64),
}

impl Door {
    fn at(hinge: Point) -> Self {
        Door {
            hinge,
            held: None,
            slopes: (f64::NEG_INFINITY, f64::INFINITY),
        }
    }
}

impl Filter {
    /// Without memory.
    pub fn new(mode: Mode) -> Self {
        match mode {
            Mode::Deadband => Filter::Deadband(None),
            Mode::SwingingDoor => Filter::SwingingDoor(None),
        }
    }

    /// Looks at a value and sends what passes now: it, one before, both or none.
    pub fn see(
        &mut self,
        point: Point,
        band: &Band,
        silence: Option<i64>,
        mut send: impl FnMut(Point),
    ) {
        match self {
            Filter::Deadband(sent) => {
                if let Some(before) = sent
                    && !is_silent(before, &point, silence)
                    && !has_moved(before, &point, band)
                {
                    return;
                }
                send(point);
                // A late value does not turn time back.
                let time = sent.map_or(point.time, |before| before.time.max(point.time));
                *sent = Some(Point { time, ..point });
            }
            Filter::SwingingDoor(door) => match door {
                None => {
                    send(point);
                    *door = Some(Door::at(point));
                }
                Some(door) => door.see(point, band, silence, send),
            },
        }
    }
}

impl Door {
    fn see(
        &mut self,
        point: Point,
        band: &Band,
        silence: Option<i64>,
        mut send: impl FnMut(Point),
    ) {
        if point.time <= self.held.unwrap_or(self.hinge).time {
            // It is late: no line that is drawn by now knows of it.
            send(point);
            return;
        }
        if !(self.hinge.value.is_finite() && point.value.is_finite()) {
            let same = !has_moved(&self.hinge, &point, &Band::Absolute(0.0));
            if same && !is_silent(&self.hinge, &point, silence) {
                self.held = Some(point);
                return;
            }
            // No line leads to it or from it.
            self.held.into_iter().for_each(&mut send);
            send(point);
            *self = Door::at(point);
            return;
        }
        if let Some(held) = self.held {
            let slope = self.slope(&point, 0.0);
            if !(self.slopes.0 <= slope && slope <= self.slopes.1) {
                send(held);
                *self = Door::at(held);
            }
        }
        if is_silent(&self.hinge, &point, silence) {
            send(point);
            *self = Door::at(point);
            return;
        }
        let band = band.around(self.hinge.value);
        self.slopes = (
            self.slopes.0.max(self.slope(&point, -band)),
            self.slopes.1.min(self.slope(&point, band)),
        );
        self.held = Some(point);
    }

    /// The slope of the line to so far above a later point.
    fn slope(&self, point: &Point, above: f64) -> f64 {
        (difference(&self.hinge, point) + above) / point.time.saturating_sub(self.hinge.time) as f64
    }
}

fn is_silent(before: &Point, now: &Point, silence: Option<i64>) -> bool {
    silence.is_some_and(|silence| now.time.saturating_sub(before.time) >= silence)
}

fn has_moved(from: &Point, to: &Point, band: &Band) -> bool {
    let around = band.around(from.value);
    if let (Some(from), Some(to)) = (from.whole, to.whole) {
        // Of whole numbers a distance is above a band when it is above the whole part of it, which saturates.
        return to.abs_diff(from) > around as u64;
    }
    let (from, to) = (from.value, to.value);
    if from.is_finite() && to.is_finite() {
        (to - from).abs() > around
    } else {
        from != to && !(from.is_nan() && to.is_nan())
    }
}

/// How far one value is above another.
fn difference(from: &Point, to: &Point) -> f64 {
    match (from.whole, to.whole) {
        (Some(from), Some(to)) => (i128::from(to) - i128::from(from)) as f64,
        _ => to.value - from.value,
    }
}

#[cfg(test)]
mod tests;
