//! What a plugin may be.

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginKind {
    /// Scalar functions.
    Scalar,
    /// Aggregates.
    Aggregate,
    /// Table functions.
    Table,
    /// A stream processor.
    Processor,
    /// A model.
    Model,
    /// Merge functions.
    Merge,
    /// A sync filter.
    Filter,
}

impl PluginKind {
    /// The kind in lower case.
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::Scalar => "scalar",
            PluginKind::Aggregate => "aggregate",
            PluginKind::Table => "table-function",
            PluginKind::Processor => "processor",
            PluginKind::Model => "model",
            PluginKind::Merge => "merge",
            PluginKind::Filter => "filter",
        }
    }
}
