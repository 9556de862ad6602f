//! Lanes one frame at a time: what goes ahead, what is kept for it, what an old cloud gets, and what an edge
//! that lies cannot do.

use std::sync::Arc;
use std::time::Duration;

use activestore_sync_proto::limits::MAX_LANES;
use activestore_sync_proto::{
    ChainHash, CloudCall, CloudOutput, Downlink, DownlinkOptions, EdgeCall, EdgeOutput, Frame,
    Hello, Inbox, LaneOffer, Limits, Now, Outbox, PROTOCOL_VERSION, Reconnect, Reject,
    SealedSegment, SegmentFrame, Uplink, UplinkOptions, run_cloud_call, run_edge_call,
};
use activestore_types::{Epoch, NodeId, SyncClass};

use crate::hosts::{Rng, SimCloud, SimEdge};

const EDGE: NodeId = NodeId([1; 16]);

fn hosts() -> (Arc<SimEdge>, Arc<SimCloud>) {
    let cloud = Arc::new(SimCloud::new(Rng(1), false));
    let edge = Arc::new(SimEdge::new(EDGE, Rng(2), cloud.clone(), None));
    cloud.behave();
    edge.behave();
    (edge, cloud)
}

/// Runs what the edge wants of its host; returns the frames it sends, and how soon it comes back if it leaves.
fn edge_sends(uplink: &mut Uplink, host: &SimEdge) -> (Vec<Frame>, Option<Reconnect>) {
    let (mut frames, mut left) = (Vec::new(), None);
    while let Some(output) = uplink.poll() {
        match output {
            EdgeOutput::Send(frame) => frames.push(frame),
            EdgeOutput::Call(call) => {
                let reply = run_edge_call(call, host, host);
                uplink.handle_reply(Duration::ZERO, reply);
            }
            EdgeOutput::Event(_) => {}
            EdgeOutput::Disconnect { reconnect, .. } => left = Some(reconnect),
        }
    }
    (frames, left)
}

/// The same of the cloud; returns whether it closed as well.
fn cloud_sends(downlink: &mut Downlink, host: &SimCloud) -> (Vec<Frame>, bool) {
    let (mut frames, mut closed) = (Vec::new(), false);
    while let Some(output) = downlink.poll() {
        match output {
            CloudOutput::Send(frame) => frames.push(frame),
            CloudOutput::Call(call) => {
                let reply = run_cloud_call(call, host);
                downlink.handle_reply(Now::default(), reply);
            }
            CloudOutput::Event(_) => {}
            CloudOutput::Disconnect { .. } => closed = true,
        }
    }
    (frames, closed)
}

fn uplink(protocol: u16) -> Uplink {
    let options = UplinkOptions {
        protocol,
        ..UplinkOptions::default()
    };
    Uplink::new(options, Duration::ZERO, None)
}

fn downlink() -> Downlink {
    Downlink::new(DownlinkOptions::default(), EDGE)
}

/// A conversation until nobody has anything to say; returns how the edge left, if it did.
fn converse(up: &mut Uplink, edge: &SimEdge, cloud: &SimCloud) -> Option<Reconnect> {
    let mut down = downlink();
    loop {
        let (frames, left) = edge_sends(up, edge);
        if left.is_some() || frames.is_empty() {
            return left;
        }
        for frame in frames {
            down.handle_frame(Now::default(), frame);
        }
        let (frames, closed) = cloud_sends(&mut down, cloud);
        assert!(!closed);
        for frame in frames {
            up.handle_frame(Duration::ZERO, frame);
        }
    }
}

fn hello(epoch: Epoch) -> Frame {
    Frame::Hello(Hello {
        protocol: PROTOCOL_VERSION,
        node: EDGE,
        name: "edge".to_owned(),
        epoch,
        first_unacked: 1,
        last_sealed: 0,
        acked_hash: ChainHash::GENESIS,
        catalog_version: 0,
        limits: Limits::default(),
    })
}

fn offer(epoch: Epoch, class: SyncClass) -> Frame {
    Frame::Lane(LaneOffer {
        class,
        epoch,
        first_unacked: 1,
        last_sealed: 9,
        acked_hash: ChainHash::GENESIS,
    })
}

