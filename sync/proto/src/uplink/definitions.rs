//! Definitions on their way down: an offer, the bundle, the blobs it needs, its adoption. The edge
//! pulls, so a lost frame costs a repeated request and nothing else.

use std::collections::VecDeque;
use std::time::Duration;

use activestore_types::Result;
use bytes::Bytes;

use super::{EdgeEvent, EdgeOutput, Outputs, UplinkOptions};
use crate::blob::BlobAssembly;
use crate::call::EdgeCall;
use crate::frame::{CatalogOffer, Frame};
use crate::limits::{BLOB_REQUEST_BYTES, MAX_BUNDLE_BLOBS, cut_reason};

#[derive(Debug)]
enum Stage {
    /// Nothing to do.
    Idle,
    /// Fetching the bundle itself.
    Bundle,
    /// The replica looks which blobs are missing.
    Listing { bundle: Bytes },
    /// Fetching the first of `missing`.
    Blobs {
        bundle: Bytes,
        missing: VecDeque<[u8; 32]>,
    },
    /// The replica keeps a blob; `missing` are the others.
    Putting {
        bundle: Bytes,
        missing: VecDeque<[u8; 32]>,
    },
    /// The replica adopts the bundle.
    Adopting,
    /// It failed; again at that time.
    Pause { until: Duration },
}

/// How often a cloud is told that what it believes is held is not: one of before does not answer.
const TELLINGS_MAX: u32 = 20;
/// What a cloud hears of its definitions that only gets what goes up.
const NOT_FROM_HERE: &str = "this node takes its definitions from another cloud";

#[derive(Debug)]
pub(super) struct Definitions {
    options: UplinkOptions,
    held: u64,
    offer: Option<CatalogOffer>,
    /// A newer offer that came while a host call was under way.
    next_offer: Option<CatalogOffer>,
    stage: Stage,
    assembly: Option<BlobAssembly>,
    /// The end of the range asked for, and when.
    asked: (u64, Duration),
    /// Until something is offered, the cloud is told again what is held: when, and how often still.
    telling: Option<(Duration, u32)>,
}

impl Definitions {
    pub(super) fn new(options: UplinkOptions, carry: Option<BlobAssembly>) -> Self {
        Definitions {
            options,
            held: 0,
            offer: None,
            next_offer: None,
            stage: Stage::Idle,
            assembly: carry,
            asked: (0, Duration::ZERO),
            telling: None,
        }
    }

    pub(super) fn into_carry(self) -> Option<BlobAssembly> {
        self.assembly.filter(|assembly| assembly.offset() > 0)
    }

    /// The version the replica holds.
    pub(super) fn hold(&mut self, version: u64) {
        self.held = version;
    }

    /// The version that the replica holds counts for another one: those of two clouds cannot be compared.
    pub(super) fn counts(&mut self, now: Duration, version: u64, out: &mut Outputs) {
        if std::mem::replace(&mut self.held, version) != version {
            if matches!(self.stage, Stage::Idle) {
                // What was offered before may be offered again, and is to be taken again.
                self.offer = None;
            }
            self.telling = Some((now, TELLINGS_MAX));
            self.tell_held(now, out);
        }
    }

    fn tell_held(&mut self, now: Duration, out: &mut Outputs) {
        let Some((at, left)) = self.telling.filter(|(at, _)| *at <= now) else {
            return;
        };
        let again = at.max(now) + self.options.retry_after;
        self.telling = left.checked_sub(1).map(|left| (again, left));
        out.push_back(EdgeOutput::Send(Frame::CatalogApplied {
            version: self.held,
            error: None,
        }));
    }

    pub(super) fn offered(&mut self, now: Duration, offer: CatalogOffer, out: &mut Outputs) {
        self.telling = None;
        if !self.options.follows {
            out.push_back(EdgeOutput::Send(Frame::CatalogApplied {
                version: offer.version,
                error: Some(NOT_FROM_HERE.to_owned()),
            }));
            return;
        }
        let newest = self.next_offer.or(self.offer).map(|known| known.version);
        if newest.is_some_and(|newest| offer.version < newest) {
            return; // overtaken by a newer one
        }
        if offer.version == self.held {
            out.push_back(EdgeOutput::Send(Frame::CatalogApplied {
                version: offer.version,
                error: None,
            }));
            return;
        }
        if newest == Some(offer.version) {
            return; // being worked on
        }
        if matches!(
            self.stage,
            Stage::Listing { .. } | Stage::Putting { .. } | Stage::Adopting
        ) {
            self.next_offer = Some(offer);
        } else {
            self.start(now, offer, out);
        }
    }

    pub(super) fn chunk(
        &mut self,
        now: Duration,
        sha256: [u8; 32],
        offset: u64,
        total: u64,
        piece: &[u8],
        out: &mut Outputs,
    ) {
        let Some(assembly) = &mut self.assembly else {
            return;
        };
        if assembly.sha256() != sha256 || !matches!(self.stage, Stage::Bundle | Stage::Blobs { .. })
        {
            return;
        }
        if let Err(error) = assembly.take(offset, total, piece) {
            self.assembly = None;
            return self.fail(now, error.message(), out);
        }
        if assembly.is_complete() {
            self.fetched(now, out);
        } else if assembly.offset() >= self.asked.0 {
            self.request(now, out);
        }
    }

    pub(super) fn missing(
        &mut self,
        now: Duration,
        sha256: [u8; 32],
        reason: &str,
        out: &mut Outputs,
    ) {
        let awaited = matches!(self.stage, Stage::Bundle | Stage::Blobs { .. })
            && self
                .assembly
                .as_ref()
                .is_some_and(|assembly| assembly.sha256() == sha256);
        if awaited {
            self.fail(now, reason, out);
        }
    }

