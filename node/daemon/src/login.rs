//! What the command line logs in with: `--user` with a password from ACTIVESTORE_PASSWORD or typed in, or a token from
//! ACTIVESTORE_AUTH_TOKEN. A password is never an argument: others on the machine read those.

use std::fmt;
use std::io::{IsTerminal, Read, Write};
use std::sync::OnceLock;

use activestore_types::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The variable that holds the role's name.
pub const USER_VARIABLE: &str = "ACTIVESTORE_USER";
/// The variable that holds the password.
pub const PASSWORD_VARIABLE: &str = "ACTIVESTORE_PASSWORD";
/// The variable that holds a token.
pub const TOKEN_VARIABLE: &str = "ACTIVESTORE_AUTH_TOKEN";
/// The longest password that is typed in.
const TYPED_BYTES_MAX: usize = 1024;

static USER: OnceLock<Option<String>> = OnceLock::new();
static LOGIN: OnceLock<Option<Login>> = OnceLock::new();

/// An `Authorization` header.
#[derive(Clone)]
pub struct Login(String);

impl Login {
    /// The header's value.
    pub fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Remembers the name that the command line gives, for every request of this process.
pub fn log_in_as(user: Option<String>) {
    // It is said once, at the start.
    let _ = USER.set(user);
}

/// What requests of this process log in with. A password that is needed is asked for once.
///
/// # Errors
/// `Invalid` where a password is needed and there is nobody to ask.
pub fn current() -> Result<Option<Login>> {
    if let Some(login) = LOGIN.get() {
        return Ok(login.clone());
    }
    let user = USER.get().cloned().flatten();
    let login = find(user, |name| std::env::var(name).ok(), prompted)?;
    Ok(LOGIN.get_or_init(|| login).clone())
}

fn find(
    user: Option<String>,
    variable: impl Fn(&str) -> Option<String>,
    ask: impl FnOnce(&str) -> Result<String>,
) -> Result<Option<Login>> {
    let given = |name| variable(name).filter(|text: &String| !text.is_empty());
    if user.is_none()
        && let Some(token) = given(TOKEN_VARIABLE)
    {
        return Ok(Some(Login(format!("Bearer {}", token.trim()))));
    }
    let Some(user) = user.or_else(|| given(USER_VARIABLE)) else {
        return Ok(None);
    };
    let password = match given(PASSWORD_VARIABLE) {
        Some(password) => password,
        None => ask(&format!("Password of {user}: "))?,
    };
    let both = STANDARD.encode(format!("{user}:{password}"));
    Ok(Some(Login(format!("Basic {both}"))))
}

fn prompted(prompt: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Error::invalid("a password is needed, and there is nobody to ask").with_hint(format!(
                "set {PASSWORD_VARIABLE}, or {TOKEN_VARIABLE} to a token"
            )),
        );
    }
    typed(prompt)
}

/// A new password: the first line of stdin, or typed in twice at a terminal.
///
/// # Errors
/// `Invalid` where the two differ.
pub fn new_password() -> Result<String> {
    if !std::io::stdin().is_terminal() {
        let mut line = String::new();
        let most = TYPED_BYTES_MAX as u64 + 2;
        std::io::BufRead::read_line(&mut std::io::stdin().lock().take(most), &mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let first = typed("New password: ")?;
    if first != typed("The same again: ")? {
        return Err(Error::invalid("the two are not the same").with_hint("try again"));
    }
    Ok(first)
}

/// A line from the terminal that is not shown.
fn typed(prompt: &str) -> Result<String> {
    let failed = |error: std::io::Error| Error::internal(format!("the terminal failed: {error}"));
    let mut err = std::io::stderr().lock();
    write!(err, "{prompt}")
        .and_then(|()| err.flush())
        .map_err(failed)?;
    crossterm::terminal::enable_raw_mode().map_err(failed)?;
    let line = hidden_line(&mut std::io::stdin().lock());
    crossterm::terminal::disable_raw_mode().map_err(failed)?;
    writeln!(err).map_err(failed)?;
    line
}

/// Bytes up to the end of the line; backspace takes a character back, Ctrl-C ends it.
fn hidden_line(input: &mut impl Read) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0_u8; 1];
    while input.read(&mut byte)? == 1 {
        match byte[0] {
            b'\r' | b'\n' => break,
            3 | 4 => return Err(Error::closed("the password was not given")),
            8 | 127 => while line.pop().is_some_and(|byte: u8| byte & 0xc0 == 0x80) {},
            _ if line.len() >= TYPED_BYTES_MAX => {
                return Err(Error::invalid("the password is too long"));
            }
            byte => line.push(byte),
        }
    }
    String::from_utf8(line).map_err(|_| Error::invalid("the password is not UTF-8"))
}

#[cfg(test)]
mod tests;
