//! Consistency tokens: "at least what I wrote", small enough for a header.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::id::{ClusterId, Lsn, ReignId, ShardId};

const VERSION: &str = "1";

/// A promise to hold a read to: it sees at least what the token's writes did.
///
/// A token names, per shard that was written to, the primary's term and the log position after
/// COMMIT. It travels between services as text (`Display` and `FromStr`, serde as a string):
/// `1:bank:s2=<term>@0/16B3748`. A token of a term whose end was lost in a failover is satisfied by
/// no replica.
///
/// ```
/// use pgshard::Token;
/// let text = "1:bank:s2=67e55044-10b1-426f-9247-bb680e5fe0c8@0/16B3748";
/// let token: Token = text.parse()?;
/// assert_eq!(token.to_string(), text);
/// # Ok::<(), pgshard::InvalidToken>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    cluster: ClusterId,
    marks: Vec<Mark>,
}

/// What a token says of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The shard.
    pub shard: ShardId,
    /// The term in which the write was made.
    pub reign: ReignId,
    /// The log position after COMMIT.
    pub lsn: Lsn,
}

/// The text is not a consistency token of a version that this library reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a consistency token of version 1: {0}")]
pub struct InvalidToken(&'static str);

impl Token {
    /// The token of one write.
    pub fn new(cluster: ClusterId, mark: Mark) -> Self {
        Token {
            cluster,
            marks: vec![mark],
        }
    }

    /// The cluster that the token belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What the token says of a shard; `None` if nothing was written there.
    pub fn mark(&self, shard: ShardId) -> Option<Mark> {
        self.marks.iter().find(|mark| mark.shard == shard).copied()
    }

    /// Joins another token of the same cluster: the result asks for what both ask for.
    ///
    /// For one shard the higher position of one term counts. Of two terms the other token's counts:
    /// join in the order in which the tokens were received.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] if the other token belongs to another cluster.
    pub fn join(&mut self, other: &Token) -> Result<(), InvalidToken> {
        if other.cluster != self.cluster {
            return Err(InvalidToken("the tokens belong to different clusters"));
        }
        for mark in &other.marks {
            match self.marks.iter_mut().find(|own| own.shard == mark.shard) {
                Some(own) if own.reign == mark.reign => own.lsn = own.lsn.max(mark.lsn),
                Some(own) => *own = *mark,
                None => self.marks.push(*mark),
            }
        }
        self.marks.sort_by_key(|mark| mark.shard);
        Ok(())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}:{}:", self.cluster)?;
        for (position, Mark { shard, reign, lsn }) in self.marks.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            write!(f, "{comma}{shard}={reign}@{lsn}")?;
        }
        Ok(())
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let (version, cluster, rest) = (parts.next(), parts.next(), parts.next());
        if version != Some(VERSION) {
            return Err(InvalidToken("it does not begin with version 1"));
        }
        let cluster = cluster
            .and_then(|name| ClusterId::new(name).ok())
            .ok_or(InvalidToken("the cluster's name is not valid"))?;
        let rest = rest
            .filter(|rest| !rest.is_empty())
            .ok_or(InvalidToken("it names no shard"))?;
        let mut marks: Vec<Mark> = Vec::new();
        for entry in rest.split(',') {
            let mark = entry
                .split_once('=')
                .and_then(|(shard, at)| {
                    let (reign, lsn) = at.split_once('@')?;
                    Some(Mark {
                        shard: ShardId::new(shard).ok()?,
                        reign: ReignId(Uuid::try_parse(reign).ok()?),
                        lsn: lsn.parse().ok()?,
                    })
                })
                .ok_or(InvalidToken(
                    "an entry is not of the form shard=term@position",
                ))?;
            if marks.iter().any(|other| other.shard == mark.shard) {
                return Err(InvalidToken("a shard stands there twice"));
            }
            marks.push(mark);
        }
        marks.sort_by_key(|mark| mark.shard);
        Ok(Token { cluster, marks })
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        text.parse().unwrap()
    }

    const A: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    const B: &str = "77e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn joins_to_the_later_of_both() {
        let mut joined = token(&format!("1:bank:s1={A}@0/10"));
        joined
            .join(&token(&format!("1:bank:s0={A}@0/5,s1={A}@0/8")))
            .unwrap();
        assert_eq!(joined.to_string(), format!("1:bank:s0={A}@0/5,s1={A}@0/10"));
        joined.join(&token(&format!("1:bank:s1={B}@0/1"))).unwrap();
        assert_eq!(joined.to_string(), format!("1:bank:s0={A}@0/5,s1={B}@0/1"));
        assert!(joined.join(&token(&format!("1:shop:s1={B}@0/1"))).is_err());
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in [
            String::new(),
            "1:bank:".into(),
            "1:bank".into(),
            format!("2:bank:s1={A}@0/10"),
            format!("1:ba nk:s1={A}@0/10"),
            format!("1:bank:s1={A}"),
            format!("1:bank:s1={A}@10"),
            format!("1:bank:s1={A}@0/10,s1={A}@0/11"),
            "1:bank:s1=x@0/10".into(),
        ] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }
}
