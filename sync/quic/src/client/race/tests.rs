//! Rounds in imagined time: who arrives when is made up, and who wins is looked at.

use std::collections::BTreeMap;

use super::*;

const PACE: Pace = Pace {
    head_start: Duration::from_millis(2000),
    stagger: Duration::from_millis(500),
};

fn address(n: u8) -> SocketAddr {
    ([10, 0, 0, n], 7490).into()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How an attempt to an address goes that sets out at that moment: what it takes, and whether it arrives.
type Network<'a> = &'a dyn Fn(Attempt) -> Option<(Duration, Result<(), Failure>)>;

struct Round {
    /// Who won, and when; `None` where nobody did.
    winner: Option<(Attempt, Duration)>,
    error: Option<String>,
    set_out: Vec<Attempt>,
    /// What arrived and was not needed.
    closed: usize,
}

/// Plays a round; what is under way forever is given up after ten seconds.
fn play(addresses: &[SocketAddr], reach: Reach, favoured: Transport, network: Network) -> Round {
    let mut race: Race<u32> = Race::new(addresses, reach, favoured, PACE);
    let mut now = Duration::ZERO;
    let mut events: BTreeMap<(Duration, usize), (Attempt, Result<(), Failure>)> = BTreeMap::new();
    let mut round = Round {
        winner: None,
        error: None,
        set_out: Vec::new(),
        closed: 0,
    };
    let mut number = 0;
    for _ in 0..1000 {
        match race.next(now) {
            Step::Start(attempt) => {
                number += 1;
                let silent = (
                    ms(10_000),
                    Err(Failure::Unanswered(Error::overloaded("silence"))),
                );
                let (takes, how) = network(Attempt {
                    after: now,
                    ..attempt
                })
                .unwrap_or(silent);
                events.insert((now + takes, number), (attempt, how));
                round.set_out.push(attempt);
            }
            Step::Won(attempt, _) => {
                round.winner = Some((attempt, now));
                return round;
            }
            Step::Lost(error) => {
                round.error = Some(error.to_string());
                return round;
            }
            Step::Wait(until) => {
                let next = events.keys().next().copied();
                match (next, until) {
                    (Some((at, _)), until) if until.is_none_or(|until| at <= until) => {
                        let (_, (attempt, how)) = events.pop_first().unwrap();
                        now = at;
                        match how {
                            Ok(()) => {
                                let took = now.saturating_sub(attempt.after);
                                let closed = race.arrived(now, attempt, took, 0);
                                round.closed += usize::from(closed.is_some());
                            }
                            Err(failure) => race.failed(attempt, failure),
                        }
                    }
                    (_, Some(until)) => now = until,
                    (None, None) => panic!("nothing to wait for"),
                    (Some(_), None) => unreachable!("the first arm takes it"),
                }
            }
        }
    }
    panic!("the round does not end");
}

#[test]
fn quic_alone_sets_out_where_it_is_answered() {
    let round = play(&[address(1)], Reach::Auto, Transport::Quic, &|_| {
        Some((ms(600), Ok(())))
    });
    let (winner, at) = round.winner.unwrap();
    assert_eq!((winner.by, at), (Transport::Quic, ms(600)));
    assert_eq!(round.set_out.len(), 1, "TCP costs nothing");
}

#[test]
fn tcp_takes_over_where_no_udp_gets_through() {
    let round = play(&[address(1)], Reach::Auto, Transport::Quic, &|attempt| {
        (attempt.by == Transport::Tcp).then_some((ms(300), Ok(())))
    });
    let (winner, at) = round.winner.unwrap();
    assert_eq!(winner.by, Transport::Tcp);
    assert_eq!(at, PACE.head_start + ms(300) + ms(600), "after the grace");
}

#[test]
fn quic_wins_where_the_link_came_back_in_the_middle_of_a_round() {
    // The link is back after 2.1 s: QUIC's own next packet would go seconds later, that of TCP goes at 3 s.
    let back = ms(2100);
    let round = play(&[address(1)], Reach::Auto, Transport::Quic, &|attempt| {
        Some(match attempt.by {
            Transport::Quic if attempt.after < back => (ms(9000), Ok(())),
            Transport::Quic => (ms(600), Ok(())),
            Transport::Tcp => (ms(2200), Ok(())),
        })
    });
    let (winner, at) = round.winner.unwrap();
    assert_eq!((winner.by, at), (Transport::Quic, ms(4800)));
    assert_eq!(round.closed, 1, "that of TCP is closed");
}

#[test]
fn a_network_that_took_tcp_before_gets_it_first() {
    let round = play(&[address(1)], Reach::Auto, Transport::Tcp, &|_| {
        Some((ms(300), Ok(())))
    });
    let (winner, at) = round.winner.unwrap();
    assert_eq!((winner.by, at), (Transport::Tcp, ms(300)));
}

#[test]
fn a_dead_address_costs_a_stagger_and_not_a_timeout() {
    let addresses = [address(1), address(2), address(3)];
    let round = play(&addresses, Reach::Auto, Transport::Quic, &|attempt| {
        (attempt.address == address(3)).then_some((ms(100), Ok(())))
    });
    let (winner, at) = round.winner.unwrap();
    assert_eq!(winner.address, address(3));
    assert_eq!(at, PACE.stagger * 2 + ms(100));
}

#[test]
fn what_fails_at_once_makes_room_at_once_and_a_refusal_is_not_tried_again() {
    let addresses = [address(1), address(2)];
    let round = play(&addresses, Reach::Auto, Transport::Quic, &|attempt| {
        Some((
            ms(10),
            match (attempt.by, attempt.address == address(1)) {
                (Transport::Tcp, false) => Ok(()),
                (Transport::Quic, true) => Err(Failure::Refused(Error::denied("not you"))),
                _ => Err(Failure::Broken(Error::overloaded("no route"))),
            },
        ))
    });
    let (winner, at) = round.winner.unwrap();
    assert_eq!((winner.by, winner.address), (Transport::Tcp, address(2)));
    assert!(at < ms(100), "{at:?}");
    assert_eq!(round.set_out.len(), 3, "{:?}", round.set_out);
}

#[test]
fn a_refusal_tells_more_than_silence() {
    let round = play(
        &[address(1), address(2)],
        Reach::Auto,
        Transport::Quic,
        &|attempt| {
            (attempt.address == address(2))
                .then(|| (ms(50), Err(Failure::Refused(Error::denied("not you")))))
        },
    );
    assert!(round.winner.is_none());
    assert!(round.error.unwrap().contains("not you"));
    let round = play(&[address(1)], Reach::Auto, Transport::Quic, &|attempt| {
        (attempt.by == Transport::Tcp).then(|| {
            (
                ms(5),
                Err(Failure::Broken(Error::denied("nothing listens"))),
            )
        })
    });
    let error = round.error.unwrap();
    assert!(
        error.contains("silence") && error.contains("nothing listens"),
        "{error}"
    );
}

#[test]
fn only_what_is_wanted_sets_out() {
    for by in [Transport::Quic, Transport::Tcp] {
        let round = play(
            &[address(1), address(2)],
            Reach::Only(by),
            Transport::Quic,
            &|_| None,
        );
        assert!(round.winner.is_none());
        assert_eq!(round.set_out.len(), 2);
        assert!(round.set_out.iter().all(|attempt| attempt.by == by));
    }
    let none = play(&[], Reach::Auto, Transport::Quic, &|_| None);
    assert!(none.error.unwrap().contains("no address"));
}
