//! Colours while typing: keywords, text, numbers, comments.

use nu_ansi_term::{Color, Style};
use reedline::{Highlighter, StyledText};

use super::completer::is_keyword;
use super::lexer::{Kind, tokens};

/// The highlighter.
pub struct SqlColours;

impl Highlighter for SqlColours {
    fn highlight(&self, line: &str, _cursor: usize) -> StyledText {
        let mut styled = StyledText::new();
        if line.starts_with('\\') {
            styled.push((Style::new().fg(Color::Magenta), line.to_owned()));
            return styled;
        }
        for token in tokens(line) {
            let style = match token.kind {
                Kind::Word if is_keyword(token.text) => Style::new().fg(Color::Blue).bold(),
                Kind::Number => Style::new().fg(Color::Cyan),
                Kind::Text => Style::new().fg(Color::Green),
                Kind::Comment => Style::new().dimmed(),
                Kind::Word | Kind::QuotedName | Kind::End | Kind::Other => Style::new(),
            };
            styled.push((style, token.text.to_owned()));
        }
        styled
    }
}
