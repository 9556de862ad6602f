//! Peers that lie, and peers of the version before: an error or a deaf ear, and bounded memory.

use std::time::Duration;

use activestore_sync_proto::{
    CatalogOffer, ChainHash, CloudCall, CloudOutput, CloudReply, DownPosition, Downlink,
    DownlinkOptions, EdgeCall, EdgeOutput, EdgeReply, Follow, FollowAnswer, Following, Frame,
    Health, Hello, Inbox, Limits, Now, PluginHealth, Progress, Rows, RowsRequest, SealedSegment,
    SegmentFrame, StartOver, Uplink, UplinkOptions, Welcome, encode, run_edge_call,
};
use activestore_types::{Epoch, NodeId, SyncClass};
use bytes::Bytes;

use crate::hosts::{CLOUD, Rng, SimCloud, SimEdge};

const EDGE: NodeId = NodeId([1; 16]);

fn outputs(uplink: &mut Uplink) -> Vec<EdgeOutput> {
    std::iter::from_fn(|| uplink.poll()).collect()
}

/// An edge past its handshake, with the calls it wants run then.
fn live(protocol: u16) -> (Uplink, Vec<EdgeOutput>) {
    live_with(UplinkOptions {
        protocol,
        ..UplinkOptions::default()
    })
}

fn live_with(options: UplinkOptions) -> (Uplink, Vec<EdgeOutput>) {
    let mut uplink = Uplink::new(options, Duration::ZERO, None);
    let host = SimEdge::new(EDGE, Rng(1));
    outputs(&mut uplink);
    let reply = run_edge_call(EdgeCall::Position { begun: None }, &*host, &*host);
    uplink.handle_reply(Duration::ZERO, reply);
    let greeting = outputs(&mut uplink);
    let says = greeting.contains(&EdgeOutput::Send(Frame::Apart));
    assert_eq!(says, !options.follows, "{greeting:?}");
    let welcome = Welcome {
        epoch: Epoch(7),
        durable_seq: 0,
        durable_hash: ChainHash::GENESIS,
        catalog_version: 1,
        wall_ms: 5,
        limits: Limits::default(),
    };
    uplink.handle_frame(Duration::ZERO, Frame::Welcome(welcome));
    let wants = outputs(&mut uplink);
    assert!(uplink.is_live());
    (uplink, wants)
}

fn follows_from(position: DownPosition) -> (Uplink, u64) {
    let (mut uplink, wants) = live(2);
    assert!(wants.contains(&EdgeOutput::Call(EdgeCall::DownPosition)));
    uplink.handle_reply(Duration::ZERO, EdgeReply::DownPosition(Ok(position)));
    let told = outputs(&mut uplink);
    let Some(EdgeOutput::Send(Frame::Follow(follow))) = told.first() else {
        panic!("{told:?}");
    };
    (uplink, follow.id)
}

fn closes(uplink: &mut Uplink) -> bool {
    outputs(uplink)
        .iter()
        .any(|output| matches!(output, EdgeOutput::Disconnect { .. }))
}

fn segment(epoch: Epoch, seq: u64, prev: ChainHash) -> Frame {
    let payload = Bytes::from(vec![0; 16]);
    Frame::Segment(SegmentFrame {
        epoch,
        last_sealed: seq,
        class: SyncClass::Live,
        segment: SealedSegment::seal(CLOUD, epoch, seq, prev, 1, payload),
    })
}

