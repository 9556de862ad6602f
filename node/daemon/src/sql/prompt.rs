//! The prompt, and when a line is a whole input.

use std::borrow::Cow;

use reedline::{
    Prompt, PromptEditMode, PromptHistorySearch, PromptHistorySearchStatus, ValidationResult,
    Validator,
};

use super::lexer::is_complete;

/// `activestore> `, and `       ...> ` on the lines that follow.
pub struct SqlPrompt;

impl Prompt for SqlPrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "activestore".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _mode: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "        ...> ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        match search.status {
            PromptHistorySearchStatus::Passing => format!("(history: {}) ", search.term).into(),
            PromptHistorySearchStatus::Failing => {
                format!("(not in history: {}) ", search.term).into()
            }
        }
    }
}

/// A statement goes on until its semicolon; a meta command is one line.
pub struct UntilSemicolon;

impl Validator for UntilSemicolon {
    fn validate(&self, line: &str) -> ValidationResult {
        let text = line.trim();
        let word = text.to_ascii_lowercase();
        if text.is_empty()
            || text.starts_with('\\')
            || matches!(word.as_str(), "exit" | "quit" | "help")
            || is_complete(text)
        {
            ValidationResult::Complete
        } else {
            ValidationResult::Incomplete
        }
    }
}
