//! Answers: each from the question and the rows alone, with nothing kept in between.

use std::collections::BTreeMap;

use activestore_types::{Error, Hlc, Result, TableName};
use sha2::{Digest, Sha256};

use super::holdings::{Held, Holdings, View, Whose};
use super::question::{Answer, Ask, Found, Other, Question};
use super::{DAYS_MAX, KEYS_MAX, LISTED_MAX, Sum};
use crate::limits::cut_reason;

/// Separates these hashes from every other use of SHA-256.
const GROUP_DOMAIN: &[u8] = b"activestore keyspace 1\0";

/// Answers a question about the rows of the node that asks, which the caller has put into the view.
pub fn answer(question: &Question, here: &dyn Holdings) -> Answer {
    Answer {
        id: question.id,
        found: found(&question.view, &question.ask, here)
            .map_err(|error| cut_reason(&error.to_string())),
    }
}

fn found(view: &View, ask: &Ask, here: &dyn Holdings) -> Result<Found> {
    if !here.tells(view) {
        return match ask {
            Ask::Groups(_) => Ok(Found::Groups {
                differing: Vec::new(),
                evicted: Vec::new(),
                deletes_from: Hlc::ZERO,
                behind: 0,
            }),
            _ => Err(Error::denied("these rows did not come through who asks")),
        };
    }
    Ok(match ask {
        Ask::Groups(there) => {
            let ours = here.evicted();
            let evicted = ours.into_iter().filter(|(table, before)| {
                view.evicted_before(table)
                    .is_none_or(|known| known < *before)
            });
            Found::Groups {
                differing: differing(there, &groups(&here.tables(view)?)),
                evicted: evicted.collect(),
                deletes_from: here.deletes_from(),
                behind: here.unfollowed(view),
            }
        }
        Ask::Tables { keyspace, sums } => {
            let tables = here.tables(view)?;
            let mut other: BTreeMap<&str, Sum> = BTreeMap::new();
            for (table, sum) in &tables {
                if table.keyspace == *keyspace {
                    other.insert(&table.table, *sum);
                }
            }
            for (table, sum) in sums {
                // One that was dropped here stays with who follows.
                let name = TableName::new(keyspace.clone(), table.clone());
                if view.whose == Whose::Others && !here.compares(&name) {
                    continue;
                }
                if other.get(table.as_str()) == Some(sum) {
                    other.remove(table.as_str());
                } else {
                    other.entry(table).or_default();
                }
            }
            let other = other.into_iter();
            Found::Tables(other.map(|(name, sum)| (name.to_owned(), sum)).collect())
        }
        Ask::Days { table, cuts, sums } => {
            let ours = here.days(view, table)?;
            let mut ranges = Vec::new();
            let mut days = Vec::new();
            for (range, theirs) in sums.iter().enumerate() {
                let low = range.checked_sub(1).and_then(|cut| cuts.get(cut));
                let high = cuts.get(range);
                let inside: Vec<(i32, Sum)> = ours
                    .iter()
                    .filter(|(day, _)| {
                        low.is_none_or(|low| day >= low) && high.is_none_or(|high| day < high)
                    })
                    .copied()
                    .collect();
                let mut sum = Sum::default();
                inside.iter().for_each(|(_, one)| sum.add(one));
                if sum.hash != *theirs {
                    ranges.push(range as u32);
                    days.extend(inside);
                }
            }
            let more = days.len() > DAYS_MAX;
            days.truncate(DAYS_MAX);
            Found::Days { ranges, days, more }
        }
        Ask::Sums {
            table,
            day,
            ranges,
            sums,
        } => {
            let ranges = ranges.unpack()?;
            let ours = here.sums(view, table, *day, &ranges)?;
            let mut others = Vec::new();
            let each = ranges.iter().zip(sums).zip(&ours).enumerate();
            for (number, ((range, theirs), ours)) in each {
                if ours.hash == *theirs {
                    continue;
                }
                let listed = *theirs != [0; 16] && ours.rows as usize <= LISTED_MAX;
                let ids = match listed && ours.rows > 0 {
                    true => match here.rows_of(view, table, *day, *range)? {
                        Held::Rows(items) => items.ids(range.0, range.1).collect(),
                        Held::Parts(_) => Vec::new(),
                    },
                    false => Vec::new(),
                };
                others.push(Other {
                    range: number as u32,
                    rows: ours.rows,
                    ids,
                });
            }
            Found::Sums(others)
        }
        Ask::Have {
            table,
            day,
            ranges,
            ids,
        } => {
            let mut all = Vec::with_capacity(ids.len());
            for (range, theirs) in ranges.unpack()?.into_iter().zip(ids) {
                let items = in_memory(here.rows_of(view, table, *day, range)?)?;
                let mut have = 0_u32;
                for id in items.ids(range.0, range.1) {
                    if let Some(bit) = theirs.iter().position(|one| *one == id) {
                        have |= 1_u32.checked_shl(bit as u32).unwrap_or(0);
                    }
                }
                all.push((have, items.count(range.0, range.1)));
            }
            Found::Have(all)
        }
        Ask::Coded { table, day, ranges } => {
            let mut all = Vec::with_capacity(ranges.len());
            for one in ranges {
                let items = in_memory(here.rows_of(view, table, *day, (one.low, one.high))?)?;
                let symbols =
                    items.symbols(one.low, one.high, one.from as usize, one.count as usize);
                all.push((items.count(one.low, one.high), symbols));
            }
            Found::Coded(all)
        }
        Ask::Keys {
            table,
            day,
            pick,
            limit,
        } => {
            let limit = (*limit as usize).min(KEYS_MAX);
            Found::Keys(here.keys(view, table, *day, pick, limit)?)
        }
        Ask::Judge { table, keys } => Found::Judged(here.judge(view, table, keys)?),
        Ask::Rows { table, day, pick } => {
            let (payload, rows, next) = here.rows(view, table, *day, pick)?;
            Found::Rows {
                payload,
                rows,
                next,
            }
        }
        Ask::Told(outcome) => {
            here.compared(view.writer, outcome);
            Found::Noted
        }
    })
}

