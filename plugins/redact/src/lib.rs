//! Makes text and positions less telling, as SQL functions: masks, salted hashes, coarser coordinates. What
//! cannot be understood is masked whole rather than let through. Null stays null.

mod mask;

use sha2::{Digest, Sha256};

activestore_plugin::scalar! {
    /// All characters but the last `keep` become `*`; none is kept of a text that is no longer than that.
    fn mask_text(text: &str, keep: i64) -> String {
        mask::text(text, keep)
    }

    /// All digits but the last `keep` become `*`, whatever stands between them stays: `**** **** **** 1234`.
    /// None is kept where there are no more than that.
    fn mask_digits(text: &str, keep: i64) -> String {
        mask::digits(text, keep)
    }

    /// The first character and the domain are kept: `j***@example.com`. What is no address becomes `***`.
    fn mask_email(text: &str) -> String {
        mask::email(text)
    }

    /// SHA-256 of the salt's bytes followed by the text's, as 64 hexadecimal digits: the same text and salt
    /// give the same, and only who knows the salt can try texts out.
    fn hash_text(text: &str, salt: &str) -> Result<String, String> {
        if salt.is_empty() {
            return Err("hash_text needs a salt: without one, short texts are found by trying".to_owned());
        }
        let hash = Sha256::new().chain_update(salt).chain_update(text).finalize();
        Ok(mask::hexadecimal(&hash))
    }

    /// A latitude or longitude with `digits` behind the point, the others cut off: 3 tell a place to about
    /// 100 m, 2 to about 1 km, 0 to about 100 km. No digits less than 0, no more than 9.
    fn truncate_coordinate(degrees: f64, digits: i64) -> f64 {
        mask::coordinate(degrees, digits)
    }
}

#[cfg(test)]
mod tests;
