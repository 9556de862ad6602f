//! What of a request's body nobody has read when its answer is ready: a login that is missing, a type that is not
//! taken. The next request of a connection stands behind it. So a short rest is read and dropped, and where that does
//! not reach its end the answer says that the connection closes: a client that keeps it would else send its next
//! request into a connection that is gone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::listener::Peer;

/// Bytes of a rest that are read for the sake of the connection.
const DROPPED_BYTES_MAX: u64 = 256 << 10;

/// How long an answer waits for them.
const DROPPED_WITHIN: Duration = Duration::from_millis(250);

/// What has become of a body.
enum Left {
    /// Somebody has it, and may read on while the answer goes out.
    Held,
    /// Its end was reached.
    Nothing,
    /// It broke off.
    Broken,
    /// Nobody has it any more, and its end was not reached.
    Rest { pieces: BodyDataStream, begun: bool },
}

/// The rest of a request's body, from the outside.
pub(crate) struct Unread {
    left: Arc<Mutex<Left>>,
    /// The client sends the body once it is told to.
    waits: bool,
    /// Tells the connection that a client may still be sending when it closes.
    closes: Option<Arc<AtomicBool>>,
}

/// A body that gives back what is not read of it.
struct Watched {
    pieces: BodyDataStream,
    begun: bool,
    ended: bool,
    broken: bool,
    left: Arc<Mutex<Left>>,
}

impl Unread {
    /// Looks at how much of the request's body is read; `None` where it has none.
    pub(crate) fn watch(request: &mut Request) -> Option<Unread> {
        if request.body().is_end_stream() {
            return None;
        }
        let left = Arc::new(Mutex::new(Left::Held));
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::from_stream(Watched {
            pieces: body.into_data_stream(),
            begun: false,
            ended: false,
            broken: false,
            left: left.clone(),
        });
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        Some(Unread {
            left,
            waits: request.headers().contains_key(header::EXPECT),
            closes: peer.map(|ConnectInfo(peer)| peer.closes.clone()),
        })
    }

    /// Reads a short rest; where one stays unread the answer says that the connection closes.
    pub(crate) async fn settle(self, response: &mut Response) {
        let left = std::mem::replace(&mut *self.left.lock(), Left::Nothing);
        let ended = match left {
            Left::Held | Left::Nothing => true,
            Left::Broken => false,
            // It would be told to send what nobody wants.
            Left::Rest { begun: false, .. } if self.waits => false,
            Left::Rest { pieces, .. } => timeout(DROPPED_WITHIN, drop_rest(pieces))
                .await
                .unwrap_or(false),
        };
        if !ended {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
            if let Some(closes) = self.closes {
                closes.store(true, Ordering::Release);
            }
        }
    }
}

/// Whether the end is reached within the bound.
async fn drop_rest(mut pieces: BodyDataStream) -> bool {
    if HttpBody::size_hint(&pieces).lower() > DROPPED_BYTES_MAX {
        return false;
    }
    let mut bytes = 0_u64;
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else {
            return false;
        };
        bytes = bytes.saturating_add(piece.len() as u64);
        if bytes > DROPPED_BYTES_MAX {
            return false;
        }
    }
    true
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, axum::Error>>> {
        self.begun = true;
        let piece = self.pieces.poll_next_unpin(context);
        match &piece {
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Err(_))) => self.broken = true,
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        piece
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let none = Body::empty().into_data_stream();
        let pieces = std::mem::replace(&mut self.pieces, none);
        *self.left.lock() = if self.broken {
            Left::Broken
        } else if self.ended || pieces.is_end_stream() {
            Left::Nothing
        } else {
            Left::Rest {
                pieces,
                begun: self.begun,
            }
        };
    }
}
