//! A fleet: thousands of edges at one cloud, all of them back at once whenever that starts again.

use super::*;

/// Edges of a fleet.
pub const FLEET: usize = 2_000;
/// The state of a fleet is looked at whole once in so many events.
const LOOK_EVERY: u64 = 4_096;

impl World {
    pub(super) fn add_fleet(&mut self) {
        for number in 1..=FLEET as u128 {
            self.add_edge(NodeId(number.to_be_bytes()), None);
        }
    }

    /// Whether everything is looked at after this event: of a pair always, of a fleet now and then.
    pub(super) fn looks(&self) -> bool {
        self.plan != Plan::Fleet || self.steps.is_multiple_of(LOOK_EVERY)
    }

    /// How far an edge may get between two looks.
    pub(super) fn strides(&self) -> u64 {
        match self.plan {
            Plan::Fleet => u64::MAX,
            _ => 1,
        }
    }
}
