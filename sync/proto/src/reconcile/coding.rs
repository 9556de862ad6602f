//! A range that is compared by coded symbols: they come in pieces until they suffice.

use super::range::Node;
use super::{CodedSymbol, Decoded, SYMBOLS_ASKED_MAX, SYMBOLS_MAX, decode};

/// Symbols of a range that are not worth less, however few rows it has.
const WORTH_SYMBOLS: usize = 64;
/// Symbols that are asked for again at least.
const MORE_SYMBOLS: usize = 16;

/// The state of one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) node: Node,
    /// This end's symbols without the other's.
    pub(super) left: Vec<CodedSymbol>,
    /// How many are asked for next.
    pub(super) next: usize,
}

/// What came of some more symbols.
pub(super) enum Coded {
    /// The misses.
    Found(Decoded),
    /// There are too few yet.
    More(Coding),
    /// More symbols than rows cost more than splitting the range.
    Useless(Node),
}

impl Coding {
    pub(super) fn of(node: Node) -> Self {
        let misses = node.here.abs_diff(node.there) as usize;
        Coding {
            node,
            left: Vec::new(),
            next: (misses + misses / 2 + 10).min(SYMBOLS_ASKED_MAX),
        }
    }

    /// Takes the symbols of both ends that were asked for, as many of each.
    pub(super) fn take(
        mut self,
        mut ours: Vec<CodedSymbol>,
        theirs: &[CodedSymbol],
        there: u64,
    ) -> Coded {
        for (ours, theirs) in ours.iter_mut().zip(theirs) {
            ours.subtract(theirs);
        }
        self.left.extend(ours);
        if let Some(found) = decode(self.left.clone()) {
            return Coded::Found(found);
        }
        let rows = self.node.here.max(there) as usize;
        if self.left.len() >= rows.clamp(WORTH_SYMBOLS, SYMBOLS_MAX) {
            return Coded::Useless(Node { there, ..self.node });
        }
        let more = (self.left.len() / 2).max(MORE_SYMBOLS);
        self.next = more
            .min(SYMBOLS_MAX - self.left.len())
            .min(SYMBOLS_ASKED_MAX);
        Coded::More(self)
    }
}
