//! The history of the interactive session: what was typed, but for what holds a secret.

use std::path::PathBuf;

use reedline::{
    FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, ReedlineError,
    ReedlineErrorVariants, Result, SearchQuery,
};

use super::lexer::{Kind, tokens};

/// How many lines the history keeps.
const HISTORY_LINES: usize = 5_000;

/// A history in a file that passes over secrets: those can be had back with the arrow key until the next statement, as
/// what begins with a space, and are in no file.
pub struct DiscreetHistory(FileBackedHistory);

impl DiscreetHistory {
    /// The history of whoever is logged in; `None` where there is no place for it.
    pub fn open() -> Option<DiscreetHistory> {
        let file = FileBackedHistory::with_file(HISTORY_LINES, file()?).ok()?;
        Some(DiscreetHistory(file))
    }
}

/// `$XDG_STATE_HOME/activestore/history`, by default under `~/.local/state`.
fn file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    let dir = state.join("activestore");
    std::fs::create_dir_all(&dir).ok()?;
    Some(dir.join("history"))
}

/// Whether a text holds what should not lie in a file: a password, a token, the headers or the address of a sink. It goes
/// by words, as half a statement may hold one as well. The console goes by the same ones.
fn holds_secret(text: &str) -> bool {
    let (mut sink, mut defines) = (false, text.contains("://"));
    for token in tokens(text) {
        if token.kind != Kind::Word {
            continue;
        }
        let word = token.text.to_ascii_lowercase();
        if word.contains("password")
            || word.contains("encryption_key")
            || word == "token"
            || word.starts_with("header_")
        {
            return true;
        }
        sink |= word == "sink";
        defines |= word == "create" || word == "alter";
    }
    sink && defines
}

impl History for DiscreetHistory {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        if holds_secret(&item.command_line) {
            let why = "a statement with a secret is not kept";
            return Err(ReedlineError(ReedlineErrorVariants::OtherHistoryError(why)));
        }
        self.0.save(item)
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.0.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.0.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.0.search(query)
    }

    fn update(
        &mut self,
        id: HistoryItemId,
        updater: &dyn Fn(HistoryItem) -> HistoryItem,
    ) -> Result<()> {
        self.0.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.0.delete(id)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.0.session()
    }
}

#[cfg(test)]
mod tests;
