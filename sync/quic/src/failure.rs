//! Why a connection failed, as one plain sentence. The libraries' words stay behind it where no
//! better ones are known.

use activestore_types::Error;
use quinn::{ConnectError, ConnectionError, VarInt};

/// Orderly closes carry this code; the reason beside it says why.
pub(crate) const CLOSE: VarInt = VarInt::from_u32(1);

/// TLS alerts are transport errors from here on (RFC 9001, section 4.8).
const CRYPTO_BASE: u64 = 0x100;
/// The longest text of a peer that is repeated in a log.
const MAX_PEER_TEXT_BYTES: usize = 1024;

/// As the edge sees it.
pub(crate) fn at_edge(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TransportError(error)
            if error.reason.contains("UnknownIssuer") || error.reason.contains("BadSignature") =>
        {
            "the cloud's certificate is not of the cluster this edge belongs to".to_owned()
        }
        ConnectionError::TransportError(error)
            if error.reason.contains("NotValidYet") || error.reason.contains("Expired") =>
        {
            "the cloud's certificate is not valid at this device's time; check its clock".to_owned()
        }
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
            Some(42 | 46 | 48 | 51) => {
                "the cloud refused this edge's certificate: it is not of its cluster".to_owned()
            }
            Some(44 | 45) => "the cloud refused this edge's certificate: it has expired".to_owned(),
            Some(116) => "the cloud asked for a certificate and this edge has none".to_owned(),
            Some(120) => "the cloud speaks another version of the protocol".to_owned(),
            _ => format!("the cloud ended the connection: {error}"),
        },
        ConnectionError::ApplicationClosed(close) => {
            format!("the cloud closed the connection: {}", text(&close.reason))
        }
        ConnectionError::TimedOut => "the cloud does not answer".to_owned(),
        ConnectionError::Reset => "the cloud was started again".to_owned(),
        other => format!("the connection failed: {other}"),
    }
}

/// As the cloud sees it.
pub(crate) fn at_cloud(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TransportError(error)
            if error.reason.contains("UnknownIssuer") || error.reason.contains("BadSignature") =>
        {
            "its certificate is not of this cluster".to_owned()
        }
        ConnectionError::TransportError(error)
            if error.reason.contains("NotValidYet") || error.reason.contains("Expired") =>
        {
            "its certificate is not valid now".to_owned()
        }
        ConnectionError::ConnectionClosed(close)
            if matches!(alert(close.error_code.into()), Some(42 | 46 | 48 | 51)) =>
        {
            "it does not trust this cloud: it belongs to another cluster".to_owned()
        }
        ConnectionError::ApplicationClosed(close) => {
            format!("the edge closed the connection: {}", text(&close.reason))
        }
        ConnectionError::TimedOut => "the edge fell silent".to_owned(),
        other => format!("the connection failed: {other}"),
    }
}

/// A connection that could not even be tried.
pub(crate) fn to_start(error: &ConnectError) -> Error {
    Error::overloaded(format!("a connection cannot be started: {error}"))
}

fn alert(code: u64) -> Option<u64> {
    code.checked_sub(CRYPTO_BASE).filter(|alert| *alert < 256)
}

fn text(reason: &[u8]) -> String {
    let reason = reason.get(..MAX_PEER_TEXT_BYTES).unwrap_or(reason);
    if reason.is_empty() {
        return "no reason given".to_owned();
    }
    String::from_utf8_lossy(reason)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
