//! What a run is to go through, and what it went through.

/// What goes wrong beside loss, delay, reordering and repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Cuts, and crashes of either side.
    Storms,
    /// The same, and a second device with a copy of the first one's disk.
    Clones,
    /// The same, and disks replaced by older images of themselves.
    Rollbacks,
    /// Thousands of edges at one cloud.
    Fleet,
    /// Streams that lose nothing and overtake each other, on connections that end, and crashes of either side.
    Streams,
}

/// A deliberate defect, which the checks must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    None,
    /// The cloud acknowledges a segment when it arrives.
    AckBeforeApply,
    /// The cloud's host forgets to look what it has.
    ApplyRepeats,
}

/// What happened, to see that enough did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub applied: u64,
    pub repeated: u64,
    pub crashes: u64,
    pub connections: u64,
    pub epochs_set_aside: u64,
    pub rotations: u64,
    pub forgotten: u64,
    pub adopted: u64,
}

impl Summary {
    pub fn add(&mut self, other: &Summary) {
        self.applied += other.applied;
        self.repeated += other.repeated;
        self.crashes += other.crashes;
        self.connections += other.connections;
        self.epochs_set_aside += other.epochs_set_aside;
        self.rotations += other.rotations;
        self.forgotten += other.forgotten;
        self.adopted += other.adopted;
    }
}
