//! Encryption at rest: AES-256-GCM over blocks of files and over values, with data keys that lie in a
//! keyring file and are themselves wrapped under the user's master key.
//!
//! ```text
//! master key ─HKDF─► wraps `keyring` ─► data key ─HKDF(domain, salt)─► one key a file: nonce = position
//!                                                └HKDF(domain, salt)─► one key a session: random nonces
//! ```
//!
//! So a new master key rewrites the keyring and no data; a data key that is destroyed takes with it all
//! that was written under it, wherever copies lie; a file's key is its own, because its salt
//! is; a block of a file opens only at the place that it was written to, and a value only under
//! the name that it was stored by. What this does not do: hide lengths, or notice that the whole
//! directory was put back to an earlier state. Key files, settings and when to encrypt are for others
//! to decide.
//!
//! ```
//! use activestore_env::{Env, Keyring, MasterKey};
//!
//! let env = Env::simulated(7);
//! let master = MasterKey::parse(b"6f1d7a3e90c24b58a1e7d3f04c9b862e57a0d18c3f6e4b92d5081a7cf3e6b94d")?;
//! let keyring = Keyring::open_or_create(&env, &master)?;
//! let sealer = keyring.values("notes");
//! let mut stored = b"41".to_vec();
//! sealer.seal(b"progress", &mut stored, 0)?;
//! assert_ne!(stored, b"41");
//! assert_eq!(sealer.open_vec(b"progress", stored)?, b"41");
//! # Ok::<(), activestore_types::Error>(())
//! ```

mod cipher;
mod disk;
mod file;
mod keyring;
mod master;
mod value;

pub use disk::{data_key_of, sealed_disk, sealed_disk_under};
pub use keyring::{KEYRING_FILE, Keyring};
pub use master::MasterKey;
pub use value::{VALUE_OVERHEAD_BYTES, ValueSealer};

#[cfg(test)]
mod tests;
