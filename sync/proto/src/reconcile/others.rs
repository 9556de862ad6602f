//! What follows the asker's own rows in a comparison: the rows that others wrote, in tables that flow down to who asks, and at
//! a gateway those of each node below it.
//!
//! Rows of others arrive at the other end at any time, also old ones, so a difference counts where a second look finds it
//! too. What the asker lacks is not shipped piece by piece: it fetches the tables as one that starts over, which brings rows and
//! deletes as they are stored and lets go of what the other end has not. Rows of a node below a gateway are mended
//! as the gateway's own are, and stay their writer's.

use activestore_types::{NodeId, Result, TableName};

use super::Sum;
use super::comparing::{Comparing, Stage};
use super::holdings::{Holdings, View, Whose};
use super::report::{Outcome, TableReport};

/// Which rows are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Own,
    /// A look at those of others.
    First,
    Second,
    Below(NodeId),
}

/// How far the parts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    part: Part,
    own: Option<View>,
    /// How often what is on its way was waited for.
    pub(super) looks: u32,
    /// Whether the next look is to wait.
    pub(super) wait: bool,
    /// What the parts before came to.
    pub(super) before: Vec<TableReport>,
    outcome: Outcome,
    /// What is here of the rows that are compared.
    pub(super) sums: Vec<(TableName, Sum)>,
}

impl Others {
    pub(super) fn is_part(&self) -> bool {
        matches!(self.part, Part::First | Part::Second)
    }

    /// Whether nothing is mended yet.
    pub(super) fn is_first_look(&self) -> bool {
        self.part == Part::First
    }
}

impl Comparing {
    /// All days that differ were looked at: the next rows, or the end.
    pub(super) fn passed(&mut self, here: &dyn Holdings) -> Result<()> {
        let found = self.report.outcome.differences > self.others.outcome.differences;
        match self.others.part {
            Part::Own => {
                self.others.own = self.start.as_ref().map(|start| start.view.clone());
                let own = self.others.own.as_ref();
                if let Some(view) = own.and_then(|own| here.others(own)) {
                    self.begin(Part::First, view);
                    return Ok(());
                }
            }
            Part::First if found => {
                self.report.outcome = self.others.outcome;
                self.others.part = Part::Second;
                self.stage = Stage::Groups { retries: 0 };
                return Ok(());
            }
            Part::Second => {
                let mended = self.report.outcome.mended_here > self.others.outcome.mended_here;
                if found && mended {
                    here.fetch_anew()?;
                    self.report.fetch_anew = true;
                }
            }
            Part::First | Part::Below(_) => {}
        }
        let after = match self.others.part {
            Part::Below(node) => Some(node),
            _ => None,
        };
        let own = self.others.own.clone();
        if let Some(view) = own.as_ref().and_then(|own| here.below(own, after))
            && let Whose::Of(node) = view.whose
            && Some(node) > after
        {
            self.begin(Part::Below(node), view);
            return Ok(());
        }
        // What it came to is about the one that asks.
        if let (Some(start), Some(own)) = (&mut self.start, own) {
            start.view = own;
        }
        self.stage = Stage::Telling;
        Ok(())
    }

    fn begin(&mut self, part: Part, view: View) {
        self.others.before.clone_from(&self.report.tables);
        self.others.outcome = self.report.outcome;
        self.others.part = part;
        if let Some(start) = &mut self.start {
            start.view = view;
        }
        self.stage = Stage::Groups { retries: 0 };
    }

    /// The other end has something else of a table.
    pub(super) fn differs(&mut self, here: &dyn Holdings, table: TableName, there: Sum) {
        let index = self.report.of(&table);
        let compared = here.compares(&table);
        let before = self.others.before.iter().find(|one| one.table == table);
        let mut whole = before.map_or_else(Sum::default, |before| before.there);
        whole.add(&there);
        if let Some(one) = self.report.tables.get_mut(index) {
            one.there = whole;
            if !compared {
                one.unexplored =
                    Some("this node has no such table, or does not ship it".to_owned());
            } else if !self.tables.contains(&index) {
                self.tables.push_back(index);
            }
        }
    }
}
