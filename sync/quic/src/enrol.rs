//! Joining, and renewing a certificate: one request and one answer over a connection of its own. A
//! joiner shows its token's secret, but only to a cloud that proved to be the token's; a member shows
//! its certificate.

use std::sync::Arc;

use activestore_types::{Error, NodeId, Result};
use quinn::SendStream;
use serde::{Deserialize, Serialize};

use crate::certificate::{Request, node_of};
use crate::clock::wall_ms;
use crate::failure;
use crate::identity::{CloudIdentity, EdgeIdentity};
use crate::link::Link;
use crate::member::Member;
use crate::tcp::TcpLink;
use crate::token_store::TokenStore;

const VERSION: u16 = 1;
/// The longest request or answer.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 << 10;

#[derive(Serialize, Deserialize)]
struct EnrolRequest {
    version: u16,
    node: NodeId,
    name: String,
    /// The token's secret; empty when the connection's certificate is the proof.
    secret: Vec<u8>,
    certificate_request: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
enum EnrolAnswer {
    Granted {
        certificate: Vec<u8>,
        ca: Vec<u8>,
        wall_ms: u64,
    },
    Refused {
        reason: String,
    },
}

/// Asks the cloud at the other end for a certificate, and keeps it.
pub(crate) async fn ask(
    connection: &Link,
    identity: &Arc<EdgeIdentity>,
    node: NodeId,
    name: &str,
    secret: &[u8],
) -> Result<()> {
    let request = EnrolRequest {
        version: VERSION,
        node,
        name: name.chars().take(64).collect(),
        secret: secret.to_vec(),
        certificate_request: identity.request(node)?,
    };
    let bytes = postcard::to_stdvec(&request)
        .map_err(|error| Error::internal(format!("the request to join: {error}")))?;
    let answer = exchange(connection, &bytes).await?;
    let answer: EnrolAnswer = postcard::from_bytes(&answer)
        .map_err(|_| Error::invalid("the cloud's answer to joining cannot be read"))?;
    match answer {
        EnrolAnswer::Granted {
            certificate,
            ca,
            wall_ms,
        } => {
            if node_of(&certificate)? != node {
                return Err(Error::invalid("the cloud's certificate names another node"));
            }
            let identity = identity.clone();
            tokio::task::spawn_blocking(move || {
                identity.join(certificate, ca)?;
                identity.observe_cloud(wall_ms);
                Ok(())
            })
            .await
            .map_err(|_| Error::internal("keeping the certificate was interrupted"))?
        }
        EnrolAnswer::Refused { reason } => Err(Error::denied(format!(
            "the cloud refused to admit: {reason}"
        ))),
    }
}

/// What came of a request.
pub(crate) struct Enrolled {
    /// Who has a certificate now.
    pub(crate) node: NodeId,
    /// Whether it had one before, which was renewed.
    pub(crate) renewed: bool,
}

/// Answers one request. `member` is whom the connection's certificate names, if it has one.
pub(crate) async fn answer(
    connection: &Link,
    member: Option<Member>,
    identity: Arc<CloudIdentity>,
    tokens: Arc<TokenStore>,
) -> Result<Enrolled> {
    let (bytes, asker) = question(connection).await?;
    let outcome = tokio::task::spawn_blocking(move || decide(&bytes, member, &identity, &tokens))
        .await
        .map_err(|_| Error::internal("the decision was interrupted"))?;
    let (answer, outcome) = match outcome {
        Ok((enrolled, answer)) => (answer, Ok(enrolled)),
        Err(error) => {
            let reason = error.to_string();
            (EnrolAnswer::Refused { reason }, Err(error))
        }
    };
    let bytes = postcard::to_stdvec(&answer)
        .map_err(|error| Error::internal(format!("the answer to joining: {error}")))?;
    asker.tell(&bytes).await;
    outcome
}

/// Sends the request and gives the answer.
async fn exchange(link: &Link, request: &[u8]) -> Result<Vec<u8>> {
    let connection = match link {
        Link::Quic(connection) | Link::Early(connection, _) => connection,
        Link::Tcp(link) => {
            link.send_message(request)?;
            return match link.message().await {
                Some(answer) => Ok(answer.to_vec()),
                None => Err(Error::denied(link.closed().await)),
            };
        }
    };
    let lost = |what: String| match connection.close_reason() {
        Some(error) => Error::denied(failure::at_edge(&error)),
        None => Error::overloaded(what),
    };
    let (mut send, mut recv) = connection
        .open_bi()
        .await
        .map_err(|error| Error::denied(failure::at_edge(&error)))?;
    send.write_all(request)
        .await
        .map_err(|error| lost(error.to_string()))?;
    // A stream that was written to and not finished yet can be finished.
    let _ = send.finish();
    recv.read_to_end(MAX_MESSAGE_BYTES)
        .await
        .map_err(|error| lost(error.to_string()))
}

/// Who waits for an answer.
enum Asker {
    Quic(SendStream),
    Tcp(TcpLink),
}

/// The request, and who asks.
async fn question(link: &Link) -> Result<(Vec<u8>, Asker)> {
    match link {
        Link::Quic(connection) | Link::Early(connection, _) => {
            let gone = |error: quinn::ConnectionError| Error::denied(failure::at_cloud(&error));
            let (send, mut recv) = connection.accept_bi().await.map_err(gone)?;
            let request = recv.read_to_end(MAX_MESSAGE_BYTES).await.map_err(|error| {
                Error::invalid(format!("the request to join did not arrive: {error}"))
            })?;
            Ok((request, Asker::Quic(send)))
        }
        Link::Tcp(link) => match link.message().await {
            Some(request) => Ok((request.to_vec(), Asker::Tcp(link.clone()))),
            None => Err(Error::denied(link.closed().await)),
        },
    }
}

impl Asker {
    /// Returns when the edge has read the answer, or is gone.
    async fn tell(self, answer: &[u8]) {
        match self {
            Asker::Quic(mut send) => {
                let written = send.write_all(answer).await;
                let _ = send.finish();
                if written.is_ok() {
                    let _ = send.stopped().await;
                }
            }
            Asker::Tcp(link) => {
                if link.send_message(answer).is_ok() {
                    link.closed().await;
                }
            }
        }
    }
}

fn decide(
    bytes: &[u8],
    member: Option<Member>,
    identity: &CloudIdentity,
    tokens: &TokenStore,
) -> Result<(Enrolled, EnrolAnswer)> {
    let request: EnrolRequest = postcard::from_bytes(bytes)
        .map_err(|_| Error::invalid("the request to join cannot be read"))?;
    if request.version != VERSION {
        return Err(Error::invalid(format!(
            "the request to join is of version {} and this node speaks {VERSION}",
            request.version
        )));
    }
    let node = request.node;
    let parsed = Request::read(&request.certificate_request, node)?;
    let renews = member.filter(|member| member.node == node && request.secret.is_empty());
    let renewed = renews.is_some();
    if let Some(member) = renews {
        if member != Member::new(node, parsed.public_key()) {
            return Err(Error::denied(
                "a certificate is renewed for the key that it is of, and this is another one",
            ));
        }
        tokens.admits(&member)?; // its labels are of no use here
    } else {
        tokens.redeem(&request.secret, node, &request.name, parsed.public_key())?;
    }
    let now_ms = wall_ms();
    let certificate = parsed.sign(node, identity.issuer(), now_ms)?;
    Ok((
        Enrolled { node, renewed },
        EnrolAnswer::Granted {
            certificate: certificate.to_vec(),
            ca: identity.ca().to_vec(),
            wall_ms: now_ms,
        },
    ))
}

#[cfg(test)]
pub(crate) mod tests;
