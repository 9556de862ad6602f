//! Who may come in, as a node starts: the administrator that the settings name, and a word where nobody is asked.

use std::net::SocketAddr;
use std::path::Path;

use activestore_db::Db;
use activestore_types::{Error, Result};

use super::settings::Settings;

/// The longest file of a password.
const PASSWORD_FILE_BYTES_MAX: usize = 4096;

/// Gives `admin` its password and warns of listeners that are open to other machines.
///
/// # Errors
/// `Invalid` for a file that cannot be read or holds no password.
pub async fn prepare(settings: &Settings, db: &Db) -> Result<()> {
    if let Some(file) = &settings.admin_password_file {
        db.set_admin_password(read(file)?)
            .await
            .map_err(|error| error.context("[auth] admin_password_file"))?;
    }
    if db.requires_login() {
        return Ok(());
    }
    let listeners = [
        ("http", Some(settings.gateway.listen)),
        (
            "mqtt",
            settings
                .mqtt_listen
                .filter(|_| settings.mqtt.login.is_none()),
        ),
    ];
    for (name, address) in listeners {
        if let Some(address) = address.filter(|address| is_reachable(*address)) {
            tracing::warn!(
                "{name} listens on {address} and asks nobody who they are. Make a role: CREATE ROLE admin WITH LOGIN SUPERUSER PASSWORD '…', or set [auth] admin_password_file"
            );
        }
    }
    Ok(())
}

fn is_reachable(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn read(file: &Path) -> Result<String> {
    let context = format!("the file {}", file.display());
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::invalid(format!("{context} cannot be read: {error}")))?;
    if text.len() > PASSWORD_FILE_BYTES_MAX {
        return Err(Error::invalid(format!(
            "{context} is too long for a password"
        )));
    }
    // An editor ends the last line.
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
