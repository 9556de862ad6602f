//! Files that are opened by their own names: where the last part of a path is a link, nothing is opened.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file, but not what a link of its name leads to.
///
/// # Errors
/// As of [`OpenOptions::open`], and where the name is that of a link.
pub fn open_no_link(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}
