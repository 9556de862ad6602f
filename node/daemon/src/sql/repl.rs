//! The interactive session.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use activestore_types::{Error, Result};
use reedline::{
    ColumnarMenu, DefaultHinter, Emacs, KeyCode, KeyModifiers, MenuBuilder, Reedline,
    ReedlineEvent, ReedlineMenu, Signal, default_emacs_keybindings,
};

use super::completer::{KnownNames, Names, SqlCompleter};
use super::highlighter::SqlColours;
use super::history::DiscreetHistory;
use super::lexer::statements;
use super::meta::{self, COMMANDS, Meta};
use super::prompt::{SqlPrompt, UntilSemicolon};
use super::session::Session;
use crate::client::SqlAnswer;
use crate::sql::table::Grid;

const MENU: &str = "completions";

/// Reads and runs until the user leaves.
///
/// # Errors
/// Where the terminal cannot be used.
pub fn run(mut session: Session) -> Result<ExitCode> {
    let status = session.client.get("/v1/status")?;
    let text = |name: &str| {
        status
            .get(name)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
            .to_owned()
    };
    println!(
        "Connected to {} ({} {}) at {}. \\? for help, \\q to leave.",
        text("name"),
        text("role"),
        text("version"),
        session.client.url()
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let names = KnownNames::default();
    names.set(known_names(&session));
    let mut editor = editor(names.clone());
    loop {
        let signal = editor
            .read_line(&SqlPrompt)
            .map_err(|error| Error::internal(format!("the terminal failed: {error}")))?;
        let line = match signal {
            Signal::Success(line) => line,
            Signal::CtrlD => break,
            _ => continue,
        };
        match meta::parse(&line) {
            Err(error) => show(&error),
            Ok(Some(Meta::Quit)) => break,
            Ok(Some(command)) => obey(&mut session, &runtime, command),
            Ok(None) => {
                let mut defined = false;
                for statement in statements(&line) {
                    defined |= is_definition(statement);
                    if !run_one(&mut session, &runtime, statement) {
                        break;
                    }
                }
                if defined {
                    names.set(known_names(&session));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn obey(session: &mut Session, runtime: &tokio::runtime::Runtime, command: Meta) {
    match command {
        Meta::Sql(sql) => {
            run_one(session, runtime, &sql);
        }
        Meta::Timing => {
            session.timing = !session.timing;
            println!("Timing is {}.", on(session.timing));
        }
        Meta::Expanded => {
            session.expanded = !session.expanded;
            println!("Expanded rows are {}.", on(session.expanded));
        }
        Meta::Format(format) => {
            session.format = format;
        }
        Meta::Include(file) => match std::fs::read_to_string(&file) {
            Err(error) => show(&Error::invalid(format!("{file} cannot be read: {error}"))),
            Ok(text) => {
                for statement in statements(&text) {
                    if !run_one(session, runtime, statement) {
                        break;
                    }
                }
            }
        },
        Meta::Help => {
            println!(
                "A statement ends with a semicolon and may span lines. Tab completes, Ctrl-R searches the history, Ctrl-C stops a running statement."
            );
            for (command, about) in COMMANDS {
                println!("  {command:<9} {about}");
            }
        }
        Meta::Quit => {}
    }
}

fn run_one(session: &mut Session, runtime: &tokio::runtime::Runtime, statement: &str) -> bool {
    match session.run_interruptible(runtime, statement) {
        Ok(()) => true,
        Err(error) => {
            show(&error);
            false
        }
    }
}

fn on(switch: bool) -> &'static str {
    if switch { "on" } else { "off" }
}

fn show(error: &Error) {
    let mut out = std::io::stderr().lock();
    let colour = out.is_terminal();
    let (red, dim, plain) = if colour {
        ("\x1b[31m", "\x1b[2m", "\x1b[0m")
    } else {
        ("", "", "")
    };
    // A closed stderr is nothing to report on stderr.
    let _ = writeln!(out, "{red}error:{plain} {}", error.message());
    if let Some(hint) = error.hint() {
        let _ = writeln!(out, "{dim}hint: {hint}{plain}");
    }
}

fn is_definition(statement: &str) -> bool {
    let word = statement.split_whitespace().next().unwrap_or_default();
    ["create", "drop", "alter"]
        .iter()
        .any(|verb| verb.eq_ignore_ascii_case(word))
}

/// Every table with its columns; none where the node does not say.
fn known_names(session: &Session) -> Names {
    let mut names = Names::new();
    let Ok(SqlAnswer::Rows(reader)) = session.client.sql("SELECT * FROM system.columns") else {
        return names;
    };
    let mut grid = Grid::new(&reader.schema());
    for batch in reader.flatten() {
        if grid.push(&batch).is_err() {
            return names;
        }
    }
    let place = |wanted: &[&str]| grid.columns().position(|(name, _)| wanted.contains(&name));
    let (Some(keyspace), Some(table), Some(column)) = (
        place(&["keyspace", "keyspace_name"]),
        place(&["table", "table_name"]),
        place(&["column", "name", "column_name"]),
    ) else {
        return names;
    };
    for row in grid.rows() {
        let cell = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        names
            .entry(format!("{}.{}", cell(keyspace), cell(table)))
            .or_default()
            .push(cell(column));
    }
    names
}

fn editor(names: KnownNames) -> Reedline {
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(MENU.to_owned()),
            ReedlineEvent::MenuNext,
        ]),
    );
    let editor = Reedline::create()
        .with_completer(Box::new(SqlCompleter { names }))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(
            ColumnarMenu::default().with_name(MENU),
        )))
        .with_highlighter(Box::new(SqlColours))
        .with_hinter(Box::new(
            DefaultHinter::default().with_style(nu_ansi_term::Style::new().dimmed()),
        ))
        .with_validator(Box::new(UntilSemicolon))
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .use_bracketed_paste(true);
    match DiscreetHistory::open() {
        Some(history) => editor
            .with_history(Box::new(history))
            .with_history_exclusion_prefix(Some(" ".to_owned())),
        None => editor,
    }
}