#[test]
fn nothing_comes_down_from_a_cloud_that_is_not_followed() {
    let options = UplinkOptions {
        follows: false,
        ..UplinkOptions::default()
    };
    let (mut uplink, wants) = live_with(options);
    let locates = |output: &EdgeOutput| {
        matches!(
            output,
            EdgeOutput::Call(EdgeCall::DownPosition | EdgeCall::Health)
        )
    };
    assert!(!wants.iter().any(locates), "{wants:?}");
    let offer = CatalogOffer {
        version: 9,
        sha256: [1; 32],
        bytes: 10,
    };
    uplink.handle_frame(Duration::ZERO, Frame::CatalogOffer(offer));
    let told = outputs(&mut uplink);
    let [
        EdgeOutput::Send(Frame::CatalogApplied {
            version: 9,
            error: Some(why),
        }),
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert!(why.contains("another cloud"), "{why}");
    // What it sends all the same is not taken.
    for frame in [
        segment(Epoch(3), 1, ChainHash::GENESIS),
        Frame::StartOver(StartOver {
            id: 0,
            node: CLOUD,
            epoch: Epoch(3),
            seq: 0,
            hash: ChainHash::GENESIS,
            definitions: 9,
            reason: "anew".to_owned(),
        }),
    ] {
        uplink.handle_frame(Duration::ZERO, frame);
        let wants = outputs(&mut uplink);
        let taken = |output: &EdgeOutput| {
            matches!(
                output,
                EdgeOutput::Call(EdgeCall::ApplyDown { .. } | EdgeCall::StartOver(_))
            )
        };
        assert!(!wants.iter().any(taken), "{wants:?}");
    }
}

#[test]
fn an_edge_that_speaks_to_a_cloud_of_before_asks_for_no_rows() {
    let (mut uplink, wants) = live(1);
    assert!(!wants.contains(&EdgeOutput::Call(EdgeCall::DownPosition)));
    uplink.handle_frame(Duration::ZERO, segment(Epoch(3), 1, ChainHash::GENESIS));
    assert!(closes(&mut uplink));
}

/// A cloud past its handshake with an edge of that version.
fn live_cloud(protocol: u16) -> Downlink {
    let now = Now::default();
    let mut downlink = Downlink::new(DownlinkOptions::default(), EDGE);
    downlink.handle_frame(
        now,
        Frame::Hello(Hello {
            protocol,
            node: EDGE,
            name: "old".to_owned(),
            epoch: Epoch(7),
            first_unacked: 1,
            last_sealed: 0,
            acked_hash: ChainHash::GENESIS,
            catalog_version: 1,
            limits: Limits::default(),
        }),
    );
    downlink.handle_reply(
        now,
        CloudReply::Progress {
            epoch: Epoch(7),
            progress: Ok(None),
            catalog_version: 1,
        },
    );
    assert!(downlink.is_live());
    downlink
}

fn wants(downlink: &mut Downlink) -> Vec<CloudOutput> {
    std::iter::from_fn(|| downlink.poll()).collect()
}

fn is_closed(wants: &[CloudOutput]) -> bool {
    let closed = |one: &CloudOutput| matches!(one, CloudOutput::Disconnect { .. });
    wants.iter().any(closed)
}

#[test]
fn only_edges_of_version_3_say_how_their_plugins_do() {
    let asks = |protocol| {
        live(protocol)
            .1
            .contains(&EdgeOutput::Call(EdgeCall::Health))
    };
    assert!(asks(3) && !asks(2) && !asks(1));
    let health = |plugins| {
        Frame::Health(Health {
            plugins: vec![PluginHealth::default(); plugins],
            ..Health::default()
        })
    };
    let mut cloud = live_cloud(3);
    cloud.handle_frame(Now::default(), health(2));
    let heard = |one: &CloudOutput| {
        matches!(one, CloudOutput::Call(CloudCall::Health { node, health })
            if *node == EDGE && health.plugins.len() == 2)
    };
    let told = wants(&mut cloud);
    assert!(told.iter().any(heard) && !is_closed(&told), "{told:?}");
    let mut cloud = live_cloud(2);
    cloud.handle_frame(Now::default(), health(2));
    assert!(is_closed(&wants(&mut cloud)));
    assert!(encode(&health(1024)).is_ok());
    assert!(encode(&health(1025)).is_err());
    let long = PluginHealth {
        version: "x".repeat(256),
        ..PluginHealth::default()
    };
    let long = Health {
        plugins: vec![long],
        ..Health::default()
    };
    assert!(encode(&Frame::Health(long)).is_err());
}

#[test]
fn a_cloud_takes_an_edge_of_before_and_sends_it_no_rows() {
    let now = Now::default();
    let mut downlink = live_cloud(1);
    downlink.down_sealed();
    assert!(!wants(&mut downlink).contains(&CloudOutput::Call(CloudCall::DownPosition)));
    let ack = Frame::Ack {
        epoch: Epoch(3),
        seq: 1,
    };
    downlink.handle_frame(now, ack);
    assert!(is_closed(&wants(&mut downlink)));
}

#[test]
fn rows_and_a_start_over_that_nobody_asked_for_change_nothing() {
    let (mut uplink, id) = follows_from(DownPosition::default());
    let rows = |id| {
        Frame::Rows(Rows {
            id,
            payload: Bytes::from_static(b"x"),
            next: None,
        })
    };
    let start = |id| {
        Frame::StartOver(StartOver {
            id,
            node: CLOUD,
            epoch: Epoch(3),
            seq: 5,
            hash: ChainHash::GENESIS,
            definitions: 1,
            reason: String::new(),
        })
    };
    for other in [0, id + 1, u64::MAX] {
        uplink.handle_frame(Duration::ZERO, rows(other));
        uplink.handle_frame(Duration::ZERO, start(other));
    }
    assert_eq!(outputs(&mut uplink), []);
    uplink.handle_frame(Duration::ZERO, start(id));
    // Once it is taken up, the same again is late.
    assert_eq!(outputs(&mut uplink).len(), 2);
    uplink.handle_frame(Duration::ZERO, start(id));
    assert_eq!(outputs(&mut uplink), []);
}

#[test]
fn a_stream_with_another_hash_or_epoch_is_not_applied_and_no_window_is_passed() {
    let position = DownPosition {
        node: CLOUD,
        epoch: Epoch(3),
        progress: Progress::default(),
        cursor: None,
    };
    let agree = |uplink: &mut Uplink, id, epoch| {
        let frame = Frame::Following(Following {
            id,
            epoch,
            last_sealed: 9,
        });
        uplink.handle_frame(Duration::ZERO, frame);
    };
    let (mut uplink, id) = follows_from(position.clone());
    agree(&mut uplink, id, Epoch(4));
    assert!(closes(&mut uplink), "another epoch was agreed to");

    let (mut uplink, id) = follows_from(position.clone());
    agree(&mut uplink, id, Epoch(3));
    let forged = SealedSegment {
        hash: ChainHash([1; 32]),
        ..SealedSegment::seal(CLOUD, Epoch(3), 1, ChainHash::GENESIS, 1, Bytes::new())
    };
    let frame = Frame::Segment(SegmentFrame {
        epoch: Epoch(3),
        last_sealed: 1,
        class: SyncClass::Live,
        segment: forged,
    });
    uplink.handle_frame(Duration::ZERO, frame);
    assert!(closes(&mut uplink), "a forged hash was taken");

    let (mut uplink, id) = follows_from(position);
    agree(&mut uplink, id, Epoch(3));
    let mut prev = ChainHash::GENESIS;
    for seq in 1..500 {
        let frame = segment(Epoch(3), seq, prev);
        let Frame::Segment(SegmentFrame { segment, .. }) = &frame else {
            unreachable!()
        };
        prev = segment.hash;
        uplink.handle_frame(Duration::ZERO, frame);
    }
    assert!(uplink.down_waiting().0 <= Limits::default().window_segments as usize);
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_ends_the_connection() {
    let now = Now::default();
    let cloud = SimCloud::new(Rng(4));
    let mut downlink = live_cloud(2);
    let follow = Follow {
        id: 1,
        epoch: cloud.down_position().unwrap().0,
        seq: 0,
        hash: ChainHash::GENESIS,
        fetching: false,
    };
    downlink.handle_frame(now, Frame::Follow(follow.clone()));
    downlink.handle_reply(
        now,
        CloudReply::Followed {
            id: 1,
            answer: Ok(FollowAnswer::Fits { last_sealed: 0 }),
        },
    );
    while downlink.poll().is_some() {}
    let ack = Frame::Ack {
        epoch: follow.epoch,
        seq: 12,
    };
    downlink.handle_frame(now, ack);
    assert!(is_closed(&wants(&mut downlink)));
}

#[test]
fn a_cursor_or_a_piece_beyond_its_bound_is_no_frame() {
    let cursor = Bytes::from(vec![0; (128 << 10) + 1]);
    assert!(encode(&Frame::RowsRequest(RowsRequest { id: 1, cursor })).is_err());
    let payload = Bytes::from(vec![0; (1 << 20) + 1]);
    let next = None;
    assert!(
        encode(&Frame::Rows(Rows {
            id: 1,
            payload,
            next
        }))
        .is_err()
    );
}

#[test]
fn a_cloud_knows_which_edges_follow_another_one() {
    let mut downlink = live_cloud(3);
    let follows = |downlink: &Downlink| downlink.status(Now::default(), true).unwrap().follows;
    assert!(follows(&downlink));
    downlink.handle_frame(Now::default(), Frame::Apart);
    assert!(downlink.is_live() && !follows(&downlink));
    // One of before does not know the frame.
    let mut downlink = live_cloud(2);
    downlink.handle_frame(Now::default(), Frame::Apart);
    assert!(!downlink.is_live());
}
