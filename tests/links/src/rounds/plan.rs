//! What happens in a round, by a seed.

use std::fmt;
use std::time::Duration;

use crate::random::Random;

/// The most that is lost while a round's rows arrive.
pub const HEALED_PER_MILLE: u32 = 50;
const LOST_PER_MILLE_MAX: u64 = 300;
const EVENTS_MAX: u64 = 4;

/// Something that happens to a link or to a node.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The edge's interface is down for a while, which it sees.
    Down(Duration),
    /// Nothing gets through for a while, and nobody says so.
    Silence(Duration),
    /// The edge gets another address.
    Move,
    KillEdge,
    KillCloud,
    /// Both at once.
    KillBoth,
}

pub struct Event {
    pub after: Duration,
    pub fault: Fault,
}

pub struct Round {
    pub lost_per_mille: u32,
    pub kbit_s: u32,
    pub events: Vec<Event>,
}

pub struct Plan(Random);

impl Plan {
    pub fn new(seed: u64) -> Plan {
        Plan(Random::new(seed))
    }

    pub fn round(&mut self) -> Round {
        let random = &mut self.0;
        // Every third link loses nothing, so that rounds differ by what happens on it.
        let lost = random.below(LOST_PER_MILLE_MAX * 3 / 2);
        let lost_per_mille = if lost > LOST_PER_MILLE_MAX {
            0
        } else {
            lost as u32
        };
        let kbit_s = [128, 500, 1000, 10_000][random.below(4) as usize];
        let events = 1 + random.below(EVENTS_MAX);
        let events = (0..events)
            .map(|_| {
                let after = Duration::from_millis(50 + random.below(1000));
                let lasts = Duration::from_millis(100 + random.below(3000));
                let fault = match random.below(9) {
                    0 | 1 => Fault::Down(lasts),
                    2 | 3 => Fault::Silence(lasts),
                    4 | 5 => Fault::Move,
                    6 => Fault::KillEdge,
                    7 => Fault::KillCloud,
                    _ => Fault::KillBoth,
                };
                Event { after, fault }
            })
            .collect();
        Round {
            lost_per_mille,
            kbit_s,
            events,
        }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = f64::from(self.lost_per_mille) / 10.0;
        write!(f, "{lost} % lost, {} kbit/s", self.kbit_s)?;
        for event in &self.events {
            match event.fault {
                Fault::Down(lasts) => write!(f, ", down {:.1} s", lasts.as_secs_f64())?,
                Fault::Silence(lasts) => write!(f, ", silent {:.1} s", lasts.as_secs_f64())?,
                Fault::Move => write!(f, ", edge moves")?,
                Fault::KillEdge => write!(f, ", edge killed")?,
                Fault::KillCloud => write!(f, ", cloud killed")?,
                Fault::KillBoth => write!(f, ", both killed")?,
            }
        }
        Ok(())
    }
}