    pub(super) fn missing_known(
        &mut self,
        now: Duration,
        result: Result<Vec<[u8; 32]>>,
        out: &mut Outputs,
    ) {
        let Stage::Listing { bundle } = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return;
        };
        if self.switch(now, out) {
            return;
        }
        match result {
            Ok(missing) if missing.len() > MAX_BUNDLE_BLOBS => {
                self.fail(now, "the definitions need too many blobs", out);
            }
            Ok(missing) => self.next_blob(now, bundle, missing.into(), out),
            Err(error) => self.fail(now, &error.to_string(), out),
        }
    }

    pub(super) fn blob_put(&mut self, now: Duration, result: Result<()>, out: &mut Outputs) {
        let Stage::Putting { bundle, missing } = std::mem::replace(&mut self.stage, Stage::Idle)
        else {
            return;
        };
        if self.switch(now, out) {
            return;
        }
        match result {
            Ok(()) => self.next_blob(now, bundle, missing, out),
            Err(error) => self.fail(now, &error.to_string(), out),
        }
    }

    pub(super) fn adopted(
        &mut self,
        now: Duration,
        version: u64,
        result: Result<()>,
        out: &mut Outputs,
    ) {
        self.stage = Stage::Idle;
        match result {
            Ok(()) => {
                self.held = version;
                out.push_back(EdgeOutput::Send(Frame::CatalogApplied {
                    version,
                    error: None,
                }));
                out.push_back(EdgeOutput::Event(EdgeEvent::CatalogAdopted { version }));
                self.switch(now, out);
            }
            Err(error) => {
                if !self.switch(now, out) {
                    self.fail(now, &error.to_string(), out);
                }
            }
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let stage = match self.stage {
            Stage::Bundle | Stage::Blobs { .. } => Some(self.asked.1 + self.options.ask_again),
            Stage::Pause { until } => Some(until),
            _ => None,
        };
        let telling = self.telling.map(|(at, _)| at);
        stage.into_iter().chain(telling).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Outputs) {
        self.tell_held(now, out);
        match self.stage {
            Stage::Bundle | Stage::Blobs { .. } if now >= self.asked.1 + self.options.ask_again => {
                self.request(now, out);
            }
            Stage::Pause { until } if now >= until => {
                if let Some(offer) = self.offer {
                    self.start(now, offer, out);
                }
            }
            _ => {}
        }
    }

    fn start(&mut self, now: Duration, offer: CatalogOffer, out: &mut Outputs) {
        self.offer = Some(offer);
        self.next_offer = None;
        self.stage = Stage::Bundle;
        self.fetch(now, offer.sha256, out);
    }

    /// Goes over to a newer offer, if one came meanwhile.
    fn switch(&mut self, now: Duration, out: &mut Outputs) -> bool {
        match self.next_offer.take() {
            Some(offer) => {
                self.start(now, offer, out);
                true
            }
            None => false,
        }
    }

    fn fetch(&mut self, now: Duration, sha256: [u8; 32], out: &mut Outputs) {
        if self.assembly.as_ref().map(BlobAssembly::sha256) != Some(sha256) {
            self.assembly = Some(BlobAssembly::new(sha256));
        }
        self.request(now, out);
    }

    fn request(&mut self, now: Duration, out: &mut Outputs) {
        let Some(assembly) = &self.assembly else {
            return;
        };
        self.asked = (assembly.offset() + BLOB_REQUEST_BYTES as u64, now);
        out.push_back(EdgeOutput::Send(Frame::BlobRequest {
            sha256: assembly.sha256(),
            offset: assembly.offset(),
            length: BLOB_REQUEST_BYTES as u32,
        }));
    }

    /// The blob under way is whole.
    fn fetched(&mut self, now: Duration, out: &mut Outputs) {
        let Some(assembly) = self.assembly.take() else {
            return;
        };
        let sha256 = assembly.sha256();
        let bytes = match assembly.finish() {
            Ok(bytes) => bytes,
            Err(error) => return self.fail(now, error.message(), out),
        };
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Bundle => {
                let bundle = Bytes::from(bytes);
                self.stage = Stage::Listing {
                    bundle: bundle.clone(),
                };
                out.push_back(EdgeOutput::Call(EdgeCall::MissingBlobs { bundle }));
            }
            Stage::Blobs {
                bundle,
                mut missing,
            } => {
                missing.pop_front();
                self.stage = Stage::Putting { bundle, missing };
                out.push_back(EdgeOutput::Call(EdgeCall::PutBlob { sha256, bytes }));
            }
            other => self.stage = other,
        }
    }

    fn next_blob(
        &mut self,
        now: Duration,
        bundle: Bytes,
        missing: VecDeque<[u8; 32]>,
        out: &mut Outputs,
    ) {
        match (missing.front().copied(), self.offer) {
            (Some(sha256), _) => {
                self.stage = Stage::Blobs { bundle, missing };
                self.fetch(now, sha256, out);
            }
            (None, Some(offer)) => {
                self.stage = Stage::Adopting;
                out.push_back(EdgeOutput::Call(EdgeCall::AdoptCatalog {
                    version: offer.version,
                    bundle,
                }));
            }
            (None, None) => self.stage = Stage::Idle,
        }
    }

    fn fail(&mut self, now: Duration, reason: &str, out: &mut Outputs) {
        let version = self.offer.map_or(0, |offer| offer.version);
        self.stage = Stage::Pause {
            until: now + self.options.retry_after,
        };
        out.push_back(EdgeOutput::Send(Frame::CatalogApplied {
            version,
            error: Some(cut_reason(reason)),
        }));
        out.push_back(EdgeOutput::Event(EdgeEvent::CatalogFailed {
            version,
            reason: reason.to_owned(),
        }));
    }
}
