//! How a session begins: encryption, the version of the protocol, who it is. All of it has to be done within a time.

use std::net::IpAddr;
use std::sync::Arc;

use activestore_db::{Credentials, Db, LoginWay, Principal};
use activestore_types::{Error, ErrorKind};
use bytes::{BufMut, Bytes};
use tokio::net::TcpStream;

use super::Pg;
use super::answer;
use super::cancel::Seat;
use super::fault::{Fault, NO_LOGIN, NOT_SUPPORTED, WRONG_LOGIN};
use super::message::{Fields, Message};
use super::session::{Failure, Session};
use super::settings::Settings;
use super::wire::Wire;

/// The longest startup message, as PostgreSQL has it.
const STARTUP_BYTES_MAX: usize = 10_000;
/// The longest message of a login.
const LOGIN_BYTES_MAX: usize = 16 * 1024;
/// What may come before the startup message: a question for encryption of each kind.
const QUESTIONS_MAX: usize = 3;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// Major version 3 of the protocol; the minor one is in the lower half.
const MAJOR: u32 = 3;

/// A session's setting that says that a token is what is sent as the password.
const LOGIN_SETTING: &str = "activestore.login";

const MECHANISM: &str = "SCRAM-SHA-256";

/// What the startup message says.
#[derive(Default)]
struct Startup {
    user: String,
    pairs: Vec<(String, String)>,
    /// Extensions of the protocol that are asked for and not there.
    extensions: Vec<String>,
    minor: u32,
}

/// Begins a session; `None` where the connection was for something else, or is gone.
///
/// # Errors
/// Why it does not begin, for the client; with the wire to tell it over.
pub(super) async fn begin(
    pg: &Arc<Pg>,
    stream: TcpStream,
    from: IpAddr,
) -> Result<Option<Session>, (Wire, Fault)> {
    let mut wire = Wire::new(Box::new(stream));
    let mut secure = false;
    for _ in 0..QUESTIONS_MAX {
        let (code, body) = match startup(&mut wire).await {
            Ok(Some(startup)) => startup,
            Ok(None) => return Ok(None),
            Err(fault) => return Err((wire, fault)),
        };
        match code {
            SSL | GSS => {
                let acceptor = pg.options.tls.as_ref().filter(|_| code == SSL && !secure);
                wire.out
                    .put_u8(if acceptor.is_some() { b'S' } else { b'N' });
                if wire.flush().await.is_err() {
                    return Ok(None);
                }
                if let Some(acceptor) = acceptor {
                    // What came before the handshake was not encrypted, and is not to be taken for what was.
                    let Some(io) = wire.into_io() else {
                        return Ok(None);
                    };
                    let Some(io) = acceptor.0.accept(io).await else {
                        return Ok(None);
                    };
                    wire = Wire::new(io);
                    secure = true;
                }
            }
            CANCEL => {
                let mut fields = Fields::new(&body);
                if let (Ok(number), Ok(secret)) = (fields.i32(), fields.i32()) {
                    pg.sessions.cancel(number, secret);
                }
                return Ok(None);
            }
            version if version >> 16 == MAJOR => {
                let startup = match read(version & 0xffff, &body) {
                    Ok(startup) => startup,
                    Err(fault) => return Err((wire, fault)),
                };
                return session(pg, wire, startup, from, secure).await;
            }
            _ => {
                let fault = Fault::new(
                    NOT_SUPPORTED,
                    format!(
                        "version {}.{} of the protocol is not available",
                        code >> 16,
                        code & 0xffff
                    ),
                )
                .hint("clients of PostgreSQL 7.4 and later speak version 3")
                .fatal();
                return Err((wire, fault));
            }
        }
    }
    let fault = Fault::protocol(&Error::invalid("too many questions for encryption"));
    Err((wire, fault))
}

