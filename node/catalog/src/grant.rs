//! What may be done to what.

use std::fmt;

use activestore_types::{Error, Result, TableName};
use serde::{Deserialize, Serialize};

use crate::state::{CatalogState, SYSTEM_KEYSPACE};

/// What may be done. New ones are appended: the number of each is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Privilege {
    /// Rows are read.
    Select,
    /// Rows are written under keys that the statement gives; that may be over rows that are there.
    Insert,
    /// Cells of rows that are there are written.
    Update,
    /// Rows are deleted.
    Delete,
    /// A definition is changed.
    Alter,
    /// Something is defined.
    Create,
    /// A definition goes.
    Drop,
    /// A plugin's function or a model is called.
    Execute,
}

impl Privilege {
    /// All of them.
    pub const ALL: [Privilege; 8] = [
        Privilege::Select,
        Privilege::Insert,
        Privilege::Update,
        Privilege::Delete,
        Privilege::Alter,
        Privilege::Create,
        Privilege::Drop,
        Privilege::Execute,
    ];

    /// What `MODIFY` stands for.
    pub const MODIFY: [Privilege; 3] = [Privilege::Insert, Privilege::Update, Privilege::Delete];

    /// As SQL says it.
    pub fn name(self) -> &'static str {
        match self {
            Privilege::Select => "SELECT",
            Privilege::Insert => "INSERT",
            Privilege::Update => "UPDATE",
            Privilege::Delete => "DELETE",
            Privilege::Alter => "ALTER",
            Privilege::Create => "CREATE",
            Privilege::Drop => "DROP",
            Privilege::Execute => "EXECUTE",
        }
    }
}

/// What something may be done to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// All keyspaces of users with all tables in them.
    AllKeyspaces,
    /// A keyspace with all tables in it.
    Keyspace(String),
    /// A table.
    Table(TableName),
    /// Everything that plugins give to SQL: functions, aggregates, table functions and models.
    AllFunctions,
    /// A function, an aggregate or a table function.
    Function(String),
    /// A model.
    Model(String),
}

impl Scope {
    /// Whether a grant on this is one on that as well. What the program itself keeps is in no `ALL KEYSPACES`.
    pub fn covers(&self, other: &Scope) -> bool {
        let keyspace = match other {
            Scope::Keyspace(keyspace) => Some(keyspace),
            Scope::Table(table) => Some(&table.keyspace),
            _ => None,
        };
        match (self, keyspace) {
            (Scope::AllKeyspaces, Some(keyspace)) => keyspace != SYSTEM_KEYSPACE,
            (Scope::Keyspace(mine), Some(keyspace)) => mine == keyspace,
            (Scope::AllFunctions, None) => !matches!(other, Scope::AllKeyspaces),
            _ => self == other,
        }
    }

    /// What can be granted on it.
    pub fn takes(&self, privilege: Privilege) -> bool {
        use Privilege::{Alter, Create, Delete, Drop, Execute, Insert, Select, Update};
        match self {
            _ if self.is_system() => privilege == Select,
            Scope::AllKeyspaces | Scope::Keyspace(_) => privilege != Execute,
            Scope::Table(_) => {
                matches!(privilege, Select | Insert | Update | Delete | Alter | Drop)
            }
            Scope::AllFunctions => matches!(privilege, Execute | Create | Alter | Drop),
            Scope::Function(_) | Scope::Model(_) => matches!(privilege, Execute | Alter | Drop),
        }
    }

    fn is_system(&self) -> bool {
        match self {
            Scope::Keyspace(keyspace) => keyspace == SYSTEM_KEYSPACE,
            Scope::Table(table) => table.keyspace == SYSTEM_KEYSPACE,
            _ => false,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::AllKeyspaces => f.write_str("ALL KEYSPACES"),
            Scope::Keyspace(name) => write!(f, "KEYSPACE {name}"),
            Scope::Table(name) => write!(f, "TABLE {name}"),
            Scope::AllFunctions => f.write_str("ALL FUNCTIONS"),
            Scope::Function(name) => write!(f, "FUNCTION {name}"),
            Scope::Model(name) => write!(f, "MODEL {name}"),
        }
    }
}

/// One right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// What may be done.
    pub privilege: Privilege,
    /// To what.
    pub on: Scope,
}

impl Grant {
    /// Checks that this can be granted: that it means something and that what it names is there.
    pub(crate) fn check(&self, state: &CatalogState) -> Result<()> {
        if !self.on.takes(self.privilege) {
            let taken = Privilege::ALL.iter().filter(|one| self.on.takes(**one));
            let taken: Vec<&str> = taken.map(|one| one.name()).collect();
            return Err(Error::invalid(format!(
                "{} cannot be granted ON {}",
                self.privilege.name(),
                self.on
            ))
            .with_hint(format!("what can be is {}", taken.join(", "))));
        }
        match &self.on {
            _ if self.on.is_system() => Ok(()),
            Scope::AllKeyspaces | Scope::AllFunctions => Ok(()),
            Scope::Keyspace(name) => state.keyspace(name).map(drop),
            Scope::Table(name) => state.table(name).map(drop),
            Scope::Function(name) => state.function(name).map(drop),
            Scope::Model(name) => state.model(name).map(drop),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ON {}", self.privilege.name(), self.on)
    }
}
