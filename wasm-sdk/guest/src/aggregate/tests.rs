//! Groups grow, merge, travel as bytes and are forgotten from the front.

use crate::exports::aggregate::Guest;
use crate::{Column, Error, Group, Values, VarBytes};

/// The longest text, and how many were seen.
#[derive(Clone, Debug, Default, PartialEq)]
struct Longest {
    text: Option<String>,
    rows: u32,
}

impl Longest {
    fn update(&mut self, text: Option<&str>, at_least: i64) {
        self.rows += 1;
        let Some(text) = text else { return };
        let longer = self
            .text
            .as_ref()
            .is_none_or(|held| held.len() < text.len());
        if text.len() as i64 >= at_least && longer {
            self.text = Some(text.to_owned());
        }
    }

    fn finish(&self) -> Option<String> {
        Some(format!("{}:{}", self.rows, self.text.as_ref()?))
    }
}

impl Group for Longest {
    fn merge(&mut self, other: Self) {
        let rows = self.rows + other.rows;
        if let Some(text) = &other.text {
            self.update(Some(text), 0);
        }
        self.rows = rows;
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.rows.to_le_bytes());
        out.extend(self.text.iter().flat_map(|text| text.bytes()));
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (rows, text) = bytes.split_first_chunk()?;
        Some(Longest {
            text: (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned()),
            rows: u32::from_le_bytes(*rows),
        })
    }
}

crate::aggregate! {
    /// The longest text of at least so many bytes.
    fn longest(text: Option<&str>, at_least: i64) -> Option<String> = Longest;
}

fn args(texts: &[Option<&str>], at_least: Option<i64>) -> Vec<Column> {
    let valid: Vec<bool> = texts.iter().map(Option::is_some).collect();
    let mut text = Column::text(texts.iter().map(|text| text.unwrap_or_default()));
    text.validity = Some(crate::bitmap::pack(&valid));
    let mut bound = Column::s64s(vec![at_least.unwrap_or(0); texts.len()]);
    bound.validity = at_least.is_none().then(|| vec![0; texts.len().div_ceil(8)]);
    vec![text, bound]
}

fn values(column: &Column) -> Vec<Option<&str>> {
    let Values::Utf8(texts) = &column.values else {
        panic!("text is returned")
    };
    let rows = 0..texts.len();
    rows.map(|row| column.is_valid(row).then(|| texts.text(row)))
        .collect()
}

#[test]
fn an_aggregation_goes_through_its_calls() {
    assert!(matches!(
        ActivestorePlugin::finish(0, 0),
        Err(Error::Failed(_))
    ));
    assert!(ActivestorePlugin::init(1).is_err());
    let described = ActivestorePlugin::describe();
    assert_eq!((described.len(), described[0].strict), (1, false));

    ActivestorePlugin::init(0).unwrap();
    let texts = [Some("abc"), None, Some("de"), Some("f")];
    ActivestorePlugin::update(vec![0, 0, 1, 2], 4, args(&texts, Some(2))).unwrap();
    // A bound that is null is not seen: the aggregate does not ask for such rows.
    ActivestorePlugin::update(vec![2], 4, args(&[Some("unseen")], None)).unwrap();
    let all = ActivestorePlugin::finish(0, 4).unwrap();
    assert_eq!(values(&all), [Some("2:abc"), Some("1:de"), None, None]);
    assert_eq!(
        values(&ActivestorePlugin::finish(1, 1).unwrap()),
        [Some("1:de")]
    );
    assert!(ActivestorePlugin::finish(3, 2).is_err());

    let states = ActivestorePlugin::state(0, 3).unwrap();
    ActivestorePlugin::forget(1).unwrap();
    ActivestorePlugin::merge(vec![0, 0, 3], 4, states).unwrap();
    let merged = ActivestorePlugin::finish(0, 4).unwrap();
    assert_eq!(values(&merged), [Some("4:abc"), None, None, None]);
    assert!(ActivestorePlugin::merge(vec![0], 4, VarBytes::of(["x"])).is_err());

    ActivestorePlugin::init(0).unwrap();
    assert!(
        ActivestorePlugin::finish(0, 1).is_err(),
        "earlier groups are forgotten"
    );
}

#[test]
fn rows_of_whole_blocks_and_of_the_rest_are_all_added() {
    ActivestorePlugin::init(0).unwrap();
    let texts = vec![Some("ab"); 37];
    ActivestorePlugin::update((0..37).collect(), 37, args(&texts, Some(0))).unwrap();
    let all = ActivestorePlugin::finish(0, 37).unwrap();
    assert_eq!(values(&all), vec![Some("1:ab"); 37]);
}
