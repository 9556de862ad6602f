//! The place of an event in the log, as text that a subscriber hands back to go on behind it.

use activestore_types::{Error, Lsn, NodeId, Result};

/// Stands for every row of a record.
pub(super) const ALL_ROWS: u32 = u32::MAX;
/// Characters of the node's identity in a token: enough to notice another node's.
const NODE_CHARS: usize = 8;
/// No token is longer.
const TOKEN_BYTES_MAX: usize = 96;

/// Behind which row of which record a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) lsn: Lsn,
    /// The row of the table within its record; [`ALL_ROWS`] where the whole record is behind.
    pub(super) row: u32,
    /// The row's stamp, by which a record is known again that a crash or a backup has put in the place of
    /// another one; 0 where the place is no row's.
    pub(super) stamp: u64,
    /// Tells events apart that have this place together: the last record that was written when they were found, and
    /// their number among them. Only their ids show it: to go on from one of them is to go on from the place.
    pub(super) among: Option<(Lsn, u32)>,
}

impl Place {
    /// Behind a whole record.
    pub(super) fn behind(lsn: Lsn) -> Place {
        Place {
            lsn,
            row: ALL_ROWS,
            stamp: 0,
            among: None,
        }
    }

    /// Before the range of keys that this is the place behind: ranges are the first rows of a record.
    pub(super) fn before(&self) -> Place {
        match self.row.checked_sub(1) {
            None => Place::behind(Lsn(self.lsn.0.saturating_sub(1))),
            Some(row) => Place {
                row,
                stamp: 0,
                among: None,
                ..*self
            },
        }
    }

    /// The first record that may hold something behind the place.
    pub(super) fn next(&self) -> Lsn {
        match self.row {
            ALL_ROWS => Lsn(self.lsn.0.saturating_add(1)),
            _ => self.lsn,
        }
    }

    pub(super) fn token(&self, node: NodeId) -> String {
        let place = format!(
            "{}.{:x}.{:x}.{:x}",
            short(node),
            self.lsn.0,
            self.row,
            self.stamp
        );
        match self.among {
            Some((upto, number)) => format!("{place}.{:x}.{number:x}", upto.0),
            None => place,
        }
    }

    /// # Errors
    /// `Invalid` for what is no token, and for one of another node.
    pub(super) fn read(token: &str, node: NodeId) -> Result<Place> {
        let wrong = || {
            Error::invalid("the token to go on from cannot be read")
                .with_hint("send the id of the last event as it came, or none to begin with what is written from now on")
        };
        if token.len() > TOKEN_BYTES_MAX {
            return Err(wrong());
        }
        let parts: Vec<&str> = token.split('.').collect();
        let ([of, lsn, row, stamp] | [of, lsn, row, stamp, _, _]) = parts.as_slice() else {
            return Err(wrong());
        };
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            plain
                .then(|| u64::from_str_radix(text, 16).ok())
                .flatten()
                .ok_or_else(wrong)
        };
        for among in parts.iter().skip(4) {
            number(among)?;
        }
        let place = Place {
            lsn: Lsn(number(lsn)?),
            row: u32::try_from(number(row)?).map_err(|_| wrong())?,
            stamp: number(stamp)?,
            among: None,
        };
        if *of != short(node) {
            return Err(Error::invalid("the token to go on from is another node's")
                .with_hint("every node numbers what it holds by itself: go on at the node that gave the token, or begin WITH (snapshot = true)"));
        }
        Ok(place)
    }
}

fn short(node: NodeId) -> String {
    node.to_string().chars().take(NODE_CHARS).collect()
}

#[cfg(test)]
mod tests;
