//! One error for the whole program, named by what the caller must do about it.

use std::fmt;

/// What the receiver of an error has to do. The gateway maps each kind to one HTTP status, the
/// command line to one exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fix the input: the statement, the row, the setting. HTTP 400.
    Invalid,
    /// Name something that exists. HTTP 404.
    NotFound,
    /// The state is not as the request assumes (exists already, condition failed). HTTP 409.
    Conflict,
    /// Ask for the right to do this. HTTP 401 or 403.
    Denied,
    /// Try again later: the node is at a limit that passes. HTTP 429 or 503.
    Overloaded,
    /// Free disk space; reads go on. HTTP 507.
    DiskFull,
    /// Stored bytes are not what was written; restore or repair. HTTP 500.
    Corrupt,
    /// The storage failed; the writer is poisoned until the node is started again. HTTP 503.
    Poisoned,
    /// The node is shutting down. HTTP 503.
    Closed,
    /// A defect or an unexpected failure of the system underneath. HTTP 500.
    Internal,
}

impl ErrorKind {
    /// The kind as the outside sees it in `error.code`, in snake case.
    pub fn code(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Denied => "denied",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::DiskFull => "disk_full",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::Poisoned => "poisoned",
            ErrorKind::Closed => "closed",
            ErrorKind::Internal => "internal",
        }
    }
}

/// A failure: its kind, one sentence that says what is wrong, and, where one helps, a hint that
/// says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

/// The program's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),+ $(,)?) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
                Error::new(ErrorKind::$kind, message)
            })+
        }
    };
}

constructors! {
    /// An error of kind [`ErrorKind::Invalid`].
    invalid => Invalid,
    /// An error of kind [`ErrorKind::NotFound`].
    not_found => NotFound,
    /// An error of kind [`ErrorKind::Conflict`].
    conflict => Conflict,
    /// An error of kind [`ErrorKind::Denied`].
    denied => Denied,
    /// An error of kind [`ErrorKind::Overloaded`].
    overloaded => Overloaded,
    /// An error of kind [`ErrorKind::DiskFull`].
    disk_full => DiskFull,
    /// An error of kind [`ErrorKind::Corrupt`].
    corrupt => Corrupt,
    /// An error of kind [`ErrorKind::Poisoned`].
    poisoned => Poisoned,
    /// An error of kind [`ErrorKind::Closed`].
    closed => Closed,
    /// An error of kind [`ErrorKind::Internal`].
    internal => Internal,
}

impl Error {
    /// An error of the given kind; `message` is one sentence without a final stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// The same error with a hint that says what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with `context: ` before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// What the caller must do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where a hint helps.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{} ({hint})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        // A layer below the disk port may have had more to say than `std::io` has words for.
        let inner = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>());
        if let Some(inner) = inner {
            return inner.clone();
        }
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                ErrorKind::DiskFull
            }
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
            _ => ErrorKind::Internal,
        };
        Error::new(kind, error.to_string())
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Error::invalid(error.to_string())
    }
}
