//! Errors as gRPC tells them: a code that says what to do, and the sentence with its hint.

use activestore_types::{Error, ErrorKind};
use arrow::error::ArrowError;
use arrow_flight::error::FlightError;
use tonic::{Code, Status};

/// The longest message: it travels in the headers of an answer, which clients bound.
const MESSAGE_BYTES_MAX: usize = 4096;

/// An error on its way to the client.
#[derive(Debug)]
pub(super) struct Fault(Status);

impl Fault {
    pub(super) fn new(code: Code, error: &Error) -> Self {
        let mut message = error.to_string();
        if message.len() > MESSAGE_BYTES_MAX {
            let cut = message.floor_char_boundary(MESSAGE_BYTES_MAX);
            message.truncate(cut);
            message.push('…');
        }
        Fault(Status::new(code, message))
    }

    /// The same, where so many rows were stored before it.
    pub(super) fn after(self, rows: u64) -> Self {
        if rows == 0 {
            return self;
        }
        let message = format!("after {rows} rows that are stored: {}", self.0.message());
        Fault(Status::new(self.0.code(), message))
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let code = code(&error);
        if matches!(code, Code::Internal | Code::DataLoss) {
            tracing::warn!(code = error.kind().code(), error = %error, "a call failed");
        }
        Fault::new(code, &error)
    }
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        Error::from(error).into()
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Fault(status)
    }
}

impl From<FlightError> for Fault {
    fn from(error: FlightError) -> Self {
        match error {
            FlightError::Tonic(status) => Fault(*status),
            FlightError::Arrow(error) => error.into(),
            error => Error::invalid(format!("the message cannot be read: {error}")).into(),
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        fault.0
    }
}

/// Who calls is not let in.
pub(super) fn unauthenticated(error: Error) -> Fault {
    Fault::new(Code::Unauthenticated, &error)
}

/// A statement took too long.
pub(super) fn expired() -> Fault {
    let error = Error::overloaded("the statement took longer than its time limit")
        .with_hint("narrow it, or raise flight_statement_timeout in [limits]");
    Fault::new(Code::DeadlineExceeded, &error)
}

/// What is asked for is not there.
pub(super) fn unavailable(what: &str, hint: &str) -> Fault {
    let error = Error::invalid(format!("{what} not available here")).with_hint(hint);
    Fault::new(Code::Unimplemented, &error)
}

fn code(error: &Error) -> Code {
    match error.kind() {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict if error.message().contains("exists") => Code::AlreadyExists,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Overloaded | ErrorKind::Poisoned | ErrorKind::Closed => Code::Unavailable,
        ErrorKind::DiskFull => Code::ResourceExhausted,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_what_to_do_and_the_hint_goes_along() {
        let exists = Error::conflict("table plant.t exists already").with_hint("use another name");
        let status = Status::from(Fault::from(exists));
        assert_eq!(status.code(), Code::AlreadyExists);
        assert_eq!(
            status.message(),
            "table plant.t exists already (use another name)"
        );
        let busy = Status::from(Fault::from(Error::overloaded("busy")));
        assert_eq!(busy.code(), Code::Unavailable);
        let long = Status::from(Fault::from(Error::invalid("ä".repeat(5000))));
        assert!(long.message().len() <= MESSAGE_BYTES_MAX + '…'.len_utf8());
        assert!(long.message().ends_with('…'));
    }
}
