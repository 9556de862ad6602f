//! Which rights a statement needs. What a query reads and calls is found when it is planned, by the engine under the
//! rights of who asks; here is what can be told from the statement itself. Every kind of statement and of change is
//! named, so that a new one does not pass unseen.

use activestore_catalog::{Change, Privilege, ProcessorDef, ProcessorSource, Scope};
use activestore_query::{
    Existing, PartitionStep, Redefined, Redefinition, RoleStatement, Show, Statement,
};
use activestore_types::{Error, Result};

use super::rights::Rights;

impl Rights {
    /// Asks for what a statement needs.
    ///
    /// # Errors
    /// `Denied`, naming the grant that is missing.
    pub(crate) fn check(&self, statement: &Statement) -> Result<()> {
        self.admitted()?;
        match statement {
            Statement::Query { .. } | Statement::Explain { .. } | Statement::Subscribe(_) => Ok(()),
            Statement::Insert(insert) => {
                self.table(Privilege::Insert, &insert.table)?;
                if insert.existing == Existing::Merge {
                    return Ok(());
                }
                // The answer says whether there was a row.
                self.table(Privilege::Select, &insert.table)
            }
            Statement::Update(update) => {
                self.table(Privilege::Update, &update.table)?;
                self.table(Privilege::Select, &update.table)
            }
            Statement::Delete(delete) => {
                self.table(Privilege::Delete, &delete.table)?;
                if delete.filter.is_none() && delete.condition.is_none() {
                    return Ok(());
                }
                self.table(Privilege::Select, &delete.table)
            }
            Statement::Batch(statements) => statements.iter().try_for_each(|one| self.check(one)),
            Statement::Compact { table } => self.table(Privilege::Alter, table),
            Statement::Partition(partition) => {
                self.table(Privilege::Alter, &partition.table)?;
                self.table(Privilege::Select, &partition.table)?;
                match partition.step {
                    PartitionStep::Seal => Ok(()),
                    PartitionStep::Erase => self.table(Privilege::Delete, &partition.table),
                }
            }
            Statement::Change { change, .. } => self.check_change(change),
            // What its query reads and calls is found when it is planned.
            Statement::CreateView(view) => {
                self.keyspace(Privilege::Create, &view.name.keyspace)?;
                // It may take the place of a table.
                let state = &self.state;
                if state.tables.contains_key(&view.name) && !state.views.contains_key(&view.name) {
                    self.table(Privilege::Drop, &view.name)?;
                }
                match view.options.late.table() {
                    None => Ok(()),
                    Some(late) if state.tables.contains_key(late) => {
                        // It gets the columns that the base gets, and is held to what the view needs.
                        self.table(Privilege::Alter, late)?;
                        self.table(Privilege::Select, late)?;
                        self.table(Privilege::Insert, late)
                    }
                    Some(late) => self.keyspace(Privilege::Create, &late.keyspace),
                }
            }
            Statement::CreateSink(_) => self.superuser("make sinks, which reach other hosts"),
            Statement::RefreshView { name } => self.table(Privilege::Alter, name),
            Statement::CreateModel(model) => {
                self.creates(model.or_replace, Scope::Model(model.name.clone()))
            }
            Statement::Redefine(redefinition) => self.check_redefinition(redefinition),
            Statement::Role(role) => self.check_role(role),
            Statement::Show(Show::Tables {
                keyspace: Some(keyspace),
            }) if !self.sees_keyspace(keyspace) => self.keyspace(Privilege::Select, keyspace),
            // They are queries.
            Statement::Show(_) => Ok(()),
            // It reads and writes files of the machine.
            Statement::Copy(_) => self.superuser("copy to and from files"),
            Statement::Describe { name } if self.sees(name) => Ok(()),
            Statement::Describe { name } => self.table(Privilege::Select, name),
        }
    }

