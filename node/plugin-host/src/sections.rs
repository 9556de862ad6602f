//! A component's top-level sections, found without looking into them.

use std::ops::Range;

use activestore_types::{Error, Result};

use crate::componentize::{WasmForm, wasm_form};

/// A file's head: magic number, version, layer.
const HEAD_BYTES: usize = 8;
/// The id of custom sections.
const CUSTOM: u8 = 0;

/// One section.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    /// Where it stands in the file, its id and length included.
    pub(crate) place: Range<usize>,
    id: u8,
    content: &'a [u8],
}

impl<'a> Section<'a> {
    /// What follows the name, where it is a custom section of this name.
    pub(crate) fn custom(&self, name: &[u8]) -> Option<&'a [u8]> {
        let length = u8::try_from(name.len()).ok()?;
        let named = self.content.strip_prefix(&[length])?;
        named.strip_prefix(name).filter(|_| self.id == CUSTOM)
    }
}

/// The sections of a component in their order. An error is the last of them.
///
/// # Errors
/// `Invalid` where the bytes are no component, or not sections from end to end.
pub(crate) fn sections(
    component: &[u8],
) -> Result<impl Iterator<Item = Result<Section<'_>>> + use<'_>> {
    if wasm_form(component) != WasmForm::Component {
        return Err(Error::invalid("it is not a component"));
    }
    let mut at = HEAD_BYTES;
    Ok(std::iter::from_fn(move || {
        if at >= component.len() {
            return None;
        }
        let section = section(component, at).ok_or_else(|| {
            Error::invalid("it is not a valid component: its sections do not end where it does")
        });
        at = section
            .as_ref()
            .map_or(component.len(), |section| section.place.end);
        Some(section)
    }))
}

fn section(component: &[u8], at: usize) -> Option<Section<'_>> {
    let (id, rest) = component.get(at..)?.split_first()?;
    let (length, size) = leb(rest)?;
    let from = at + 1 + size;
    let to = from.checked_add(length)?;
    Some(Section {
        place: at..to,
        id: *id,
        content: component.get(from..to)?,
    })
}

/// A custom section as it stands in a file.
///
/// # Errors
/// `Invalid` where it is larger than a section may be.
pub(crate) fn custom(name: &[u8], content: &[&[u8]]) -> Result<Vec<u8>> {
    let length = 1 + name.len() + content.iter().map(|part| part.len()).sum::<usize>();
    let (Ok(mut length), Ok(name_length)) = (u32::try_from(length), u8::try_from(name.len()))
    else {
        return Err(Error::invalid(
            "a section of more than 4 GiB cannot be written",
        ));
    };
    let mut section = vec![CUSTOM];
    while length >= 0x80 {
        section.push(length as u8 | 0x80);
        length >>= 7;
    }
    section.push(length as u8);
    section.push(name_length);
    section.extend(name);
    section.extend(content.concat());
    Ok(section)
}

/// A length in LEB128, of 32 bits at most, and how many bytes it takes.
fn leb(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((usize::try_from(value).ok()?, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests;
