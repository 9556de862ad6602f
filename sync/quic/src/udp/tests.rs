//! What comes in bursts arrives packet by packet, whole.
use std::io::IoSliceMut;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;

/// Packets that are sent as one, as a cloud does.
const BURST: usize = 16;
const PACKET: usize = 1200;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_burst_that_was_sent_as_one_comes_packet_by_packet() {
    let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = near.local_addr().unwrap();
    let same = near.try_clone().unwrap();
    let near = TokioRuntime.wrap_udp_socket(near).unwrap();
    assert!(hands_over_one_by_one(&same));
    let crossed = Arc::<Crossed>::default();
    let near = Socket {
        inner: near,
        receives: 1,
        sends: 1,
        crossed: Some(crossed.clone()),
    };
    let far = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let far = TokioRuntime.wrap_udp_socket(far).unwrap();
    let bytes: Vec<u8> = (0..BURST * PACKET).map(|at| (at / PACKET) as u8).collect();
    let as_one = far.max_transmit_segments() >= BURST;
    let size = if as_one { bytes.len() } else { PACKET };
    for part in bytes.chunks(size) {
        let transmit = Transmit {
            destination: address,
            ecn: None,
            contents: part,
            segment_size: as_one.then_some(PACKET),
            src_ip: None,
        };
        let mut poller = far.clone().create_io_poller();
        std::future::poll_fn(|context| poller.as_mut().poll_writable(context))
            .await
            .unwrap();
        far.try_send(&transmit).unwrap();
    }
    let mut came = Vec::new();
    while came.len() < BURST {
        let mut buffers = [[0_u8; 1472]; 4];
        let mut meta = [RecvMeta::default(); 4];
        let received = std::future::poll_fn(|context| {
            let mut into = buffers.each_mut().map(|one| IoSliceMut::new(one));
            near.poll_recv(context, &mut into, &mut meta)
        });
        let count = tokio::time::timeout(Duration::from_secs(60), received)
            .await
            .unwrap()
            .unwrap();
        for (meta, buffer) in meta.iter().zip(&buffers).take(count) {
            assert_eq!((meta.len, meta.stride), (PACKET, PACKET));
            assert!(buffer[..PACKET].iter().all(|byte| *byte == buffer[0]));
            came.push(buffer[0]);
        }
    }
    assert_eq!(crossed.bytes() as usize, BURST * (PACKET + 28));
    came.sort_unstable();
    assert!(came.into_iter().map(usize::from).eq(0..BURST));
}
