//! What the machines want is carried out: frames travel and get lost, calls take their time.

use super::*;

impl World {
    pub(super) fn edge_output(&mut self, id: u64, output: EdgeOutput) {
        let edge = self.connections[&id].edge;
        match output {
            EdgeOutput::Send(frame) => self.transmit(id, true, &frame),
            EdgeOutput::Call(call) => {
                let ms = self.rng.below(15);
                self.after(ms, Event::EdgeRuns(id, call));
            }
            EdgeOutput::Event(EdgeEvent::Verified { here, there, .. }) => {
                let equal = DigestComparison::new(&here.unwrap(), &there.unwrap()).equal();
                self.edges[edge].verified = Some(equal);
            }
            EdgeOutput::Event(_) => {}
            EdgeOutput::Disconnect { reconnect, .. } => {
                let pause = match reconnect {
                    Reconnect::Now => 1,
                    Reconnect::AfterBackoff => 100,
                };
                self.after(pause, Event::Lost(id));
            }
        }
    }

    pub(super) fn cloud_output(&mut self, id: u64, output: CloudOutput) {
        match output {
            CloudOutput::Send(frame) => self.transmit(id, false, &frame),
            CloudOutput::Call(call) => {
                if self.mutation == Mutation::AckBeforeApply
                    && let CloudCall::Apply { epoch, segment, .. } = &call
                {
                    let ack = Frame::Ack {
                        epoch: *epoch,
                        seq: segment.seq,
                    };
                    self.transmit(id, false, &ack);
                }
                // A slow disk now and then: a call may outlive its connection.
                let most = if self.rng.chance(10) { 1000 } else { 40 };
                let ms = self.rng.below(most);
                self.after(ms, Event::CloudRuns(id, call));
            }
            CloudOutput::Event(CloudEvent::Repeated { .. }) => self.summary.repeated += 1,
            CloudOutput::Event(_) => {}
            CloudOutput::Disconnect { .. } => self.after(50, Event::Lost(id)),
        }
    }

    fn transmit(&mut self, id: u64, up: bool, frame: &Frame) {
        let bytes = encode(frame).unwrap();
        let event = |bytes| match up {
            true => Event::ToCloud(id, bytes),
            false => Event::ToEdge(id, bytes),
        };
        if self.plan == Plan::Streams {
            let at = self.now + Duration::from_millis(self.rng.below(self.delay_ms));
            let at = self.streams.arrival(id, up, frame.lane(), at);
            return self.at(at, event(bytes));
        }
        let copies = 1 + u64::from(self.rng.chance(self.repeat));
        for _ in 0..copies {
            if self.cut || self.rng.chance(self.loss) {
                continue;
            }
            let ms = self.rng.below(self.delay_ms);
            self.after(ms, event(bytes.clone()));
        }
    }

    /// After how long something is sent again for want of an answer.
    pub(super) fn net(&self, ms: u64) -> Duration {
        match self.plan {
            Plan::Streams => NEVER,
            _ => Duration::from_millis(ms),
        }
    }
}