fn segment(epoch: Epoch, seq: u64, prev: ChainHash, bytes: usize) -> (Frame, ChainHash) {
    let payload = vec![7; bytes].into();
    let segment = SealedSegment::seal(EDGE, epoch, seq, prev, 1, payload);
    let hash = segment.hash;
    let frame = SegmentFrame {
        epoch,
        last_sealed: seq,
        segment,
        class: SyncClass::Live,
    };
    (Frame::Segment(frame), hash)
}

#[test]
fn the_first_rows_of_every_lane_follow_the_greeting_without_an_answer() {
    let (edge, cloud) = hosts();
    for row in 0..9 {
        edge.seal(SyncClass::Live, &[row]);
    }
    edge.seal(SyncClass::Alarm, &[100]);
    let mut up = uplink(PROTOCOL_VERSION);
    // Nobody has answered: live rows are those since the outage, so the nine became a backlog.
    let (frames, _) = edge_sends(&mut up, &edge);
    let names: Vec<_> = frames.iter().map(Frame::name).collect();
    assert_eq!(names, ["hello", "lane", "lane", "segment"]);
    edge.seal(SyncClass::Live, &[200]);
    // They come before the greeting, too: other streams, other luck.
    let mut down = downlink();
    for frame in frames
        .iter()
        .rev()
        .filter(|frame| frame.name() == "segment")
    {
        down.handle_frame(Now::default(), frame.clone());
    }
    for frame in frames.into_iter().filter(|frame| frame.name() != "segment") {
        down.handle_frame(Now::default(), frame);
    }
    let (answers, _) = cloud_sends(&mut down, &cloud);
    assert!(cloud.rows().contains(&100), "the alarm needed an answer");
    for frame in answers {
        up.handle_frame(Duration::ZERO, frame);
    }
    up.sealed();
    loop {
        let (frames, left) = edge_sends(&mut up, &edge);
        assert!(left.is_none());
        if frames.is_empty() {
            break;
        }
        for frame in frames {
            down.handle_frame(Now::default(), frame);
        }
        for frame in cloud_sends(&mut down, &cloud).0 {
            up.handle_frame(Duration::ZERO, frame);
        }
    }
    assert_eq!(cloud.rows(), edge.written());
    assert_eq!((edge.behind(), up.behind()), (0, 0));
    // The backlog is done, and the cloud need not remember it.
    assert_eq!(edge.chains().len(), 2);
    assert_eq!(cloud.counts().1, 1);
}

/// What the cloud says of the first alarm while the second one is there; `lost` is its number.
fn said_of_alarms(lost: u64) -> (Uplink, Downlink, Arc<SimEdge>, Arc<SimCloud>, Vec<Frame>) {
    let (edge, cloud) = hosts();
    edge.seal(SyncClass::Alarm, &[100]);
    edge.seal(SyncClass::Alarm, &[101]);
    let (mut up, mut down) = (uplink(PROTOCOL_VERSION), downlink());
    let (frames, _) = edge_sends(&mut up, &edge);
    for frame in frames {
        let is_lost = matches!(&frame, Frame::Segment(frame) if frame.segment.seq == lost);
        if !is_lost {
            down.handle_frame(Now::default(), frame);
        }
    }
    let (answers, _) = cloud_sends(&mut down, &cloud);
    (up, down, edge, cloud, answers)
}

#[test]
fn what_the_cloud_lacks_is_heard_before_its_answer_too() {
    let (mut up, mut down, edge, cloud, mut answers) = said_of_alarms(1);
    // Other streams, other luck: the cloud asks once, and its answer to the greeting comes after.
    answers.sort_by_key(|frame| frame.name() == "welcome");
    let names: Vec<_> = answers.iter().map(Frame::name).collect();
    assert!(
        names.contains(&"wanted") && names.last() == Some(&"welcome"),
        "{names:?}"
    );
    for frame in answers {
        up.handle_frame(Duration::ZERO, frame);
    }
    for frame in edge_sends(&mut up, &edge).0 {
        down.handle_frame(Now::default(), frame);
    }
    cloud_sends(&mut down, &cloud);
    assert_eq!(cloud.rows(), edge.written(), "it waited for its net");
}

