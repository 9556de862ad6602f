//! Verifiers of passwords: SCRAM-SHA-256 as RFC 5802 and RFC 7677 have it.

use std::num::NonZeroU32;

use activestore_catalog::ScramVerifier;
use activestore_env::Rng;
use activestore_types::{Error, Result};
use ring::{digest, hmac, pbkdf2};

use super::TOKEN_PREFIX;

/// Rounds of a new verifier: 30 ms of a gateway's core for each guess.
const ITERATIONS: u32 = 32_768;
/// The most rounds of a verifier that came from elsewhere, so that a login is bounded.
const ITERATIONS_MAX: u32 = 1 << 20;
const SALT_BYTES: usize = 16;
/// The longest password.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// What checks this password, with a salt of its own.
///
/// # Errors
/// `Invalid` for a password that is empty, too long, not printable or looks like a token.
pub fn make_verifier(password: &str, rng: &dyn Rng) -> Result<ScramVerifier> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a password has 1 to {PASSWORD_BYTES_MAX} bytes"
        )));
    }
    if password.chars().any(char::is_control) {
        return Err(Error::invalid(
            "a password holds no control characters, such as line breaks",
        ));
    }
    if password.starts_with(TOKEN_PREFIX) {
        return Err(Error::invalid(format!(
            "a password does not begin with '{TOKEN_PREFIX}', as tokens do"
        )));
    }
    let mut salt = vec![0; SALT_BYTES];
    rng.fill(&mut salt);
    derive(password, salt, ITERATIONS)
}

/// A verifier that no password fits, and that takes as long to find that out.
pub(crate) fn nobody(rng: &dyn Rng) -> ScramVerifier {
    let mut nobody = ScramVerifier {
        salt: vec![0; SALT_BYTES],
        iterations: ITERATIONS,
        stored_key: [0; 32],
        server_key: [0; 32],
    };
    rng.fill(&mut nobody.salt);
    rng.fill(&mut nobody.stored_key);
    rng.fill(&mut nobody.server_key);
    nobody
}

/// Whether this is the password. The time it takes does not say how much of it was right.
pub(crate) fn fits(verifier: &ScramVerifier, password: &str) -> bool {
    let Ok(given) = derive(password, verifier.salt.clone(), verifier.iterations) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &verifier.server_key);
    let tag = hmac::sign(&key, &given.stored_key);
    hmac::verify(&key, &verifier.stored_key, tag.as_ref()).is_ok()
}

fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Result<ScramVerifier> {
    let rounds = NonZeroU32::new(iterations)
        .filter(|rounds| rounds.get() <= ITERATIONS_MAX)
        .ok_or_else(|| Error::corrupt("a password's verifier has an odd number of rounds"))?;
    let mut salted = [0_u8; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        &salt,
        password.as_bytes(),
        &mut salted,
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    let server_key = hmac::sign(&key, b"Server Key");
    Ok(ScramVerifier {
        salt,
        iterations,
        stored_key: thirty_two(digest::digest(&digest::SHA256, client_key.as_ref()).as_ref()),
        server_key: thirty_two(server_key.as_ref()),
    })
}

/// SHA-256 of a token's secret.
pub(crate) fn token_hash(secret: &str) -> [u8; 32] {
    thirty_two(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

/// Both are SHA-256's length.
fn thirty_two(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc() {
        // Its salt in base64 is W22ZaJ0SNY7soEsUEjb6gQ==.
        let salt = [
            0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36,
            0xfa, 0x81,
        ];
        let verifier = derive("pencil", salt.to_vec(), 4096).unwrap();
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let key = hmac::Key::new(hmac::HMAC_SHA256, &verifier.server_key);
        let signature = hmac::sign(&key, message.as_bytes());
        // v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=
        let wanted = [
            0xea, 0xba, 0xe2, 0x4d, 0x10, 0x62, 0xdb, 0x75, 0xa9, 0x45, 0x1f, 0xf0, 0xb6, 0xea,
            0x7e, 0x98, 0xc8, 0x54, 0x65, 0x49, 0xff, 0x74, 0x1e, 0x67, 0x2d, 0x32, 0x51, 0xb2,
            0x39, 0x7d, 0xe4, 0x6e,
        ];
        assert_eq!(signature.as_ref(), wanted);
        assert!(fits(&verifier, "pencil"));
        assert!(!fits(&verifier, "pencils"));
        assert!(!fits(&verifier, ""));
    }
}
