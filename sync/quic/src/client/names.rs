//! The addresses of the cloud's names. A name server that does not answer, as after an outage, must not hold up an edge
//! that knew the addresses before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use activestore_types::{Error, Result};
use tokio::task::JoinHandle;

/// At most this many addresses of one name are tried in one round.
const ADDRESSES_PER_NAME: usize = 4;
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
    /// The addresses of one of the peers, in the order in which they are to be tried.
    ///
    /// # Errors
    /// `Overloaded` where nobody says them in time and none are known, `NotFound` where there are none.
    pub(super) async fn resolve(
        &mut self,
        peer: &str,
        within: Duration,
    ) -> Result<Vec<SocketAddr>> {
        if let Ok(address) = peer.parse() {
            return Ok(vec![address]);
        }
        let name = self.by_peer.entry(peer.to_owned()).or_default();
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
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    while turns.len() < ADDRESSES_PER_NAME {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            break;
        }
    }
    turns.truncate(ADDRESSES_PER_NAME);
    turns
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
        assert!(in_turn(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn what_was_known_serves_while_the_name_is_gone() {
        // A name that no resolver may know (RFC 6761).
        let peer = "cloud.invalid:7490";
        let mut names = Names::default();
        let within = Duration::from_secs(60);
        assert!(names.resolve(peer, within).await.is_err());
        let known = vec![SocketAddr::from(([10, 0, 0, 1], 7490))];
        names.by_peer.insert(
            peer.to_owned(),
            Name {
                known: known.clone(),
                looking: None,
            },
        );
        assert_eq!(names.resolve(peer, within).await.ok(), Some(known));
        let address = "127.0.0.1:1";
        assert_eq!(
            names.resolve(address, within).await.ok(),
            Some(vec![address.parse().expect("an address")])
        );
    }
}
