//! What goes wrong with the network, with processes, disks and clocks.

use crate::world::{EDGES_MAX, Event, Network, TEN_YEARS_MS, World, inbox};

impl World {
    pub(crate) fn mishap(&mut self) {
        if !self.storms() {
            return;
        }
        let index = self.rng.below(self.edges.len() as u64) as usize;
        let mut plan = self.plan;
        if self.is_gateway(index) {
            // What only a lost disk held is lost, and a gateway holds what it has acknowledged to others.
            (plan.clones, plan.rollbacks, plan.lost_disks) = (false, false, false);
        }
        match self.rng.below(12) {
            0..=2 => {
                let ways = [
                    Network::Cut,
                    Network::UpOnly,
                    Network::DownOnly,
                    Network::Cut,
                ];
                self.network = ways[self.rng.below(4) as usize];
                self.later(plan.mishap_every * 2, Event::HealNetwork);
            }
            _ if plan.absences && self.rng.one_in(2) => self.go_away(index),
            3 | 4 if plan.crashes => self.crash_edge(index),
            5 if plan.crashes => self.crash_cloud(),
            6 if plan.full_disks => {
                self.summary.full_disks += 1;
                self.edges[index].node.space.run_out(true);
                self.later(plan.mishap_every, Event::Heal(index));
            }
            7 if plan.clones && self.edges.len() < (plan.edges * 2).min(EDGES_MAX) => {
                self.summary.clones += 1;
                self.edges[index].is_whole = false;
                let image = self.edges[index].node.image();
                self.add_edge(Some(image));
            }
            8 if plan.rollbacks => self.roll_back(index),
            9 if plan.lost_disks => {
                self.summary.lost_disks += 1;
                self.leave(index);
                let edge = &mut self.edges[index];
                edge.image = None;
                edge.ledger.lost();
                edge.node.lose_disk();
                // A new disk is a new node; whether its digests tell is its own matter.
                edge.is_whole = true;
            }
            10 if plan.clock_faults => {
                self.summary.clock_faults += 1;
                let wall_ms = match self.rng.below(4) {
                    0 => 0,
                    1 => self.wall_ms() + TEN_YEARS_MS,
                    2 => self.wall_ms() - self.rng.below(7_200_000),
                    _ => self.wall_ms(),
                };
                self.edges[index].node.clock.set_ms(wall_ms);
            }
            7..=11 if plan.old_clouds => self.roll_cloud_back(),
            _ => {
                if let Some(id) = self.edges[index].connection {
                    self.lose(id);
                }
                // It goes on at another gateway, of which no word came to the first.
                if plan.clones && plan.gateways > 1 && !self.is_gateway(index) {
                    self.summary.moves += 1;
                    let edge = &mut self.edges[index];
                    edge.carry = None;
                    edge.moved = true;
                    let next = |above: usize| (above + 1) % plan.gateways;
                    edge.above = edge.above.map(next);
                }
            }
        }
        self.later(plan.mishap_every, Event::Mishap);
    }

    /// The connections of an edge whose process ends, and at a gateway those of its edges.
    pub(crate) fn leave(&mut self, index: usize) {
        self.leave_above(Some(index));
        if let Some(id) = self.edges[index].connection {
            self.lose(id);
        }
        self.edges[index].carry = None;
    }

    pub(crate) fn crash_edge(&mut self, index: usize) {
        self.summary.crashes += 1;
        self.leave(index);
        self.edges[index].node.crash();
    }

    pub(crate) fn crash_cloud(&mut self) {
        self.summary.crashes += 1;
        self.leave_above(None);
        self.cloud.crash();
        self.inbox = inbox(&self.cloud, self.mutation);
    }

    /// The connections to a cloud or a gateway whose process ends.
    fn leave_above(&mut self, above: Option<usize>) {
        for id in self.ids_above(above) {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.orphaned = true;
            }
            self.lose(id);
        }
    }

    /// The first time an image is taken, the next time the cloud is that.
    fn roll_cloud_back(&mut self) {
        let Some(image) = self.cloud_image.take() else {
            self.cloud_image = Some(self.cloud.image());
            return;
        };
        self.summary.old_clouds += 1;
        self.leave_above(None);
        self.cloud.put_back(image);
        self.inbox = inbox(&self.cloud, self.mutation);
    }

    /// The first time images are taken of all edges, the next time the edge's comes back.
    pub(crate) fn roll_back(&mut self, index: usize) {
        let Some(image) = self.edges[index].image.take() else {
            for edge in &mut self.edges {
                edge.image.get_or_insert_with(|| edge.node.image());
            }
            return;
        };
        self.summary.rollbacks += 1;
        self.leave(index);
        let edge = &mut self.edges[index];
        edge.is_whole = false;
        edge.ledger.lost();
        edge.node.put_back(image);
    }

    pub(crate) fn heal(&mut self, index: usize) {
        if !self.edges[index].node.space.is_full() {
            return;
        }
        self.edges[index].node.space.run_out(false);
        // A log that could not be written is opened again, as an operator would.
        self.crash_edge(index);
    }
}