#[test]
fn what_the_cloud_refuses_is_heard_before_its_answer_too() {
    let (mut up, mut down, edge, cloud, answers) = said_of_alarms(0);
    let alarms = edge.chains()[1].epoch;
    let refused = Frame::Reject(Reject {
        epoch: alarms,
        seq: 1,
        reason: "no room".to_owned(),
        retryable: true,
        retry_after_ms: 10,
    });
    let acks = |frame: &Frame| matches!(frame, Frame::Ack { .. });
    for frame in std::iter::once(refused).chain(answers.into_iter().filter(|one| !acks(one))) {
        up.handle_frame(Duration::ZERO, frame);
    }
    let again = up.next_timeout().unwrap();
    assert!(again < Duration::from_secs(10), "{again:?}");
    up.handle_timeout(again);
    let (frames, _) = edge_sends(&mut up, &edge);
    assert!(frames.iter().any(|frame| frame.name() == "segment"));
    for frame in frames {
        down.handle_frame(Now::default(), frame);
    }
    cloud_sends(&mut down, &cloud);
    assert_eq!(cloud.rows(), edge.written());
}

#[test]
fn what_is_not_urgent_is_held_before_a_greeting_and_after_it() {
    let (edge, cloud) = hosts();
    for row in 0..9 {
        edge.seal(SyncClass::Live, &[row]);
    }
    edge.seal(SyncClass::Alarm, &[100]);
    let mut up = uplink(PROTOCOL_VERSION);
    up.urgent_only(Duration::ZERO, true);
    assert_eq!(converse(&mut up, &edge, &cloud), None);
    assert!(up.is_live());
    assert_eq!(cloud.rows(), [100].into());
    // Sealed meanwhile.
    let mut up = uplink(PROTOCOL_VERSION);
    up.urgent_only(Duration::ZERO, true);
    edge.seal(SyncClass::Live, &[50]);
    edge.seal(SyncClass::Alarm, &[101]);
    assert_eq!(converse(&mut up, &edge, &cloud), None);
    assert_eq!(cloud.rows(), [100, 101].into());
    // Nothing of it times out.
    let late = Duration::from_secs(36_000);
    assert!(up.next_timeout().is_none_or(|at| at > Duration::ZERO));
    up.urgent_only(late, false);
    let (frames, left) = edge_sends(&mut up, &edge);
    assert!(left.is_none());
    assert!(
        frames.iter().any(|frame| frame.name() == "segment"),
        "{frames:?}"
    );
    assert_eq!(converse(&mut uplink(PROTOCOL_VERSION), &edge, &cloud), None);
    assert_eq!(cloud.rows(), edge.written());
    // An old cloud has one lane, which waits whole.
    edge.seal(SyncClass::Live, &[60]);
    let mut up = uplink(2);
    up.urgent_only(Duration::ZERO, true);
    assert_eq!(converse(&mut up, &edge, &cloud), None);
    assert_eq!(edge.behind(), 1);
}

#[test]
fn what_was_let_go_at_a_chains_end_is_not_waited_for() {
    let (edge, cloud) = hosts();
    edge.seal(SyncClass::Live, &[1]);
    let mut up = uplink(PROTOCOL_VERSION);
    assert_eq!(converse(&mut up, &edge, &cloud), None);
    let (node, name, epoch) = edge.identity();
    let position = |last_sealed| activestore_sync_proto::EdgeReply::Position {
        node,
        name: name.clone(),
        chains: vec![activestore_sync_proto::OutboxChain {
            class: SyncClass::Live,
            epoch,
            position: activestore_sync_proto::OutboxPosition {
                last_sealed,
                ..edge.position()
            },
        }],
        catalog_version: 0,
    };
    up.urgent_only(Duration::ZERO, true);
    up.handle_reply(Duration::ZERO, position(5));
    assert_eq!(up.behind(), 4);
    // Nobody has seen the last four.
    up.handle_reply(Duration::ZERO, position(1));
    assert_eq!(up.behind(), 0);
    up.urgent_only(Duration::ZERO, false);
    assert!(edge_sends(&mut up, &edge).0.is_empty());
}

