//! `activestore role …`, on a data directory, and `activestore auth token …`, at a node.

use std::process::ExitCode;

use activestore_db::{RoleSetUp, set_up_role};
use activestore_gateway::Format;
use activestore_types::{Error, Result};
use serde_json::Value;

use crate::cli::{AuthCommand, AuthTokenCommand, OutputFormat, RoleCommand, SqlArgs};
use crate::client::{Client, read_json};
use crate::{key, login, sql};

/// Runs `role …`.
///
/// # Errors
/// As [`set_up_role`].
pub fn run(command: &RoleCommand) -> Result<ExitCode> {
    let (name, data_dir, key, set_up) = match command {
        RoleCommand::Create {
            name,
            superuser,
            data_dir,
            key,
        } => {
            let superuser = *superuser;
            (name, data_dir, key, RoleSetUp::Create { superuser })
        }
        RoleCommand::Password {
            name,
            data_dir,
            key,
        } => (name, data_dir, key, RoleSetUp::Password),
    };
    let key = key::find(key.encryption_key_file.as_deref())?;
    let password = login::new_password()?;
    set_up_role(data_dir, key.as_ref(), name, &password, set_up)?;
    println!(
        "role {name} can log in to the node on {}",
        data_dir.display()
    );
    Ok(ExitCode::SUCCESS)
}

/// Runs `auth …`.
///
/// # Errors
/// What the node says.
pub fn auth(command: &AuthCommand) -> Result<ExitCode> {
    let AuthCommand::Token(command) = command;
    match command {
        AuthTokenCommand::Create {
            role,
            expires,
            label,
            node,
        } => {
            let mut options = vec![format!("label = {}", quoted(label))];
            if let Some(expires) = expires {
                options.push(format!("expires = '{}ms'", expires.0.as_millis()));
            }
            let statement = format!(
                "CREATE TOKEN FOR \"{}\" WITH ({})",
                role.replace('"', "\"\""),
                options.join(", ")
            );
            let (_, body) = Client::new(&node.url)?.sql_body(&statement, Format::Json)?;
            let answer = read_json(body)?;
            let token = answer.pointer("/rows/0/1").and_then(Value::as_str);
            let token = token.ok_or_else(|| Error::internal("the node's answer has no token"))?;
            println!("{token}");
            Ok(ExitCode::SUCCESS)
        }
        AuthTokenCommand::List { node } => sql::run(&SqlArgs {
            command: Some("SHOW TOKENS".to_owned()),
            format: OutputFormat::Table,
            node: node.clone(),
        }),
        AuthTokenCommand::Revoke { id, node } => {
            let statement = format!("DROP TOKEN {}", quoted(id));
            Client::new(&node.url)?.sql_body(&statement, Format::Json)?;
            println!("token {id} is worth nothing any more");
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
