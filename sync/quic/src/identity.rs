//! Who a node is: keys and certificates in a directory of its own, made when first needed. A cloud
//! has the cluster's authority and a server certificate; an edge has a key and, once it joined, a
//! certificate and the authority it trusts. Keys never leave their node.

use std::path::{Path, PathBuf};

use activestore_types::{Error, NodeId, Result};
use parking_lot::Mutex;
use rcgen::{Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::certificate;
use crate::clock::{FloorClock, wall_ms};
use crate::files;

const CA_KEY: &str = "ca.key";
const CA_CERTIFICATE: &str = "ca.crt";
const SERVER_KEY: &str = "server.key";
const SERVER_CERTIFICATE: &str = "server.crt";
const EDGE_KEY: &str = "edge.key";
const EDGE_CERTIFICATE: &str = "edge.crt";
const CLOCK_FLOOR: &str = "clock-floor";
/// The latest moment known is written down this often at most, in milliseconds.
const FLOOR_EVERY_MS: u64 = 3_600_000;

/// The cloud's identity: the cluster's authority and a server certificate signed by it.
pub struct CloudIdentity {
    issuer: Issuer<'static, KeyPair>,
    ca: CertificateDer<'static>,
    /// Made anew while the node runs; the key stays.
    server: Mutex<CertificateDer<'static>>,
    server_path: PathBuf,
    server_key: KeyPair,
}

impl std::fmt::Debug for CloudIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CloudIdentity")
    }
}

impl CloudIdentity {
    /// The identity in `directory`, made there if there is none. The server certificate is made
    /// anew when two thirds of its life are over.
    ///
    /// # Errors
    /// `Corrupt` when a file is missing beside its partner or cannot be read as what it should be;
    /// when the directory cannot be written.
    pub fn open_or_create(directory: &Path) -> Result<CloudIdentity> {
        files::make_private_dir(directory)?;
        let _lock = files::lock(&directory.join("identity.lock"))?;
        let now_ms = wall_ms();
        let ca_path = directory.join(CA_CERTIFICATE);
        let known = read_certificate(&ca_path)?;
        let ca_key = key_in(&directory.join(CA_KEY), known.is_none())?;
        let ca = match known {
            Some(ca) => ca,
            None => {
                let ca = certificate::make_ca(&ca_key, now_ms)?;
                write_certificate(&ca_path, &ca)?;
                ca
            }
        };
        let issuer = certificate::issuer(&ca, ca_key)?;
        let server_key = key_in(&directory.join(SERVER_KEY), true)?;
        let server_path = directory.join(SERVER_CERTIFICATE);
        let server = match read_certificate(&server_path)? {
            Some(server) => server,
            None => {
                let server = certificate::make_server(&server_key, &issuer, now_ms)?;
                write_certificate(&server_path, &server)?;
                server
            }
        };
        let identity = CloudIdentity {
            issuer,
            ca,
            server: Mutex::new(server),
            server_path,
            server_key,
        };
        identity.renew_if_due(now_ms)?;
        Ok(identity)
    }

    /// Makes the server certificate anew when two thirds of its life are over, or it is not valid now, as after a clock
    /// was set right; whether it did.
    ///
    /// # Errors
    /// When it cannot be signed or written down.
    pub(crate) fn renew_if_due(&self, now_ms: u64) -> Result<bool> {
        let server = self.server();
        if certificate::is_valid(&server, now_ms) && !certificate::is_due(&server, now_ms) {
            return Ok(false);
        }
        let renewed = certificate::make_server(&self.server_key, &self.issuer, now_ms)?;
        write_certificate(&self.server_path, &renewed)?;
        *self.server.lock() = renewed;
        Ok(true)
    }

    /// The SHA-256 of the cluster's certificate: what tokens pin.
    pub fn ca_sha256(&self) -> [u8; 32] {
        sha256(&self.ca)
    }

    /// The certificate of the key that signs.
    pub(crate) fn server(&self) -> CertificateDer<'static> {
        self.server.lock().clone()
    }

    pub(crate) fn ca(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.server(), self.ca.clone()]
    }

    pub(crate) fn server_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.server_key.serialize_der()).into()
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

/// What an edge got when it joined.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) ca: CertificateDer<'static>,
}

/// An edge's identity: its key and, once it joined, its membership.
pub struct EdgeIdentity {
    directory: PathBuf,
    key: KeyPair,
    membership: Mutex<Option<Membership>>,
    clock: FloorClock,
}

impl std::fmt::Debug for EdgeIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeIdentity")
            .field("joined", &self.joined())
            .finish_non_exhaustive()
    }
}

