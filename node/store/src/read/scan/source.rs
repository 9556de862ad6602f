//! Sources: where the fragments of one key range come from, in key order, either way.
//!
//! A source stands *before* a row whose key it knows or, at the edge of a vector not yet loaded,
//! before rows of which it knows only a bound: forward no key is below the bound, in reverse none
//! is above it. Loading a vector reads its keys and nothing else.

use std::sync::Arc;

use activestore_sst::ZonePredicate;
use activestore_types::{Result, TableSchema};

use super::file::FileSource;
use super::piece::Pieces;
use super::view::ViewSource;
use crate::read::covering::Covering;
use crate::read::keys::KeyShape;
use crate::read::lead::Head;
use crate::read::narrowing::Narrowed;
use crate::read::piece::Fragment;
use crate::version::{Origins, TombstoneMap};

pub(crate) enum Source {
    View(Box<ViewSource>),
    File(Box<FileSource>),
}

/// What decides whether a row that nothing is merged with shows.
pub(crate) struct Alone<'a> {
    pub(crate) tombstones: &'a TombstoneMap,
    pub(crate) origins: &'a Origins,
    pub(crate) now_ms: u64,
    /// Rows wanted at most.
    pub(crate) room: usize,
    /// Predicates on columns outside the key.
    pub(crate) predicates: &'a [ZonePredicate],
    pub(crate) narrowed: &'a Narrowed,
    pub(crate) covering: Option<&'a dyn Covering>,
}

/// What all sources of a scan share.
pub(crate) struct Plan {
    pub(crate) shape: Arc<KeyShape>,
    /// Predicates on key columns: a vector that none of its rows satisfies holds no fragment of a
    /// wanted key, whatever else is merged.
    pub(crate) key_predicates: Vec<ZonePredicate>,
    pub(crate) narrowed: Narrowed,
    pub(crate) reverse: bool,
    /// Whether rows of several files may come in another order than their keys'.
    pub(crate) any_order: bool,
}

impl Plan {
    /// Of everything, first key first.
    pub(crate) fn all(schema: &TableSchema) -> Self {
        Plan {
            shape: Arc::new(KeyShape::of(schema)),
            key_predicates: Vec::new(),
            narrowed: Narrowed::default(),
            reverse: false,
            any_order: false,
        }
    }
}

impl Head for Source {
    fn bound(&self) -> Option<&[u8]> {
        match self {
            Source::View(view) => view.bound(),
            Source::File(file) => file.bound(),
        }
    }

    fn is_loaded(&self) -> bool {
        match self {
            Source::View(_) => true,
            Source::File(file) => file.is_loaded(),
        }
    }
}

impl Source {
    pub(crate) fn load(&mut self, pieces: &mut Pieces) -> Result<()> {
        match self {
            Source::View(_) => Ok(()),
            Source::File(file) => file.load(pieces),
        }
    }

    /// Adds every fragment of `key`, which is the next one, and moves past them.
    pub(crate) fn take(
        &mut self,
        key: &[u8],
        pieces: &mut Pieces,
        out: &mut Vec<Fragment>,
    ) -> Result<()> {
        match self {
            Source::View(view) => view.take(key, pieces, out),
            Source::File(file) => file.take(key, pieces, out),
        }
    }

    /// How many of the loaded rows are still to come.
    pub(crate) fn left(&self) -> usize {
        match self {
            Source::View(view) => view.left(),
            Source::File(file) => file.left(),
        }
    }

    /// How many of the next rows, all loaded, are the only fragments of their keys, none of them at
    /// or beyond `other`, the nearest bound of the other sources; and whether they show.
    pub(crate) fn run(&self, other: Option<&[u8]>, alone: &Alone<'_>) -> Result<(usize, bool)> {
        match self {
            Source::View(view) => Ok((view.run(other, alone), true)),
            Source::File(file) => file.run(other, alone),
        }
    }
}
