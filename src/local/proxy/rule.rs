//! What a fault proxy does, and when.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::{Error, Result};

/// When a [`Rule`] applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A connection was accepted, and nothing read from it yet.
    Connect,
    /// A statement whose text contains this, in any case, is to run: as a simple query, or by
    /// binding a prepared statement.
    Query(String),
    /// Any message from the client after its startup, or those with this tag.
    Frontend(Option<u8>),
    /// Any message from the server, or those with this tag.
    Backend(Option<u8>),
    /// Any message, from either side.
    Any,
}

impl Condition {
    /// A statement whose text contains this, in any case.
    pub fn query(text: &str) -> Self {
        Condition::Query(text.to_lowercase())
    }
}

/// What happens when a [`Condition`] is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The message is passed on later, and so are those behind it.
    Delay(Duration),
    /// The connection stays open, and nothing passes in either direction until the proxy is
    /// [healed](super::FaultProxy::heal).
    BlackHole,
    /// Both sides are reset (a TCP RST).
    Reset,
    /// The client is sent an error that the server did not send. After a FATAL the connection is
    /// closed; an ERROR stands for the message that was to be passed on.
    Forge(Forged),
    /// The message is passed on, and the server's whole answer to it, up to its ReadyForQuery, is
    /// lost. The rule counts as hit when the answer is complete.
    SwallowReply(Then),
}

/// What happens when an answer has been swallowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The connection hangs, as in a [black hole](Reaction::BlackHole).
    Hang,
    /// Both sides are reset.
    Reset,
}

/// How grave a forged error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
}

/// An error message for [`Reaction::Forge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forged {
    severity: Severity,
    code: String,
    message: String,
}

impl Forged {
    /// An error of a severity, an error code such as `40001`, and a message.
    pub fn new(severity: Severity, code: &str, message: &str) -> Self {
        Forged {
            severity,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// What a client is told when its session is terminated: 57P01.
    pub fn terminated(severity: Severity) -> Self {
        Forged::new(
            severity,
            "57P01",
            "terminating connection due to administrator command",
        )
    }

    /// The severity.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The ErrorResponse message.
    pub(super) fn message(&self) -> Bytes {
        let severity = match self.severity {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
        };
        let mut body = BytesMut::new();
        for (field, value) in [
            (b'S', severity),
            (b'V', severity),
            (b'C', self.code.as_str()),
            (b'M', self.message.as_str()),
        ] {
            body.put_u8(field);
            body.put_slice(value.as_bytes());
            body.put_u8(0);
        }
        body.put_u8(0);
        super::frame::message(b'E', &body)
    }
}

/// A condition, a reaction, and how often it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(super) condition: Condition,
    pub(super) reaction: Reaction,
    pub(super) times: Option<u64>,
}

impl Rule {
    /// A rule that applies until it is removed.
    pub fn new(condition: Condition, reaction: Reaction) -> Self {
        Rule {
            condition,
            reaction,
            times: None,
        }
    }

    /// Applies to the first match only.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Applies to so many matches.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let swallows = matches!(self.reaction, Reaction::SwallowReply(_));
        let statement = match self.condition {
            Condition::Query(_) => true,
            // Query and Bind begin what a ReadyForQuery ends.
            Condition::Frontend(Some(tag)) => matches!(tag, b'Q' | b'B'),
            _ => false,
        };
        if swallows && !statement {
            return Err(Error::refused(
                "only a statement has a reply to swallow: use Condition::query, or the message \
                 tags Q (query) and B (bind)",
            ));
        }
        let answers = matches!(&self.reaction, Reaction::Forge(forged)
            if forged.severity == Severity::Error);
        if answers && matches!(self.condition, Condition::Connect | Condition::Any) {
            return Err(Error::refused(
                "an ERROR answers a message of one side; use a FATAL here",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_rules_are_refused() {
        let swallow = Reaction::SwallowReply(Then::Hang);
        let error = Reaction::Forge(Forged::terminated(Severity::Error));
        let refused = |condition, reaction: &Reaction| {
            Rule::new(condition, reaction.clone()).check().is_err()
        };
        assert!(!refused(Condition::query("commit"), &swallow));
        assert!(!refused(Condition::Frontend(Some(b'Q')), &swallow));
        assert!(refused(Condition::Frontend(Some(b'X')), &swallow));
        assert!(refused(Condition::Backend(None), &swallow));
        assert!(refused(Condition::Connect, &swallow));
        assert!(refused(Condition::Connect, &error));
        assert!(!refused(Condition::query("x"), &error));
    }
}
