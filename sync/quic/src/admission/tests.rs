//! A storm of edges in imagined time.

use std::collections::BTreeSet;

use super::*;

const MS: Duration = Duration::from_millis(1);
const OPTIONS: AdmissionOptions = AdmissionOptions {
    handshakes: 50,
    per_second: 200,
    waiting: 100,
    patience: Duration::from_millis(500),
};

/// A number that looks like chance.
fn chance(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

#[test]
fn one_edge_alone_does_not_wait() {
    let mut gate = Gate::new(OPTIONS);
    assert!(matches!(gate.offer(MS, 1, false), Offered::Waits));
    assert!(matches!(gate.next(MS, 0), Some(Turn::Admit(1))));
    assert!(gate.next(MS, 1).is_none() && gate.wakes(MS, 1).is_none());
}

#[test]
fn ten_thousand_edges_are_let_in_at_the_rate_and_none_is_left_out() {
    let mut gate = Gate::new(OPTIONS);
    // When each comes, or comes again: two to four seconds after it was refused.
    let mut coming: BTreeSet<(Duration, u64)> = (0..10_000)
        .map(|edge| (MS * (chance(edge) % 1000) as u32, edge))
        .collect();
    let mut under_way: BTreeSet<(Duration, u64)> = BTreeSet::new();
    let mut admitted = BTreeSet::new();
    let (mut now, mut refusals) = (Duration::ZERO, 0_u64);
    while admitted.len() < 10_000 {
        now += MS;
        assert!(now < Duration::from_secs(120), "{} are in", admitted.len());
        while under_way.first().is_some_and(|(until, _)| *until <= now) {
            under_way.pop_first();
        }
        let mut again = |edge: u64| {
            refusals += 1;
            let pause = 2000 + chance(edge.wrapping_add(refusals << 20)) % 2000;
            (now + MS * pause as u32, edge)
        };
        let mut later = Vec::new();
        while let Some((at, edge)) = coming.first().copied().filter(|(at, _)| *at <= now) {
            coming.remove(&(at, edge));
            let half = gate.len() >= OPTIONS.waiting / 2;
            match gate.offer(now, edge, false) {
                Offered::Waits => assert!(!half),
                // It proves it a round trip later.
                Offered::Prove(edge) => match gate.offer(now, edge, true) {
                    Offered::Waits => assert!(half),
                    Offered::Refuse(edge) => later.push(again(edge)),
                    Offered::Prove(_) => panic!("it has proved it"),
                },
                Offered::Refuse(edge) => later.push(again(edge)),
            }
            assert!(gate.len() <= OPTIONS.waiting);
        }
        while let Some(turn) = gate.next(now, under_way.len()) {
            match turn {
                Turn::Admit(edge) => {
                    assert!(admitted.insert(edge));
                    under_way.insert((now + MS * 150, edge));
                    assert!(under_way.len() <= OPTIONS.handshakes);
                }
                Turn::Refuse(edge) => later.push(again(edge)),
            }
        }
        coming.extend(later);
        let most = now.as_secs_f64() * f64::from(OPTIONS.per_second) + gate.turns_most() + 1.0;
        assert!((admitted.len() as f64) <= most, "faster than the rate");
    }
    // 50 s at the rate; some turns find nobody at the end.
    assert!(now < Duration::from_secs(75), "{now:?}");
}

#[test]
fn those_who_wait_go_in_the_order_in_which_they_came() {
    let mut gate = Gate::new(AdmissionOptions {
        per_second: 10,
        ..OPTIONS
    });
    for edge in 0..10 {
        assert!(matches!(gate.offer(MS * edge, edge, true), Offered::Waits));
    }
    let mut seen = Vec::new();
    for now in 10..2000 {
        match gate.next(MS * now, 0) {
            Some(Turn::Admit(edge) | Turn::Refuse(edge)) => seen.push(edge),
            None => {
                let wakes = gate.wakes(MS * now, 0);
                assert_eq!(wakes.is_some(), gate.len() > 0);
                assert!(wakes.is_none_or(|at| at > MS * now), "it would spin");
            }
        }
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn nobody_is_let_in_while_too_many_are_under_way() {
    let mut gate = Gate::new(OPTIONS);
    gate.offer(Duration::ZERO, 1, true);
    assert!(gate.next(MS, OPTIONS.handshakes).is_none());
    assert_eq!(gate.wakes(MS, OPTIONS.handshakes), Some(OPTIONS.patience));
    assert!(matches!(
        gate.next(OPTIONS.patience, OPTIONS.handshakes),
        Some(Turn::Refuse(1))
    ));
}