#[test]
fn a_cloud_of_before_gets_one_chain_after_the_other() {
    let (edge, cloud) = hosts();
    for row in 0..9 {
        edge.seal(SyncClass::Live, &[row]);
    }
    edge.connection(Some(PROTOCOL_VERSION)); // a cloud of today was there for a moment
    edge.seal(SyncClass::Live, &[50]);
    edge.seal(SyncClass::Alarm, &[100]);
    assert_eq!(edge.chains().len(), 3);
    for version in [2, 1, 2, 1, 2, 1] {
        let mut up = uplink(version);
        let left = converse(&mut up, &edge, &cloud);
        if edge.behind() > 0 {
            assert_eq!(left, Some(Reconnect::Now));
        }
    }
    assert_eq!(edge.behind(), 0);
    assert_eq!(cloud.rows(), edge.written());
    // With nothing left of the others it stays.
    edge.seal(SyncClass::Live, &[51]);
    assert_eq!(converse(&mut uplink(2), &edge, &cloud), None);
    assert_eq!(edge.behind(), 0);
}

#[test]
fn one_lane_is_set_aside_and_the_others_go_on() {
    let (edge, cloud) = hosts();
    edge.seal(SyncClass::Alarm, &[1]);
    let image = edge.image();
    assert_eq!(converse(&mut uplink(PROTOCOL_VERSION), &edge, &cloud), None);
    edge.seal(SyncClass::Alarm, &[2]);
    assert_eq!(converse(&mut uplink(PROTOCOL_VERSION), &edge, &cloud), None);
    // An older image of the disk: its alarms are not what the cloud knows, its live rows are.
    edge.restore(image);
    let live = edge.identity().2;
    edge.seal(SyncClass::Alarm, &[3]);
    edge.seal(SyncClass::Live, &[4]);
    let mut up = uplink(PROTOCOL_VERSION);
    assert_eq!(converse(&mut up, &edge, &cloud), None);
    assert!(up.is_live());
    assert_eq!(edge.counts().0, 1);
    assert_eq!(edge.identity().2, live);
    assert_eq!(edge.behind(), 0);
    assert_eq!(cloud.rows(), edge.written());
}

#[test]
fn an_edge_that_missed_that_a_chain_was_set_aside_is_told_again() {
    let (_, cloud) = hosts();
    let unknown = Epoch(6);
    let past = |first_unacked| LaneOffer {
        class: SyncClass::Alarm,
        epoch: unknown,
        first_unacked,
        last_sealed: 9,
        acked_hash: ChainHash([1; 32]),
    };
    // The cloud holds nothing of a chain that it is said to have acknowledged; as a lane, and as the greeting's.
    let mut greeting = hello(Epoch(5));
    for greets in [false, true] {
        let mut down = downlink();
        if greets && let Frame::Hello(hello) = &mut greeting {
            (hello.epoch, hello.first_unacked, hello.last_sealed) = (unknown, 5, 9);
        }
        down.handle_frame(Now::default(), greeting.clone());
        if !greets {
            down.handle_frame(Now::default(), Frame::Lane(past(5)));
        }
        let is_told = |sent: &[Frame]| {
            let told = |frame: &Frame| matches!(frame, Frame::NeedNewEpoch { epoch, .. } if *epoch == unknown);
            sent.iter().any(told)
        };
        assert!(is_told(&cloud_sends(&mut down, &cloud).0));
        let (frame, _) = segment(unknown, 5, ChainHash([1; 32]), 8);
        down.handle_frame(Now::default(), frame);
        let (sent, closed) = cloud_sends(&mut down, &cloud);
        assert!(is_told(&sent) && !closed, "{sent:?}");
        assert!(cloud.rows().is_empty());
    }
}

