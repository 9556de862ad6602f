//! Definitions and blobs on their way out. The cloud offers a version and answers requests; it keeps
//! the offered bundle until the edge has adopted it, and no other blob.

use std::time::Duration;

use activestore_types::{NodeId, Result};
use bytes::Bytes;

use super::{CloudEvent, CloudOutput, DownlinkOptions, Outputs};
use crate::call::CloudCall;
use crate::frame::{CatalogOffer, Frame};
use crate::limits::{BLOB_CHUNK_BYTES, BLOB_REQUEST_BYTES, MAX_BLOB_BYTES, cut_reason};

#[derive(Debug)]
struct Offered {
    offer: CatalogOffer,
    bundle: Bytes,
    /// When it was offered last; `None` once the edge answered.
    at: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    sha256: [u8; 32],
    offset: u64,
    length: usize,
}

#[derive(Debug)]
pub(super) struct Serving {
    options: DownlinkOptions,
    node: NodeId,
    /// What the edge holds.
    held: u64,
    /// What this node has.
    version: u64,
    offered: Option<Offered>,
    bundle_calling: bool,
    bundle_again: bool,
    /// What is being read, and what is to be read next.
    reading: Option<Range>,
    next: Option<Range>,
}

impl Serving {
    pub(super) fn new(options: DownlinkOptions, node: NodeId) -> Self {
        Serving {
            options,
            node,
            held: 0,
            version: 0,
            offered: None,
            bundle_calling: false,
            bundle_again: false,
            reading: None,
            next: None,
        }
    }

    pub(super) fn begin(&mut self, held: u64) {
        self.held = held;
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The edge should hold `version`.
    pub(super) fn wish(&mut self, version: u64, out: &mut Outputs) {
        self.version = version;
        let offered = self
            .offered
            .as_ref()
            .is_some_and(|offered| offered.offer.version == version);
        if version == self.held || offered {
            return;
        }
        if self.bundle_calling {
            self.bundle_again = true;
        } else {
            self.bundle_calling = true;
            out.push_back(CloudOutput::Call(CloudCall::Bundle { node: self.node }));
        }
    }

    pub(super) fn bundle(
        &mut self,
        now: Duration,
        result: Result<(u64, [u8; 32], Bytes)>,
        out: &mut Outputs,
    ) {
        self.bundle_calling = false;
        match result {
            Ok((version, sha256, bundle)) => {
                self.version = version;
                if version != self.held {
                    let offer = CatalogOffer {
                        version,
                        sha256,
                        bytes: bundle.len() as u64,
                    };
                    out.push_back(CloudOutput::Send(Frame::CatalogOffer(offer)));
                    self.offered = Some(Offered {
                        offer,
                        bundle,
                        at: Some(now),
                    });
                }
            }
            Err(error) => out.push_back(CloudOutput::Event(CloudEvent::Trouble(
                error.context("the definitions for the edges"),
            ))),
        }
        if std::mem::take(&mut self.bundle_again) {
            self.bundle_calling = true;
            out.push_back(CloudOutput::Call(CloudCall::Bundle { node: self.node }));
        }
    }

    pub(super) fn applied(&mut self, version: u64, adopted: bool) {
        if adopted {
            self.held = version;
        }
        if let Some(offered) = &mut self.offered
            && offered.offer.version == version
        {
            // The edge tries again by itself after a failure; the bundle stays until it managed.
            offered.at = None;
            if adopted {
                self.offered = None;
            }
        }
    }

    pub(super) fn requested(
        &mut self,
        sha256: [u8; 32],
        offset: u64,
        length: usize,
        out: &mut Outputs,
    ) {
        let range = Range {
            sha256,
            offset,
            length: length.min(BLOB_REQUEST_BYTES),
        };
        let bundle = self
            .offered
            .as_ref()
            .filter(|offered| offered.offer.sha256 == sha256)
            .map(|offered| offered.bundle.clone());
        match bundle {
            Some(bundle) => send_range(range, &bundle, out),
            None if self.reading.is_some() => self.next = Some(range),
            None => self.read(range, out),
        }
    }

    pub(super) fn blob(
        &mut self,
        sha256: [u8; 32],
        bytes: Result<Option<Bytes>>,
        out: &mut Outputs,
    ) {
        if let Some(range) = self.reading.take()
            && range.sha256 == sha256
        {
            match bytes {
                Ok(Some(bytes)) if bytes.len() as u64 <= MAX_BLOB_BYTES => {
                    send_range(range, &bytes, out);
                }
                Ok(Some(_)) => missing(sha256, "the blob is larger than what may be sent", out),
                Ok(None) => missing(sha256, "the cloud does not have this blob", out),
                Err(error) => {
                    missing(sha256, &error.to_string(), out);
                    out.push_back(CloudOutput::Event(CloudEvent::Trouble(
                        error.context("a blob for an edge"),
                    )));
                }
            }
        }
        if let Some(range) = self.next.take() {
            self.read(range, out);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let at = self.offered.as_ref()?.at?;
        Some(at + self.options.offer_again)
    }

    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outputs) {
        let again = self.options.offer_again;
        if let Some(offered) = &mut self.offered
            && let Some(at) = &mut offered.at
            && now >= *at + again
        {
            *at = now;
            out.push_back(CloudOutput::Send(Frame::CatalogOffer(offered.offer)));
        }
    }

    fn read(&mut self, range: Range, out: &mut Outputs) {
        self.reading = Some(range);
        out.push_back(CloudOutput::Call(CloudCall::Blob {
            sha256: range.sha256,
        }));
    }
}

fn missing(sha256: [u8; 32], reason: &str, out: &mut Outputs) {
    out.push_back(CloudOutput::Send(Frame::BlobMissing {
        sha256,
        reason: cut_reason(reason),
    }));
}

/// Sends a range in pieces; at least one, so that an empty blob has an answer too.
fn send_range(range: Range, blob: &Bytes, out: &mut Outputs) {
    let total = blob.len() as u64;
    let mut offset = range.offset.min(total) as usize;
    let end = offset.saturating_add(range.length).min(blob.len());
    loop {
        let piece_end = (offset + BLOB_CHUNK_BYTES).min(end);
        out.push_back(CloudOutput::Send(Frame::BlobChunk {
            sha256: range.sha256,
            offset: offset as u64,
            total,
            bytes: blob.slice(offset..piece_end),
        }));
        offset = piece_end;
        if offset >= end {
            break;
        }
    }
}