/// The code of a startup message and what follows.
async fn startup(wire: &mut Wire) -> Result<Option<(u32, Bytes)>, Fault> {
    let Ok(head) = wire.exactly(8).await else {
        return Ok(None);
    };
    let mut fields = Fields::new(&head);
    let both = fields.u32().and_then(|length| Ok((length, fields.u32()?)));
    let (length, code) = both.map_err(|error| Fault::protocol(&error))?;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(Fault::protocol(&Error::invalid(
            "what came is not a startup message of PostgreSQL's protocol",
        )));
    }
    Ok(wire.exactly(length - 8).await.ok().map(|body| (code, body)))
}

fn read(minor: u32, body: &Bytes) -> Result<Startup, Fault> {
    let mut startup = Startup {
        minor,
        ..Startup::default()
    };
    let mut fields = Fields::new(body);
    loop {
        let name = fields.text().map_err(|error| Fault::protocol(&error))?;
        if name.is_empty() {
            break;
        }
        let value = fields.text().map_err(|error| Fault::protocol(&error))?;
        match name.as_str() {
            "user" => startup.user = value,
            // There is one database, whatever clients call it.
            "database" => {}
            "replication" if !matches!(value.as_str(), "false" | "off" | "no" | "0") => {
                return Err(Fault::new(
                    NOT_SUPPORTED,
                    "replication is not available over this wire",
                )
                .fatal());
            }
            "replication" => {}
            "options" => startup.pairs.extend(options(&value)?),
            name if name.starts_with("_pq_.") => startup.extensions.push(name.to_owned()),
            _ => startup.pairs.push((name, value)),
        }
    }
    if startup.user.is_empty() {
        return Err(Fault::new(NO_LOGIN, "the startup message names no user").fatal());
    }
    Ok(startup)
}

/// `-c name=value` and `--name=value`, as many as there are; a backslash keeps a space.
fn options(text: &str) -> Result<Vec<(String, String)>, Fault> {
    let mut words: Vec<String> = vec![String::new()];
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, words.last_mut()) {
            ('\\', Some(word)) => word.extend(chars.next()),
            (' ', _) => words.push(String::new()),
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    let mut pairs = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--") {
            Some(setting) => setting.replacen('-', "_", setting.find('=').unwrap_or(0)),
            None => match word.strip_prefix("-c") {
                Some("") => words.next().unwrap_or_default(),
                Some(setting) => setting.to_owned(),
                None => String::new(),
            },
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            Fault::new(
                super::fault::SYNTAX,
                format!("the option '{word}' is not -c name=value"),
            )
            .fatal()
        })?;
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(pairs)
}

async fn session(
    pg: &Arc<Pg>,
    mut wire: Wire,
    startup: Startup,
    from: IpAddr,
    secure: bool,
) -> Result<Option<Session>, (Wire, Fault)> {
    let mut settings = Settings::of(&startup.user);
    for (name, value) in &startup.pairs {
        // Some clients quote what they say as in SQL.
        let value = value
            .strip_prefix('\'')
            .and_then(|value| value.strip_suffix('\''))
            .unwrap_or(value);
        if let Err(fault) = settings.set(name, value) {
            return Err((wire, fault.fatal()));
        }
    }
    settings.begin();
    if startup.minor > 0 || !startup.extensions.is_empty() {
        answer::message(&mut wire.out, b'v', |out| {
            // The newest minor version that is spoken.
            out.put_u32(MAJOR << 16);
            out.put_u32(u32::try_from(startup.extensions.len()).unwrap_or(u32::MAX));
            for extension in &startup.extensions {
                answer::text(out, extension);
            }
        });
    }
    let by_token = settings
        .get(LOGIN_SETTING)
        .is_ok_and(|(_, value)| value.eq_ignore_ascii_case("token"));
    let principal = match who(
        &mut wire,
        &pg.shared.db,
        &startup.user,
        from,
        secure,
        by_token,
    )
    .await
    {
        Ok(principal) => principal,
        Err(Failure::Gone) => return Ok(None),
        Err(Failure::Fault(fault)) => return Err((wire, fault.fatal())),
    };
    let db = pg.shared.db.acting_as(principal);
    if let Err(error) = db.check_admitted() {
        return Err((wire, Fault::from(error).fatal()));
    }
    settings.is_superuser = db.check_superuser("log in").is_ok();
    let seat = pg.sessions.seat(db.secret());
    answer::authentication(&mut wire.out, 0, &[]);
    for (name, value) in settings.told() {
        answer::parameter_status(&mut wire.out, &name, &value);
    }
    key(&mut wire, &seat);
    answer::ready(&mut wire.out, answer::Standing::Idle);
    if wire.flush().await.is_err() {
        return Ok(None);
    }
    Ok(Some(Session::new(pg.clone(), wire, db, settings, seat)))
}

