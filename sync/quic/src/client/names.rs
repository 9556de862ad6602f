//! The addresses of the cloud's names. A name server that does not answer, as after an outage, must not hold up an edge
//! that knew the addresses before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use activestore_types::{Error, Result};
use tokio::task::{JoinHandle, JoinSet};

/// At most this many addresses of one name are tried in one round.
const ADDRESSES_PER_NAME: usize = 4;
/// And so many of all names.
const ADDRESSES: usize = 8;
/// Where addresses are known from before, a name server is waited for no longer than this.
const ASK_AGAIN: Duration = Duration::from_secs(1);

type Looking = JoinHandle<std::io::Result<Vec<SocketAddr>>>;

#[derive(Default)]
struct Name {
    known: Vec<SocketAddr>,
    /// A question that was not answered in time and goes on, so that a dead name server is not asked ever more.
    looking: Option<Looking>,
}

/// What the names of the peers stood for last.
#[derive(Default)]
pub(super) struct Names {
    by_peer: HashMap<String, Name>,
}

impl Names {
    /// The addresses of the peers, in the order in which they are to be tried: the first of each, then the second of each.
    /// All names are looked for at once.
    ///
    /// # Errors
    /// Where no peer has any: `Overloaded` where nobody says them in time, `NotFound` where there are none.
    pub(super) async fn resolve(
        &mut self,
        peers: &[String],
        within: Duration,
    ) -> Result<Vec<SocketAddr>> {
        let mut names = Vec::new();
        for peer in peers {
            names.push(self.by_peer.remove(peer).unwrap_or_else(|| Name::of(peer)));
        }
        // Who is known already is not kept waiting by who is not.
        let within = match names.iter().any(|name| !name.known.is_empty()) {
            true => within.min(ASK_AGAIN),
            false => within,
        };
        let mut looking = JoinSet::new();
        for (at, (peer, mut name)) in peers.iter().cloned().zip(names).enumerate() {
            looking.spawn(async move {
                let found = name.resolve(&peer, within).await;
                (at, peer, name, found)
            });
        }
        let mut found = Vec::new();
        let mut failed = None;
        while let Some(looked) = looking.join_next().await {
            let (at, peer, name, addresses) =
                looked.map_err(|_| Error::internal("the look for a name was interrupted"))?;
            match addresses {
                Ok(addresses) => found.push((at, addresses)),
                Err(error) => {
                    tracing::debug!(peer, "{error}");
                    failed.get_or_insert(error);
                }
            }
            self.by_peer.insert(peer, name);
        }
        found.sort_by_key(|(at, _)| *at);
        let lists = found.into_iter().map(|(_, addresses)| addresses).collect();
        match (by_turns(lists, ADDRESSES), failed) {
            (none, Some(error)) if none.is_empty() => Err(error),
            (addresses, _) => Ok(addresses),
        }
    }
}

impl Name {
    /// An address is its own.
    fn of(peer: &str) -> Name {
        Name {
            known: peer.parse().into_iter().collect(),
            looking: None,
        }
    }

    async fn resolve(&mut self, peer: &str, within: Duration) -> Result<Vec<SocketAddr>> {
        if peer.parse::<SocketAddr>().is_ok() {
            return Ok(self.known.clone());
        }
        let name = self;
        let asked = peer.to_owned();
        let looking = name.looking.get_or_insert_with(|| {
            tokio::spawn(async move { Ok(tokio::net::lookup_host(asked).await?.collect()) })
        });
        let patience = if name.known.is_empty() {
            within
        } else {
            within.min(ASK_AGAIN)
        };
        let answer = match tokio::time::timeout(patience, looking).await {
            Ok(answer) => {
                name.looking = None;
                answer.map_err(|_| Error::internal("the look for the name was interrupted"))?
            }
            Err(_) if name.known.is_empty() => {
                return Err(Error::overloaded("the name is not resolved in time"));
            }
            Err(_) => return Ok(name.known.clone()),
        };
        match answer {
            Ok(addresses) => {
                let addresses = in_turn(addresses);
                if addresses.is_empty() {
                    return Err(Error::not_found("the name has no address"));
                }
                name.known.clone_from(&addresses);
                Ok(addresses)
            }
            // Without a network a resolver says that there is no such name.
            Err(_) if !name.known.is_empty() => Ok(name.known.clone()),
            Err(error) => Err(Error::not_found(format!(
                "the name is not resolved: {error}"
            ))),
        }
    }
}

/// One family after the other, beginning with that of the first, so that a network without one of them costs one
/// attempt and not several.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == v6_first);
    by_turns(vec![first, second], ADDRESSES_PER_NAME)
}

/// The first of each list, then the second of each, and so on; none twice, and so many at most.
fn by_turns(lists: Vec<Vec<SocketAddr>>, most: usize) -> Vec<SocketAddr> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut turns = Vec::new();
    loop {
        let turn: Vec<_> = lists.iter_mut().filter_map(Iterator::next).collect();
        if turn.is_empty() {
            return turns;
        }
        for address in turn {
            if turns.len() < most && !turns.contains(&address) {
                turns.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Families take turns, and what was known serves while nobody answers.
    use super::*;

    #[test]
    fn families_take_turns() {
        let v4 = |n: u8| SocketAddr::from(([10, 0, 0, n], 1));
        let v6 = |n: u16| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, n], 1));
        let turns = in_turn(vec![v6(1), v6(2), v6(3), v4(1), v4(2)]);
        assert_eq!(turns, [v6(1), v4(1), v6(2), v4(2)]);
        assert_eq!(in_turn(vec![v4(1), v4(2)]), [v4(1), v4(2)]);
        let lists = vec![vec![v4(1), v4(2), v4(3)], vec![v6(1)], vec![v4(1), v4(4)]];
        assert_eq!(by_turns(lists, 4), [v4(1), v6(1), v4(2), v4(4)]);
        assert!(in_turn(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn what_was_known_serves_while_the_name_is_gone() {
        // A name that no resolver may know (RFC 6761).
        let name = "cloud.invalid:7490".to_owned();
        let peer = [name.clone()];
        let mut names = Names::default();
        let within = Duration::from_secs(60);
        assert!(names.resolve(&peer, within).await.is_err());
        let known = vec![SocketAddr::from(([10, 0, 0, 1], 7490))];
        names.by_peer.insert(
            name.clone(),
            Name {
                known: known.clone(),
                looking: None,
            },
        );
        assert_eq!(names.resolve(&peer, within).await.ok(), Some(known.clone()));
        let address = "127.0.0.1:1";
        let both = [address.to_owned(), name, address.to_owned()];
        let address = address.parse().expect("an address");
        let found = names.resolve(&both, within).await.ok();
        assert_eq!(found, Some([vec![address], known].concat()));
    }
}
