//! Where backups lie, as it is named on the command line: a directory, or `s3://BUCKET/PREFIX`.

use std::path::Path;

use activestore_db::backup::{Directory, Target};
use activestore_types::{Error, Result};

use super::s3::Bucket;

/// The place that `text` names.
///
/// # Errors
/// `Invalid` for another scheme or a bucket without a name.
pub fn place(text: &str) -> Result<Box<dyn Target>> {
    match text.split_once("://") {
        None if text.is_empty() => Err(Error::invalid("the place of the backups is empty")),
        None => Ok(Box::new(Directory::at(Path::new(text)))),
        Some(("file", path)) => Ok(Box::new(Directory::at(Path::new(path)))),
        Some(("s3", rest)) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            Ok(Box::new(Bucket::open(bucket, prefix)?))
        }
        Some((scheme, _)) => Err(Error::invalid(format!(
            "backups do not go to {scheme}:// addresses"
        ))
        .with_hint("name a directory, or s3://BUCKET/PREFIX with the AWS_* variables set")),
    }
}