    fn check_change(&self, change: &Change) -> Result<()> {
        let function = |name: &String| Scope::Function(name.clone());
        match change {
            Change::CreateKeyspace { .. } => self.need(Privilege::Create, &Scope::AllKeyspaces),
            Change::AlterKeyspace { name, .. } => self.keyspace(Privilege::Alter, name),
            Change::DropKeyspace { name, .. } => self.keyspace(Privilege::Drop, name),
            Change::CreateTable { definition, .. } | Change::CreateView { definition, .. } => {
                self.keyspace(Privilege::Create, &definition.name.keyspace)
            }
            Change::AddColumns { table, .. } | Change::AlterOptions { table, .. } => {
                self.table(Privilege::Alter, table)
            }
            Change::DropTable { name, .. } | Change::DropView { name, .. } => {
                self.table(Privilege::Drop, name)
            }
            Change::CreateFunction {
                def, or_replace, ..
            } => self.creates(*or_replace, function(&def.name)),
            Change::DropFunction { name, .. } => self.need(Privilege::Drop, &function(name)),
            Change::CreateModel { def, or_replace } => {
                self.creates(*or_replace, Scope::Model(def.name.clone()))
            }
            Change::DropModel { name, .. } => {
                self.need(Privilege::Drop, &Scope::Model(name.clone()))
            }
            // These have no grants of their own.
            Change::CreateMerge { or_replace, .. } | Change::CreateFilter { or_replace, .. } => {
                self.creates(*or_replace, Scope::AllFunctions)
            }
            Change::DropMerge { .. } | Change::DropFilter { .. } => self.functions(Privilege::Drop),
            Change::CreateProcessor { def, or_replace } => {
                self.creates(*or_replace, Scope::AllFunctions)?;
                self.runs(def)
            }
            Change::DropProcessor { name, .. } => {
                self.functions(Privilege::Drop)?;
                match self.state.processors.get(name) {
                    Some(def) => self.table(Privilege::Alter, &def.table),
                    None => Ok(()),
                }
            }
            Change::PutPlugin(_)
            | Change::DropPlugin { .. }
            | Change::StartRollout(_)
            | Change::StepRollout { .. } => self.superuser("deploy, roll out or drop plugins"),
            Change::Role(_) => self.superuser("change roles"),
            Change::Sink(_) => self.superuser("change sinks, which reach other hosts"),
            Change::AdoptBundle(_) => self.superuser("take over definitions"),
        }
    }

    /// Something of a plugin is made under a name, over another one if `or_replace` says so.
    fn creates(&self, or_replace: bool, named: Scope) -> Result<()> {
        self.functions(Privilege::Create)?;
        if or_replace {
            self.need(Privilege::Alter, &named)?;
        }
        Ok(())
    }

    /// A processor gets the rows that are written to its table, whoever writes them, and writes in the node's name: who
    /// makes one needs what it will do.
    fn runs(&self, def: &ProcessorDef) -> Result<()> {
        self.table(Privilege::Alter, &def.table)?;
        self.table(Privilege::Select, &def.table)?;
        if let ProcessorSource::Model(model) = &def.source {
            self.need(Privilege::Execute, &Scope::Model(model.clone()))?;
        }
        for into in &def.into {
            self.table(Privilege::Insert, into)?;
            if !self.state.tables.contains_key(into) {
                self.may_make(into)?;
            }
        }
        Ok(())
    }

    fn check_redefinition(&self, redefinition: &Redefinition) -> Result<()> {
        let name = &redefinition.name;
        match redefinition.what {
            Redefined::Function => self.need(Privilege::Alter, &Scope::Function(name.clone())),
            Redefined::Model => self.need(Privilege::Alter, &Scope::Model(name.clone())),
            Redefined::Merge | Redefined::Filter => self.functions(Privilege::Alter),
            Redefined::Processor => {
                self.functions(Privilege::Alter)?;
                match self.state.processors.get(name) {
                    Some(def) => self.runs(def),
                    None => Ok(()),
                }
            }
        }
    }

    fn check_role(&self, statement: &RoleStatement) -> Result<()> {
        match statement {
            // One's own password, and nothing beside it.
            RoleStatement::Alter {
                name,
                login: None,
                superuser: None,
                password: Some(Some(_)),
            } if self.is(name) => Ok(()),
            RoleStatement::Create { .. }
            | RoleStatement::Alter { .. }
            | RoleStatement::Change { .. }
            | RoleStatement::CreateToken { .. } => self.superuser("change roles and grants"),
        }
    }

    /// An error as somebody may see it: names that are near to a missing one are not for everybody.
    pub(crate) fn told(&self, error: Error) -> Error {
        let guesses = error
            .hint()
            .is_some_and(|hint| hint.starts_with("did you mean"));
        if guesses && !error.message().contains("column") && !self.is_unbounded() {
            return Error::new(error.kind(), error.message());
        }
        error
    }
}
