//! Requests wait in their order, are delivered at least once, and are given up for a reason that is kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use activestore_plugin_host::{HttpMethod, HttpRequest, HttpTarget};
use parking_lot::Mutex;
use proptest::prelude::*;

use super::line::{Line, Pick, pause};
use super::{Answer, Courier, Kept, Outgoing, WAITING_BYTES_MAX, WAITING_MAX, kept};

fn target(host: u8) -> HttpTarget {
    HttpTarget::of(&format!("http://h{host}/")).unwrap()
}

fn request(body: usize) -> HttpRequest {
    HttpRequest {
        method: HttpMethod::Post,
        url: "http://h/".to_owned(),
        headers: Vec::new(),
        body: vec![7; body],
    }
}

#[test]
fn a_queue_is_bounded_by_count_and_by_bytes() {
    let outgoing = Outgoing::default();
    let id = || [1; 16];
    let admit = |requests, pending: &[_]| outgoing.admit("p", requests, pending, 5, &id);
    let (notes, tickets) = admit(vec![request(1); WAITING_MAX], &[]).unwrap();
    assert_eq!(notes.len(), WAITING_MAX);
    assert!(admit(vec![request(1)], &tickets).is_err());
    // What was not committed is not counted.
    let (_, few) = admit(vec![request(1); 2], &[]).unwrap();
    outgoing.committed(few);
    assert_eq!(outgoing.figures("p").waiting, 2);
    let error = admit(vec![request(1); WAITING_MAX - 1], &[]).unwrap_err();
    assert!(error.message().contains("wait to be sent"), "{error}");
    let halves = vec![request(WAITING_BYTES_MAX / 2); 2];
    assert!(admit(halves, &[]).is_err());
    // Other processors have room of their own.
    outgoing
        .admit("q", vec![request(1); WAITING_MAX], &[], 5, &id)
        .unwrap();
    let mut keys: Vec<_> = notes.iter().map(|(key, _)| key.clone()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), WAITING_MAX);
    assert_eq!(kept::place(&keys[0]).unwrap().0, "p");
}

#[test]
fn pauses_grow_and_differ() {
    assert_eq!(pause(1, 0), Duration::from_millis(500));
    assert_eq!(pause(1, u64::MAX), Duration::from_secs(1));
    assert_eq!(pause(3, u64::MAX), Duration::from_secs(4));
    assert_eq!(pause(u32::MAX, u64::MAX), Duration::from_secs(300));
}

#[test]
fn those_that_were_given_up_are_kept_within_a_bound() {
    let (mut line, to) = (Line::default(), target(1));
    for number in 0..150 {
        line.wait(number, to.clone(), 10);
        let gone = line.too_many_dead(number, &to);
        line.exhume(&gone);
        line.done(number, &to, false);
    }
    assert_eq!(line.figures().dead, 100);
    assert_eq!(line.figures().died, 150);
    line.wait(200, to.clone(), 512 << 10);
    assert_eq!(line.too_many_dead(200, &to).len(), 100);
}

proptest! {
    /// Whatever fails meanwhile: each is taken in the order of its host, by one thread at a time, and none is lost.
    #[test]
    fn each_host_has_its_requests_in_order(
        hosts in prop::collection::vec(0_u8..4, 1..60),
        fates in prop::collection::vec(0_u8..4, 200),
    ) {
        let mut line = Line::default();
        let mut wanted: BTreeMap<HttpTarget, VecDeque<u64>> = BTreeMap::new();
        for (number, host) in hosts.iter().enumerate() {
            line.wait(number as u64, target(*host), 1);
            wanted.entry(target(*host)).or_default().push_back(number as u64);
        }
        let mut now = Duration::ZERO;
        let mut fates = fates.into_iter().chain(std::iter::repeat(0));
        loop {
            match line.pick(now) {
                Pick::Nothing => break,
                Pick::At(at) => {
                    prop_assert!(at > now);
                    now = at;
                }
                Pick::Take(number, to) => {
                    line.take(&to);
                    prop_assert_eq!(wanted[&to].front(), Some(&number));
                    match fates.next().unwrap_or(0) {
                        0 | 1 => {
                            line.done(number, &to, true);
                            wanted.get_mut(&to).unwrap().pop_front();
                        }
                        2 => {
                            let (tries, answered) = line.failed(&to, true, "no");
                            prop_assert!(tries >= answered);
                            line.again(&to, now + pause(tries, u64::from(answered)));
                        }
                        _ => {
                            line.done(number, &to, false);
                            wanted.get_mut(&to).unwrap().pop_front();
                        }
                    }
                }
            }
        }
        prop_assert!(wanted.values().all(VecDeque::is_empty));
        prop_assert_eq!(line.waiting(), (0, 0));
        let figures = line.figures();
        prop_assert_eq!(figures.delivered + figures.died, hosts.len() as u64);
    }
}

#[test]
fn a_note_says_what_it_was_made_of() {
    let kept = Kept::new(request(3), [9; 16], 42);
    assert_eq!(Kept::read(&kept.write().unwrap()).unwrap(), kept);
    assert_eq!(kept.id().len(), 36);
    assert!(Kept::read(b"\xff").is_err());
    assert!(kept::place(b"http/p/zz").is_none());
    assert!(kept::place(b"http/p").is_none());
    assert_eq!(kept::place(&kept::key("p", 77)), Some(("p".to_owned(), 77)));
}

/// What a receiver was told: the key and the body of each request.
pub(crate) type Told = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Hands requests over and gives answers in turn, the last of them again and again.
pub(crate) struct Scripted {
    pub(crate) told: Told,
    pub(crate) answers: Mutex<VecDeque<Result<u16, String>>>,
}

impl Courier for Scripted {
    fn carry(
        &self,
        _method: &str,
        _url: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let key = headers.iter().find(|(name, _)| name == "idempotency-key");
        let key = key.map(|(_, key)| key.clone()).unwrap_or_default();
        self.told.lock().push((key, body.to_vec()));
        let mut answers = self.answers.lock();
        let answer = match answers.len() {
            1 => answers.front().cloned(),
            _ => answers.pop_front(),
        };
        let retry_after = None;
        answer.unwrap_or(Ok(200)).map(|status| Answer {
            status,
            retry_after,
        })
    }
}
