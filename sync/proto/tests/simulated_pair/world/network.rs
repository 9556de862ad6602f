//! What the machines want is carried out: frames travel and get lost, calls take their time.

use super::*;

impl World {
    pub(super) fn edge_output(&mut self, id: u64, output: EdgeOutput) {
        let edge = self.connections[&id].edge;
        match output {
            EdgeOutput::Send(frame) => self.transmit(&frame, |bytes| Event::ToCloud(id, bytes)),
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
            CloudOutput::Send(frame) => self.transmit(&frame, |bytes| Event::ToEdge(id, bytes)),
            CloudOutput::Call(call) => {
                if self.mutation == Mutation::AckBeforeApply
                    && let CloudCall::Apply { epoch, segment, .. } = &call
                {
                    let ack = Frame::Ack {
                        epoch: *epoch,
                        seq: segment.seq,
                    };
                    self.transmit(&ack, |bytes| Event::ToEdge(id, bytes));
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

    fn transmit(&mut self, frame: &Frame, event: impl Fn(Vec<u8>) -> Event) {
        let bytes = encode(frame).unwrap();
        let copies = 1 + u64::from(self.rng.chance(self.repeat));
        for _ in 0..copies {
            if self.cut || self.rng.chance(self.loss) {
                continue;
            }
            let ms = self.rng.below(self.delay_ms);
            self.after(ms, event(bytes.clone()));
        }
    }
}