impl EdgeIdentity {
    /// The identity in `directory`; the key is made there if there is none.
    ///
    /// # Errors
    /// `Corrupt` when a file cannot be read as what it should be; when the directory cannot be
    /// written.
    pub fn open_or_create(directory: &Path) -> Result<EdgeIdentity> {
        files::make_private_dir(directory)?;
        let _lock = files::lock(&directory.join("identity.lock"))?;
        let certificate = read_certificate(&directory.join(EDGE_CERTIFICATE))?;
        let ca = read_certificate(&directory.join(CA_CERTIFICATE))?;
        let key = key_in(&directory.join(EDGE_KEY), certificate.is_none())?;
        // Written certificate last: a crash between the two means that it has not joined yet.
        let membership = certificate
            .zip(ca)
            .map(|(certificate, ca)| Membership { certificate, ca });
        let floor_ms = files::read(&directory.join(CLOCK_FLOOR))?
            .and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok())
            .unwrap_or(0);
        Ok(EdgeIdentity {
            directory: directory.to_owned(),
            key,
            membership: Mutex::new(membership),
            clock: FloorClock::new(floor_ms),
        })
    }

    /// Whether this edge has joined a cluster.
    pub fn joined(&self) -> bool {
        self.membership.lock().is_some()
    }

    /// The node this edge joined as.
    pub fn node(&self) -> Option<NodeId> {
        let membership = self.membership();
        membership.and_then(|membership| certificate::node_of(&membership.certificate).ok())
    }

    pub(crate) fn membership(&self) -> Option<Membership> {
        self.membership.lock().clone()
    }

    pub(crate) fn request(&self, node: NodeId) -> Result<Vec<u8>> {
        certificate::make_request(&self.key, node)
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub(crate) fn clock(&self) -> FloorClock {
        self.clock.clone()
    }

    /// Whether the certificate should be renewed.
    pub(crate) fn is_due(&self) -> bool {
        let now_ms = self.clock.now_ms();
        self.membership()
            .is_some_and(|membership| certificate::is_due(&membership.certificate, now_ms))
    }

    /// Keeps what the cloud gave.
    pub(crate) fn join(&self, certificate: Vec<u8>, ca: Vec<u8>) -> Result<()> {
        let membership = Membership {
            certificate: certificate.into(),
            ca: ca.into(),
        };
        write_certificate(&self.directory.join(CA_CERTIFICATE), &membership.ca)?;
        write_certificate(
            &self.directory.join(EDGE_CERTIFICATE),
            &membership.certificate,
        )?;
        *self.membership.lock() = Some(membership);
        Ok(())
    }

    /// It is at least as late as the cloud says. A cloud whose clock is far ahead is believed up to the moment at which
    /// this edge's certificate should be renewed, so that it can be renewed once that clock is right.
    pub(crate) fn observe_cloud(&self, wall_ms: u64) {
        let membership = self.membership();
        let due_ms = membership.and_then(|own| certificate::due_ms(&own.certificate));
        self.observe_time(due_ms.map_or(wall_ms, |due_ms| wall_ms.min(due_ms)));
    }

    /// It is at least this late: the token at hand was issued then.
    pub(crate) fn observe_time(&self, wall_ms: u64) {
        let before = self.clock.raise(wall_ms);
        if wall_ms > before.saturating_add(FLOOR_EVERY_MS) {
            let path = self.directory.join(CLOCK_FLOOR);
            if let Err(error) = files::write_private(&path, wall_ms.to_string().as_bytes()) {
                tracing::warn!("the time known could not be written down: {error}");
            }
        }
    }
}

/// The key in the file; made there when it may be.
fn key_in(path: &Path, may_make: bool) -> Result<KeyPair> {
    match files::read(path)? {
        Some(bytes) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| KeyPair::from_pem(text).ok())
            .ok_or_else(|| Error::corrupt(format!("{} is not a private key", path.display()))),
        None if may_make => {
            let key = certificate::generate_key()?;
            files::write_private(path, key.serialize_pem().as_bytes())?;
            Ok(key)
        }
        None => Err(Error::corrupt(format!(
            "{} is missing beside its certificate",
            path.display()
        ))
        .with_hint("restore it from a backup, or remove the directory and join again")),
    }
}

fn read_certificate(path: &Path) -> Result<Option<CertificateDer<'static>>> {
    match files::read(path)? {
        None => Ok(None),
        Some(bytes) => CertificateDer::from_pem_slice(&bytes)
            .map(Some)
            .map_err(|_| Error::corrupt(format!("{} is not a certificate", path.display()))),
    }
}

fn write_certificate(path: &Path, certificate: &CertificateDer<'_>) -> Result<()> {
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    files::write_private(path, text.as_bytes())
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    out
}
