//! What is held by a schedule or a month's budget stays at the edge, and goes when it may.

use activestore_sync_quic::{AllowanceOptions, AtBudget, BudgetOptions, Schedule};

use super::*;

/// A window on one day of the week, that day not being one of the next two or the last.
fn not_now() -> Schedule {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let names = ["thu", "fri", "sat", "sun", "mon", "tue", "wed"];
    let day = names[(now / 86_400 + 3) as usize % 7];
    Schedule::parse(&[format!("{day} 10:00-11:00")], None).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_wait_for_their_hours_and_definitions_do_not() {
    let cloud = Cloud::start();
    let name = cloud.inbox.define(vec![7; 10]);
    let edge = Edge::new(1, QUIC);
    edge.host.seal(b"live".to_vec());
    let mut options = edge.options(cloud.server.local_addr(), Some(cloud.token()));
    options.allowance.schedule = not_now();
    let client = Edge::client(options);
    until("the definitions are adopted", || {
        edge.host.catalog() == Some((1, name.to_vec()))
    })
    .await;
    edge.host.seal(b"more".to_vec());
    until("the status says why", || {
        let status = client.status();
        status
            .waits
            .is_some_and(|waits| waits.contains("sync.schedule") && waits.contains("10:00 UTC"))
    })
    .await;
    assert!(client.status().connected_to.is_some());
    assert_eq!((edge.host.acked(), cloud.inbox.applied()), (0, 0));
    client.shutdown().await;
    // Without a schedule they go.
    let client = edge.start(cloud.server.local_addr(), None);
    until("everything is acknowledged", || edge.host.acked() == 2).await;
    client.shutdown().await;
}

/// What a month of so few bytes carries of a backlog, over runs that end in order or not.
async fn carried(at_budget: AtBudget, reach: Reach) -> (u64, u64) {
    const MONTH: u64 = 4_000_000;
    let cloud = Cloud::start();
    let edge = Edge::new(1, reach);
    let mut noise = 1_u64;
    for _ in 0..200 {
        let payload: Vec<u8> = (0..50_000)
            .map(|_| {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (noise >> 56) as u8
            })
            .collect();
        edge.host.seal(payload);
    }
    let month = edge.directory.path().join("link-month");
    let mut token = Some(cloud.token());
    let mut used = 0;
    for run in 0..4 {
        let mut options = edge.options(cloud.server.local_addr(), token.take());
        options.allowance = AllowanceOptions {
            schedule: Schedule::default(),
            budget: Some((
                BudgetOptions {
                    bytes: MONTH,
                    first_day: 28,
                    reserve_percent: 50,
                    at_budget,
                },
                month.clone(),
            )),
        };
        // Slow enough that a look comes in time.
        options.bandwidth = Some(400_000);
        let client = Edge::client(options);
        if run == 0 {
            until("something has arrived", || edge.host.acked() > 3).await;
        } else {
            until("the share is used", || client.status().waits.is_some()).await;
        }
        used = client.status().budget.unwrap().used;
        match run % 2 {
            // As after a crash: nothing more is written.
            0 => drop(client),
            _ => client.shutdown().await,
        }
    }
    // The last run found all used, and told nothing more.
    (cloud.inbox.applied(), used)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_months_bytes_are_not_exceeded_by_runs_that_break_off() {
    for reach in [QUIC, TCP] {
        let (applied, used) = carried(AtBudget::Alarms, reach).await;
        // Half of the month is for alarms, so at most 2 MB crossed, and what half a second brings and is in flight.
        assert!(applied >= 4, "{applied}");
        assert!(applied * 50_000 < 2_000_000 + 2_600_000, "{applied}");
        assert!(used >= 2_000_000, "{used}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_nobody_answers_are_charged_to_the_month() {
    /// The least that a first packet of QUIC has, with its headers.
    const FIRST_PACKET: u64 = 1228;
    for reach in [QUIC, TCP] {
        let cloud = Cloud::start();
        let edge = Edge::new(1, reach);
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut options = edge.options(silent.local_addr().unwrap(), Some(cloud.token()));
        options.allowance.budget = Some((
            BudgetOptions {
                bytes: 1_000_000_000,
                first_day: 1,
                reserve_percent: 0,
                at_budget: AtBudget::Hold,
            },
            edge.directory.path().join("link-month"),
        ));
        let client = Edge::client(options);
        // A refused connection over TCP costs a packet and no more.
        let least = if reach == QUIC { FIRST_PACKET } else { 60 };
        until("attempts are charged", || {
            client.status().budget.unwrap().used >= 3 * least
        })
        .await;
        assert_eq!(client.status().connections, 0);
        client.shutdown().await;
    }
}
