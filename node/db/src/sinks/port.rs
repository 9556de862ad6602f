//! What a sink asks of those who reach other hosts: the database opens no socket itself.

use std::time::Duration;

use activestore_catalog::{SinkAddress, SinkOptions};
use activestore_types::Result;

use crate::subscribe::{Change, Changes};

/// Reaches receivers of sinks.
pub trait Carrier: Send + Sync {
    /// A line to a receiver, of the sink with this name. Nothing is sent yet, and no connection is made.
    ///
    /// # Errors
    /// Why none can be made.
    fn line(
        &self,
        sink: &str,
        address: &SinkAddress,
        options: &SinkOptions,
    ) -> Result<Box<dyn SinkLine>>;
}

/// The way to one receiver.
pub trait SinkLine: Send {
    /// An event in the receiver's words. One that there are none for is left out.
    ///
    /// # Errors
    /// `Internal` for a value that has no such form, `Invalid` for what the receiver's way of speaking cannot carry.
    fn parcel(&self, changes: &Changes, change: &Change) -> Result<Parcel>;

    /// Hands parcels over, in their order. It comes to an end within [`SinkOptions::timeout`], all of it: the look-up of
    /// a name, the connection, what is sent and what is answered.
    fn carry(&mut self, parcels: &[Parcel]) -> Carried;
}

/// An event on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Names the event for ever: the receiver knows by it what it has already.
    pub id: String,
    /// Where it goes at a broker; empty for a web hook.
    pub topic: String,
    /// What is sent.
    pub body: Vec<u8>,
}

/// What became of parcels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// So many, from the first on, are in the receiver's hands.
    pub taken: usize,
    /// Why the others are not.
    pub setback: Option<Setback>,
}

/// Why a parcel was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setback {
    /// The receiver does not want it.
    Refused(String),
    /// It says that it may take it later: why not now, and how long it wants to be left alone.
    Later(String, Option<Duration>),
    /// Nobody was there.
    Away(String),
    /// Somebody was, and by the end of the time for a try they were not taken: less is sent at once then.
    Late(String),
    /// The connection broke off while it was under way, and nobody knows whether because of it.
    BrokeOff(String),
}

impl Carried {
    /// All of them arrived.
    pub fn all(count: usize) -> Carried {
        Carried {
            taken: count,
            setback: None,
        }
    }

    /// Some arrived, and then the receiver said that it would not have more now.
    pub fn later(taken: usize, why: impl Into<String>) -> Carried {
        Carried {
            taken,
            setback: Some(Setback::Later(why.into(), None)),
        }
    }

    /// Some arrived, and then there was nobody any more.
    pub fn away(taken: usize, why: impl Into<String>) -> Carried {
        Carried {
            taken,
            setback: Some(Setback::Away(why.into())),
        }
    }

    /// Some arrived, and the others did not in time.
    pub fn late(taken: usize, why: impl Into<String>) -> Carried {
        Carried {
            taken,
            setback: Some(Setback::Late(why.into())),
        }
    }

    /// Some arrived, and then the connection broke off.
    pub fn broke_off(taken: usize, why: impl Into<String>) -> Carried {
        Carried {
            taken,
            setback: Some(Setback::BrokeOff(why.into())),
        }
    }

    /// What the status of an HTTP answer says of all of `count` parcels. An answer that speaks of the address, of the
    /// right to it or of the moment costs no event: only what speaks of the event itself refuses it.
    pub fn by_status(status: u16, retry_after: Option<Duration>, count: usize) -> Carried {
        let setback = match status {
            200..=299 => return Carried::all(count),
            300..=399 => Setback::Later(
                format!("it was answered {status}, and no redirect is followed"),
                retry_after,
            ),
            // 409 as well: a hook that knows ids says so of one that it is still busy with.
            401..=405 | 407..=410 | 421 | 423 | 425 | 426 | 429 | 431 | 451 => {
                Setback::Later(format!("it was answered {status}"), retry_after)
            }
            400..=499 => Setback::Refused(format!("it was answered {status}")),
            _ => Setback::Later(format!("it was answered {status}"), retry_after),
        };
        Carried {
            taken: 0,
            setback: Some(setback),
        }
    }
}
