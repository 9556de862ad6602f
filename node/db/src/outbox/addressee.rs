//! Whom an outbox ships to: which tables it takes and how much may wait for it.

use std::sync::Arc;

use activestore_types::TableName;

use super::direction::Direction;
use crate::options::{FullOutbox, FurtherCloud};

/// Who follows the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogFollower {
    direction: Direction,
    /// A further cloud; `None` for the node's own, and for the edges.
    further: Option<Arc<str>>,
}

impl LogFollower {
    /// The node's own cloud, or the edges.
    pub(crate) fn of(direction: Direction) -> Self {
        LogFollower {
            direction,
            further: None,
        }
    }
}

/// Whom an outbox ships to.
#[derive(Clone, Debug)]
pub(crate) struct Addressee {
    pub(super) follower: LogFollower,
    /// The tables that a further cloud takes.
    tables: Option<Tables>,
    pub(super) bytes_max: Option<u64>,
    /// What happens to rows for a further cloud when as much waits as may; for others the tables say.
    pub(super) at_limit: Option<FullOutbox>,
}

impl Addressee {
    /// The edges, who get the stream.
    pub(crate) fn edges() -> Self {
        Addressee {
            follower: LogFollower::of(Direction::Down),
            tables: None,
            bytes_max: None,
            at_limit: None,
        }
    }

    /// The node's own cloud.
    pub(crate) fn own_cloud(bytes_max: Option<u64>) -> Self {
        Addressee {
            follower: LogFollower::of(Direction::Up),
            bytes_max,
            ..Addressee::edges()
        }
    }

    pub(crate) fn further_cloud(cloud: &FurtherCloud) -> Self {
        Addressee {
            follower: LogFollower {
                direction: Direction::Up,
                further: Some(Arc::from(cloud.name.as_str())),
            },
            tables: Some(Tables(cloud.tables.clone())),
            bytes_max: Some(cloud.outbox_bytes_max),
            at_limit: Some(cloud.at_limit),
        }
    }

    pub(super) fn direction(&self) -> Direction {
        self.follower.direction
    }

    /// The name of a further cloud.
    pub(crate) fn further(&self) -> Option<&str> {
        self.follower.further.as_deref()
    }

    /// Whether rows that are sealed may be let go.
    pub(super) fn lets_sealed_go(&self) -> bool {
        self.bytes_max.is_some() && self.at_limit != Some(FullOutbox::Hold)
    }

    /// As log lines and events call it.
    pub(crate) fn for_people(&self) -> String {
        match self.direction() {
            Direction::Up => cloud_for_people(self.further()),
            Direction::Down => "the edges".to_owned(),
        }
    }

    /// Whether rows of the table go to it, where they travel that way at all.
    pub(crate) fn takes(&self, table: &TableName) -> bool {
        self.tables.as_ref().is_none_or(|tables| tables.hold(table))
    }
}

/// The node's own cloud, or a further one, as log lines and events call it.
pub(crate) fn cloud_for_people(further: Option<&str>) -> String {
    further.map_or_else(
        || "the cloud".to_owned(),
        |name| format!("the cloud '{name}'"),
    )
}

/// Names of tables, `KEYSPACE.TABLE`, where `*` stands for every table of a keyspace, or alone for all.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tables(Vec<String>);

impl Tables {
    fn hold(&self, table: &TableName) -> bool {
        self.0.iter().any(|pattern| match pattern.split_once('.') {
            Some((keyspace, name)) => {
                keyspace == table.keyspace && (name == "*" || name == table.table)
            }
            None => pattern == "*",
        })
    }
}