#[test]
fn what_is_urgent_is_applied_first() {
    let (_, cloud) = hosts();
    let (live, alarms) = (Epoch(5), Epoch(6));
    let mut down = downlink();
    down.handle_frame(Now::default(), hello(live));
    down.handle_frame(Now::default(), offer(alarms, SyncClass::Alarm));
    cloud_sends(&mut down, &cloud);
    let mut prev = ChainHash::GENESIS;
    for seq in 1..=3 {
        let (frame, hash) = segment(live, seq, prev, 8);
        prev = hash;
        down.handle_frame(Now::default(), frame);
    }
    let (frame, _) = segment(alarms, 1, ChainHash::GENESIS, 8);
    down.handle_frame(Now::default(), frame);
    let mut order = Vec::new();
    while let Some(output) = down.poll() {
        if let CloudOutput::Call(call) = output {
            if let CloudCall::Apply { epoch, segment, .. } = &call {
                order.push((*epoch, segment.seq));
            }
            down.handle_reply(Now::default(), run_cloud_call(call, &*cloud));
        }
    }
    // The first was under way when the alarm came.
    let expected = [(live, 1), (alarms, 1), (live, 2), (live, 3)];
    assert_eq!(order, expected);
}

#[test]
fn an_edge_that_opens_lanes_without_end_is_sent_away() {
    let (_, cloud) = hosts();
    let mut down = downlink();
    down.handle_frame(Now::default(), hello(Epoch(1)));
    let mut opened = 0;
    for epoch in 2..1002 {
        down.handle_frame(Now::default(), offer(Epoch(epoch), SyncClass::Backlog));
        if cloud_sends(&mut down, &cloud).1 {
            break;
        }
        opened += 1;
    }
    assert_eq!(opened, MAX_LANES - 1);
    // Filling all that it opened takes no more room than a few windows do.
    let mut down = downlink();
    down.handle_frame(Now::default(), hello(Epoch(1)));
    for epoch in 2..MAX_LANES as u64 {
        down.handle_frame(Now::default(), offer(Epoch(epoch), SyncClass::Backlog));
    }
    cloud_sends(&mut down, &cloud);
    for epoch in 1..MAX_LANES as u64 {
        let mut prev = ChainHash::GENESIS;
        for seq in 1..20 {
            let (frame, hash) = segment(Epoch(epoch), seq, prev, 1 << 18);
            prev = hash;
            down.handle_frame(Now::default(), frame);
        }
    }
    let window = Limits::default().window_bytes as usize;
    assert!(down.waiting().1 <= 5 * window);
    // What there was no room for is asked for once there is.
    let last = Epoch(MAX_LANES as u64 - 1);
    let (frames, _) = cloud_sends(&mut down, &hosts().1);
    assert!(frames.contains(&Frame::Wanted {
        epoch: last,
        seq: 1
    }));
    // Nor does what comes ahead of everything.
    let mut down = downlink();
    for epoch in 1..1000 {
        let (frame, _) = segment(Epoch(epoch), 1, ChainHash::GENESIS, 1 << 18);
        down.handle_frame(Now::default(), frame);
    }
    assert_eq!(down.waiting(), (0, 0));
    let applied = cloud.counts().0;
    down.handle_frame(Now::default(), hello(Epoch(1)));
    let (frames, closed) = cloud_sends(&mut down, &cloud);
    assert!(!closed);
    assert_eq!(cloud.counts().0, applied + 1);
    // What was dropped is asked for at once.
    assert!(frames.iter().any(|frame| frame.name() == "wanted"));
}

#[test]
fn frames_of_lanes_are_no_part_of_an_older_conversation() {
    let (edge, cloud) = hosts();
    let mut down = downlink();
    let Frame::Hello(older) = hello(Epoch(1)) else {
        unreachable!()
    };
    let older = Hello {
        protocol: 2,
        ..older
    };
    down.handle_frame(Now::default(), Frame::Hello(older));
    cloud_sends(&mut down, &cloud);
    down.handle_frame(Now::default(), offer(Epoch(2), SyncClass::Alarm));
    assert!(cloud_sends(&mut down, &cloud).1);
    // And an edge that speaks it goes ahead of nothing.
    edge.seal(SyncClass::Live, &[1]);
    let mut up = uplink(2);
    let (frames, _) = edge_sends(&mut up, &edge);
    assert_eq!(frames.len(), 1);
    let position = EdgeCall::Position { begun: None };
    let reply = run_edge_call(position, &*edge, &*edge);
    up.handle_reply(Duration::ZERO, reply);
    assert!(edge_sends(&mut up, &edge).0.is_empty());
    assert!(cloud.progress(EDGE, Epoch(1)).unwrap().is_none());
}
