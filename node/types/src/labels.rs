//! Labels of edges: `ring=canary`, bound to an edge when it joins, by which a part of a fleet is named.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Labels of one edge, at most.
pub const MAX_LABELS: usize = 16;
/// Bytes of a label's name or value.
pub const MAX_LABEL_BYTES: usize = 63;

/// Labels by name. As text they are `ring=canary,site=north`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of `wanted` are among these: none are wanted by everybody.
    pub fn hold(&self, wanted: &Labels) -> bool {
        wanted
            .0
            .iter()
            .all(|(name, value)| self.0.get(name) == Some(value))
    }

    /// Adds one, `ring=canary`.
    ///
    /// # Errors
    /// `Invalid` for text that is no label, a name that is there with another value, or too many.
    pub fn add(&mut self, text: &str) -> Result<()> {
        let wrong = || {
            Error::invalid(format!("'{text}' is not a label")).with_hint(format!(
                "write NAME=VALUE, as ring=canary: letters, digits, '-', '_' and '.', at most {MAX_LABEL_BYTES} each"
            ))
        };
        let (name, value) = text.trim().split_once('=').ok_or_else(wrong)?;
        let fits = |part: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=MAX_LABEL_BYTES).contains(&part.len()) && part.bytes().all(allowed)
        };
        if !fits(name) || !fits(value) {
            return Err(wrong());
        }
        match self.0.get(name) {
            Some(held) if held != value => {
                return Err(Error::invalid(format!(
                    "the label '{name}' is given twice, as '{held}' and as '{value}'"
                )));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        if self.0.len() >= MAX_LABELS {
            return Err(Error::invalid(format!(
                "an edge has at most {MAX_LABELS} labels"
            )));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }
}

impl FromStr for Labels {
    type Err = Error;

    /// Labels separated by commas; empty text is none.
    fn from_str(text: &str) -> Result<Self> {
        let mut labels = Labels::default();
        for label in text.split(',').filter(|label| !label.trim().is_empty()) {
            labels.add(label)?;
        }
        Ok(labels)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    //! Labels as text, and what is none.
    use super::*;

    #[test]
    fn labels_go_to_text_and_back() {
        let labels: Labels = "site=north, ring=canary".parse().unwrap();
        assert_eq!(labels.to_string(), "ring=canary,site=north");
        assert_eq!(labels.to_string().parse::<Labels>().unwrap(), labels);
        assert!("".parse::<Labels>().unwrap().is_empty());
        for wrong in ["ring", "=x", "ring=", "ring=a b", "r=1,r=2"] {
            assert!(wrong.parse::<Labels>().is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..=MAX_LABELS).map(|n| format!("l{n}=x")).collect();
        assert!(many.join(",").parse::<Labels>().is_err());
    }

    #[test]
    fn an_edge_is_meant_by_labels_that_it_holds() {
        let edge: Labels = "ring=canary,site=north".parse().unwrap();
        let meant = |text: &str| edge.hold(&text.parse().unwrap());
        assert!(meant("ring=canary") && meant("ring=canary,site=north") && meant(""));
        assert!(!meant("ring=early") && !meant("ring=canary,line=2"));
    }
}
