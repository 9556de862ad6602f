//! Why a connection failed, as one plain sentence. The libraries' words stay behind it where no
//! better ones are known.

use std::io;
use std::time::Duration;

use activestore_types::Error;
use quinn::{ConnectError, ConnectionError, TransportErrorCode, VarInt};

/// Orderly closes carry this code; the reason beside it says why.
pub(crate) const CLOSE: VarInt = VarInt::from_u32(1);

/// TLS alerts are transport errors from here on (RFC 9001, section 4.8).
const CRYPTO_BASE: u64 = 0x100;
/// The longest text of a peer that is repeated in a log.
const MAX_PEER_TEXT_BYTES: usize = 1024;

/// Which end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Edge,
    Cloud,
}

impl Side {
    /// A sentence about the other end.
    pub(crate) fn of_peer(self, what: &str) -> String {
        match self {
            Side::Edge => format!("the cloud {what}"),
            Side::Cloud => format!("the edge {what}"),
        }
    }

    /// What is wrong with the other end's certificate, by the words of the TLS library.
    fn of_certificate(self, reason: &str) -> Option<&'static str> {
        if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
            Some(match self {
                Side::Edge => "the cloud's certificate is not of the cluster this edge belongs to",
                Side::Cloud => "its certificate is not of this cluster",
            })
        } else if reason.contains("NotValidYet") || reason.contains("Expired") {
            Some(match self {
                Side::Edge => {
                    "the cloud's certificate is not valid at this device's time; check its clock"
                }
                Side::Cloud => "its certificate is not valid now",
            })
        } else {
            None
        }
    }

    /// What the other end found wrong, by the number of its alert.
    fn of_alert(self, alert: u64) -> Option<&'static str> {
        match (self, alert) {
            (Side::Edge, 42 | 46 | 48 | 51) => {
                Some("the cloud refused this edge's certificate: it is not of its cluster")
            }
            (Side::Edge, 44 | 45) => {
                Some("the cloud refused this edge's certificate: it has expired")
            }
            (Side::Edge, 116) => Some("the cloud asked for a certificate and this edge has none"),
            (Side::Edge, 120) => Some("the cloud speaks another version of the protocol"),
            (Side::Cloud, 42 | 46 | 48 | 51) => {
                Some("it does not trust this cloud: it belongs to another cluster")
            }
            _ => None,
        }
    }

    fn silent(self) -> &'static str {
        match self {
            Side::Edge => "the cloud does not answer",
            Side::Cloud => "the edge fell silent",
        }
    }
}

/// Said with the pause after which the peer should come again.
const AGAIN: &str = "; come again in ";
const AGAIN_UNIT: &str = " ms";
/// The longest pause that a peer is believed.
const AGAIN_MAX: Duration = Duration::from_secs(300);

/// A reason to end, with the pause after which the peer should come again.
pub(crate) fn come_again(why: &str, pause: Duration) -> String {
    let ms = pause.min(AGAIN_MAX).as_millis();
    format!("{why}{AGAIN}{ms}{AGAIN_UNIT}")
}

/// The pause that a reason asks for, if it does.
pub(crate) fn again_in(reason: &str) -> Option<Duration> {
    let (_, rest) = reason.rsplit_once(AGAIN)?;
    let (ms, _) = rest.split_once(AGAIN_UNIT)?;
    Some(Duration::from_millis(ms.parse().ok()?).min(AGAIN_MAX))
}

/// Whether the cloud said by a packet, without a handshake, that it takes no more edges now.
pub(crate) fn is_busy(error: &ConnectionError) -> bool {
    matches!(error, ConnectionError::ConnectionClosed(close)
        if close.error_code == TransportErrorCode::CONNECTION_REFUSED)
}

/// As the edge sees it.
pub(crate) fn at_edge(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Reset => "the cloud was started again".to_owned(),
        other => of_quic(Side::Edge, other),
    }
}

/// As the cloud sees it.
pub(crate) fn at_cloud(error: &ConnectionError) -> String {
    of_quic(Side::Cloud, error)
}

fn of_quic(side: Side, error: &ConnectionError) -> String {
    let known = match error {
        ConnectionError::TransportError(error) => side.of_certificate(&error.reason),
        ConnectionError::ConnectionClosed(close) => {
            let alert = alert(close.error_code.into());
            alert.and_then(|alert| side.of_alert(alert))
        }
        ConnectionError::TimedOut => Some(side.silent()),
        _ => None,
    };
    match (known, error) {
        (Some(sentence), _) => sentence.to_owned(),
        (None, ConnectionError::ApplicationClosed(close)) => {
            side.of_peer(&format!("closed the connection: {}", text(&close.reason)))
        }
        (None, _) if side == Side::Edge && is_busy(error) => {
            "the cloud takes no more edges at the moment".to_owned()
        }
        (None, ConnectionError::ConnectionClosed(_)) if side == Side::Edge => {
            format!("the cloud ended the connection: {error}")
        }
        _ => format!("the connection failed: {error}"),
    }
}

/// What failed over TCP, in the handshake or later.
pub(crate) fn of_tls(side: Side, error: &io::Error) -> String {
    let inner = error.get_ref();
    let known = match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => side.of_alert(u64::from(u8::from(*alert))),
        Some(other) => side.of_certificate(&format!("{other:?}")),
        None => match error.kind() {
            io::ErrorKind::TimedOut => Some(side.silent()),
            io::ErrorKind::ConnectionRefused => Some("nothing listens for TCP there"),
            _ => None,
        },
    };
    known.map_or_else(|| format!("the connection failed: {error}"), str::to_owned)
}

/// A connection that could not even be tried.
pub(crate) fn to_start(error: &ConnectError) -> Error {
    Error::overloaded(format!("a connection cannot be started: {error}"))
}

fn alert(code: u64) -> Option<u64> {
    code.checked_sub(CRYPTO_BASE).filter(|alert| *alert < 256)
}

/// What a peer said, fit for a log.
pub(crate) fn text(reason: &[u8]) -> String {
    let reason = reason.get(..MAX_PEER_TEXT_BYTES).unwrap_or(reason);
    if reason.is_empty() {
        return "no reason given".to_owned();
    }
    String::from_utf8_lossy(reason)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    //! What asks for a pause is understood, and nothing else.
    use super::*;

    #[test]
    fn a_pause_is_read_as_it_was_said_and_bounded() {
        for ms in [0, 1, 1500, 299_999] {
            let pause = Duration::from_millis(ms);
            let said = format!(
                "the cloud closed the connection: {}",
                come_again("it ends", pause)
            );
            assert_eq!(again_in(&said), Some(pause), "{said}");
        }
        assert_eq!(again_in(&come_again("", Duration::MAX)), Some(AGAIN_MAX));
        assert_eq!(again_in("; come again in 99999999 ms"), Some(AGAIN_MAX));
        for other in [
            "",
            "; come again in soon ms",
            "; come again in -1 ms",
            "come again",
        ] {
            assert_eq!(again_in(other), None, "{other}");
        }
    }
}