/// What the client cancels with.
fn key(wire: &mut Wire, seat: &Seat) {
    answer::message(&mut wire.out, b'K', |out| {
        out.put_i32(seat.number);
        out.put_i32(seat.secret);
    });
}

async fn who(
    wire: &mut Wire,
    db: &Db,
    user: &str,
    from: IpAddr,
    secure: bool,
    by_token: bool,
) -> Result<Principal, Failure> {
    if !db.requires_login() {
        return Ok(Principal::Anybody);
    }
    if by_token || db.login_way(user) == LoginWay::Secret {
        if !secure && !from.is_loopback() {
            return Err(Fault::new(NO_LOGIN, "a token is taken over an encrypted connection only")
                .hint("connect with sslmode=require; the node needs pg_tls_cert and pg_tls_key in [listen]")
                .into());
        }
        answer::authentication(&mut wire.out, 3, &[]);
        let body = answered(wire).await?;
        let password = Fields::new(&body)
            .text()
            .map_err(|error| Fault::protocol(&error))?;
        let given = Credentials::Password {
            user,
            password: &password,
        };
        return db.login(given, from).await.map_err(refused);
    }
    let mut login = db.scram_login(user, from).map_err(refused)?;
    answer::authentication(&mut wire.out, 10, format!("{MECHANISM}\0\0").as_bytes());
    let body = answered(wire).await?;
    let mut fields = Fields::new(&body);
    let chosen = fields.text().map_err(|error| Fault::protocol(&error))?;
    let first = fields.value().map_err(|error| Fault::protocol(&error))?;
    if chosen != MECHANISM {
        return Err(
            Fault::new(NO_LOGIN, format!("'{chosen}' is not a way to log in here"))
                .hint(format!("the way is {MECHANISM}"))
                .into(),
        );
    }
    let challenge = login.first(&first.unwrap_or_default()).map_err(refused)?;
    answer::authentication(&mut wire.out, 11, challenge.as_bytes());
    let body = answered(wire).await?;
    let (principal, proof) = login.last(&body).map_err(refused)?;
    answer::authentication(&mut wire.out, 12, proof.as_bytes());
    Ok(principal)
}

/// Sends the question, and waits for the answer.
async fn answered(wire: &mut Wire) -> Result<Bytes, Failure> {
    wire.flush().await?;
    loop {
        if let Some((tag, body)) = wire.taken(LOGIN_BYTES_MAX)? {
            return match Message::read(tag, &body) {
                Ok(Message::Login(body)) => Ok(body),
                Ok(Message::Terminate) => Err(Failure::Gone),
                _ => Err(Fault::protocol(&Error::invalid("a password was expected")).into()),
            };
        }
        if !wire.fill().await? {
            return Err(Failure::Gone);
        }
    }
}

fn refused(error: Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::Denied => WRONG_LOGIN,
        _ => NO_LOGIN,
    };
    let mut fault = Fault::new(code, error.message());
    fault.hint = error.hint().map(str::to_owned);
    fault.into()
}