fn in_memory(held: Held) -> Result<std::sync::Arc<super::Items>> {
    match held {
        Held::Rows(items) => Ok(items),
        Held::Parts(_) => Err(Error::overloaded(
            "a range holds more rows than can be compared at once",
        )),
    }
}

/// The hash of each keyspace's tables that have rows, by name.
pub(super) fn groups(tables: &[(activestore_types::TableName, Sum)]) -> Vec<(String, [u8; 16])> {
    let mut hashes: BTreeMap<&str, Sha256> = BTreeMap::new();
    for (table, sum) in tables.iter().filter(|(_, sum)| sum.rows > 0) {
        let hash = hashes
            .entry(&table.keyspace)
            .or_insert_with(|| Sha256::new_with_prefix(GROUP_DOMAIN));
        hash.update((table.table.len() as u64).to_le_bytes());
        hash.update(table.table.as_bytes());
        hash.update(sum.rows.to_le_bytes());
        hash.update(sum.hash);
    }
    let short = |hash: Sha256| {
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(hash.finalize()) {
            *to = from;
        }
        short
    };
    let hashes = hashes.into_iter();
    hashes
        .map(|(name, hash)| (name.to_owned(), short(hash)))
        .collect()
}

/// The names that are not in both lists with one hash.
fn differing(there: &[(String, [u8; 16])], here: &[(String, [u8; 16])]) -> Vec<String> {
    let mut sides: BTreeMap<&String, [Option<&[u8; 16]>; 2]> = BTreeMap::new();
    for (side, groups) in [there, here].into_iter().enumerate() {
        for (name, hash) in groups {
            if let Some(slot) = sides.entry(name).or_default().get_mut(side) {
                *slot = Some(hash);
            }
        }
    }
    let differ = sides.into_iter().filter(|(_, [one, other])| one != other);
    differ.map(|(name, _)| name.clone()).collect()
}
