//! Encryption of the wire.

use std::path::Path;

use activestore_types::Result;

use crate::certificate::Certificate;

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct PgTls(pub(super) Certificate);

impl PgTls {
    /// Reads a chain of certificates and the key of its first, both as PEM.
    ///
    /// # Errors
    /// `Invalid`, naming the file that cannot be used.
    pub fn read(certificates: &Path, key: &Path) -> Result<PgTls> {
        let settings = "pg_tls_cert and pg_tls_key";
        Certificate::read(certificates, key, settings, &[]).map(PgTls)
    }
}
