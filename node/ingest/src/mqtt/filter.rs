//! Topic filters: which topics they match and what their wildcards stand for.

use rumqttc::mqttbytes::valid_filter;

/// A valid topic filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicFilter {
    text: String,
}

impl TopicFilter {
    /// `None` where the text is no topic filter.
    pub(super) fn new(text: &str) -> Option<Self> {
        (valid_filter(text) && !text.contains('\0')).then(|| TopicFilter {
            text: text.to_owned(),
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// How many wildcards the filter has.
    pub(super) fn wildcards(&self) -> usize {
        self.text
            .split('/')
            .filter(|level| matches!(*level, "+" | "#"))
            .count()
    }

    /// What the wildcards stand for, if the topic matches. A leading wildcard does not match topics
    /// that start with `$`.
    pub(super) fn captures<'t>(&self, topic: &'t str) -> Option<Vec<&'t str>> {
        if topic.starts_with('$') && self.text.starts_with(['+', '#']) {
            return None;
        }
        let mut captures = Vec::new();
        let mut rest = Some(topic);
        for level in self.text.split('/') {
            if level == "#" {
                captures.push(rest.unwrap_or_default());
                return Some(captures);
            }
            let text = rest?;
            let (head, tail) = match text.split_once('/') {
                Some((head, tail)) => (head, Some(tail)),
                None => (text, None),
            };
            match level {
                "+" => captures.push(head),
                _ if level == head => {}
                _ => return None,
            }
            rest = tail;
        }
        rest.is_none().then_some(captures)
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        self.captures(topic).is_some()
    }
}

/// Whether a message may be published under this topic.
pub(super) fn valid_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}
