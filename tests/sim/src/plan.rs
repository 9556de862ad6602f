//! What a run is to go through, and what it went through.

use std::time::Duration;

/// A run's size and what may go wrong in it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub edges: usize,
    /// Gateways between the cloud and the edges: then no edge comes to the cloud itself.
    pub gateways: usize,
    /// Whether each of them stands below the one before it, not all below the cloud.
    pub tower: bool,
    /// How long things go wrong; afterwards everything heals.
    pub storm: Duration,
    /// Time between two pieces of work of an edge, on average.
    pub work_every: Duration,
    /// Time between two mishaps, on average.
    pub mishap_every: Duration,
    /// Time between two sealings of the stream down.
    pub seal_every: Duration,
    /// Silence before a ping; three and a half times as much ends a connection.
    pub ping_every: Duration,
    /// The most frames that are lost, of 100.
    pub loss_max: u64,
    pub crashes: bool,
    pub clones: bool,
    pub rollbacks: bool,
    pub lost_disks: bool,
    pub full_disks: bool,
    pub clock_faults: bool,
    /// The cloud's directory becomes an older one of its own; the edges' disks then are all there is.
    pub old_clouds: bool,
    /// Edges are away for longer than deletes are remembered, and write, while others delete and the cloud compacts.
    pub absences: bool,
}

impl Plan {
    /// Loss, cuts in either direction, crashes and disks without space.
    pub fn storms(edges: usize) -> Self {
        Plan {
            edges,
            gateways: 0,
            tower: false,
            storm: Duration::from_secs(40),
            work_every: Duration::from_millis(900),
            mishap_every: Duration::from_millis(2500),
            seal_every: Duration::from_millis(400),
            ping_every: Duration::from_secs(2),
            loss_max: 30,
            crashes: true,
            clones: false,
            rollbacks: false,
            lost_disks: false,
            full_disks: true,
            clock_faults: false,
            old_clouds: false,
            absences: false,
        }
    }

    /// Storms over edges that keep all they write, below a cloud that goes back to older images.
    pub fn old_clouds(edges: usize) -> Self {
        Plan {
            old_clouds: true,
            ..Plan::storms(edges)
        }
    }

    /// Edges that are away for minutes, where deletes are remembered for one.
    pub fn absences(edges: usize) -> Self {
        Plan {
            absences: true,
            storm: Duration::from_secs(900),
            work_every: Duration::from_secs(8),
            mishap_every: Duration::from_secs(25),
            seal_every: Duration::from_secs(3),
            ping_every: Duration::from_secs(5),
            loss_max: 10,
            full_disks: false,
            ..Plan::storms(edges)
        }
    }

    /// The same, and everything that people do to disks and clocks.
    pub fn ordeals(edges: usize) -> Self {
        Plan {
            clones: true,
            rollbacks: true,
            lost_disks: true,
            clock_faults: true,
            ..Plan::storms(edges)
        }
    }

    /// The same with so many gateways between the cloud and the edges. They crash, run out of space and lose their
    /// links, and keep their disks: what only a lost one had is lost.
    pub fn through(self, gateways: usize) -> Self {
        Plan { gateways, ..self }
    }

    /// The same with so many, one below the other.
    pub fn tower(self, gateways: usize) -> Self {
        Plan {
            gateways,
            tower: true,
            ..self
        }
    }

    /// Days instead of seconds: work each few minutes, mishaps each few hours.
    pub fn days(self, days: u64) -> Self {
        Plan {
            storm: Duration::from_secs(days * 86_400),
            work_every: Duration::from_secs(days * 86_400 / 60),
            mishap_every: Duration::from_secs(days * 86_400 / 25),
            seal_every: Duration::from_secs(300),
            ping_every: Duration::from_secs(600),
            ..self
        }
    }
}

/// What happened, to see that enough did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub writes: u64,
    pub refused_writes: u64,
    pub frames: u64,
    pub lost_frames: u64,
    pub connections: u64,
    pub crashes: u64,
    pub clones: u64,
    pub rollbacks: u64,
    pub lost_disks: u64,
    pub full_disks: u64,
    pub clock_faults: u64,
    pub old_clouds: u64,
    /// Times an edge was away for longer than deletes are remembered.
    pub absences: u64,
    /// Rows that came later than that and are set aside.
    pub late: u64,
    /// Times an edge went to another gateway.
    pub moves: u64,
    /// Rows that comparisons shipped again or brought back.
    pub mended: u64,
    pub epochs_set_aside: u64,
    pub started_over: u64,
    pub compared: u64,
    /// Of every frame and when it was sent.
    pub trace: [u8; 32],
}

impl Summary {
    pub fn add(&mut self, other: &Summary) {
        let sums = [
            (&mut self.writes, other.writes),
            (&mut self.refused_writes, other.refused_writes),
            (&mut self.frames, other.frames),
            (&mut self.lost_frames, other.lost_frames),
            (&mut self.connections, other.connections),
            (&mut self.crashes, other.crashes),
            (&mut self.clones, other.clones),
            (&mut self.rollbacks, other.rollbacks),
            (&mut self.lost_disks, other.lost_disks),
            (&mut self.full_disks, other.full_disks),
            (&mut self.clock_faults, other.clock_faults),
            (&mut self.old_clouds, other.old_clouds),
            (&mut self.absences, other.absences),
            (&mut self.late, other.late),
            (&mut self.moves, other.moves),
            (&mut self.mended, other.mended),
            (&mut self.epochs_set_aside, other.epochs_set_aside),
            (&mut self.started_over, other.started_over),
            (&mut self.compared, other.compared),
        ];
        for (mine, others) in sums {
            *mine += others;
        }
    }
}
