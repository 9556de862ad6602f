//! The head of a file, which stands at its end, looked at before it is read: how many columns and row groups it says
//! there are, and how deep columns lie in each other, is memory and stack of whoever believes it.

use activestore_types::{Error, Result};

use super::compact::{Compact, LIST, STRUCT, broken, cut};

/// Behind the head: its length and the mark.
pub(super) const TAIL_BYTES: usize = 8;
/// At both ends of a file.
const MARK: &[u8; 4] = b"PAR1";
/// At the end of a file that is encrypted.
const SEALED_MARK: &[u8; 4] = b"PARE";

/// The largest head.
const HEAD_BYTES_MAX: u64 = 32 << 20;
/// Columns with what they lie in.
const ELEMENTS_MAX: usize = 16 * 1024;
/// How deep a column may lie.
const NESTED_MAX: usize = 16;
/// Row groups: their numbers have 15 bits.
const GROUPS_MAX: usize = 1 << 15;

/// Fields of the head, and of an element of its schema.
const SCHEMA: i16 = 2;
const GROUPS: i16 = 4;
const CHILDREN: i16 = 5;

/// Where the head begins, in a file that is so long and ends in `tail`.
pub(super) fn place(length: u64, tail: [u8; TAIL_BYTES]) -> Result<u64> {
    let [a, b, c, d, mark @ ..] = tail;
    if mark == *SEALED_MARK {
        return Err(
            Error::invalid("the file is encrypted by Parquet's own means")
                .with_hint("write it without a key"),
        );
    }
    if mark != *MARK {
        return Err(broken("its end does not say so"));
    }
    let head = u64::from(u32::from_le_bytes([a, b, c, d]));
    if head > HEAD_BYTES_MAX {
        return Err(Error::invalid(format!(
            "the head of the file says that it has {head} bytes; at most {HEAD_BYTES_MAX} are taken"
        ))
        .with_hint("write fewer and larger row groups"));
    }
    length
        .checked_sub(TAIL_BYTES as u64)
        .and_then(|end| end.checked_sub(head))
        .ok_or_else(cut)
}

/// Looks at a head.
pub(super) fn check(head: &[u8]) -> Result<()> {
    let mut head = Compact::new(head);
    let mut last = 0;
    while let Some(field) = head.field(&mut last)? {
        match (field.id, field.kind) {
            (SCHEMA, LIST) => schema(&mut head)?,
            (GROUPS, LIST) => {
                let (kind, count) = head.list()?;
                if count > GROUPS_MAX {
                    return Err(Error::invalid(format!(
                        "the file says that it has {count} row groups; at most {GROUPS_MAX} are taken"
                    ))
                    .with_hint("write fewer and larger row groups"));
                }
                (0..count).try_for_each(|_| head.skip(kind))?;
            }
            (SCHEMA | GROUPS, _) => return Err(broken("its head is another one")),
            (_, kind) => head.skip(kind)?,
        }
    }
    Ok(())
}

/// Looks at the elements of a schema: a tree, each element before those that lie in it.
fn schema(head: &mut Compact<'_>) -> Result<()> {
    let (kind, count) = head.list()?;
    if kind != STRUCT {
        return Err(broken("its schema is another one"));
    }
    if count > ELEMENTS_MAX {
        return Err(Error::invalid(format!(
            "the file says that it has {count} columns; at most {ELEMENTS_MAX} are taken"
        )));
    }
    // How many are to come of each element that the next one lies in.
    let mut open: Vec<usize> = Vec::new();
    for place in 0..count {
        let children = children(head)?;
        if children > count - place - 1 {
            return Err(broken("its schema breaks off"));
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        } else if place > 0 {
            return Err(broken("its schema has no end"));
        }
        if children > 0 {
            open.push(children);
            if open.len() > NESTED_MAX {
                return Err(Error::invalid(format!(
                    "columns of the file lie more than {NESTED_MAX} deep in each other"
                ))
                .with_hint("write plain columns"));
            }
        }
    }
    if open.iter().any(|left| *left > 0) {
        return Err(broken("its schema breaks off"));
    }
    Ok(())
}

/// How many elements lie in the one that is next.
fn children(head: &mut Compact<'_>) -> Result<usize> {
    let (mut last, mut children) = (0, 0);
    while let Some(field) = head.field(&mut last)? {
        if field.id == CHILDREN {
            let count = head.number()?;
            children = usize::try_from(count).map_err(|_| broken("its schema is another one"))?;
        } else {
            head.skip(field.kind)?;
        }
    }
    Ok(children)
}
