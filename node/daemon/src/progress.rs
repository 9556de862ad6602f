//! A bar on stderr for commands that read or copy many bytes; nothing where stderr is no terminal.

use activestore_store::repair::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// How far a command is, in bytes.
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar that says `what` is done.
    pub fn bytes(what: &'static str) -> Bar {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{prefix} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} {wide_msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        Bar { bar }
    }

    /// How many bytes there are.
    pub fn total(&self, bytes: u64) {
        self.bar.set_length(bytes);
    }

    /// That so many more are done, the last of them of this file.
    pub fn done(&self, path: &str, bytes: u64) {
        self.bar.set_message(path.to_owned());
        self.bar.inc(bytes);
    }

    /// What the store says of its examination.
    pub fn store(&self, step: Progress<'_>) {
        match step {
            Progress::Total(bytes) => self.total(bytes),
            Progress::Read(path, bytes) => self.done(path, bytes),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}
