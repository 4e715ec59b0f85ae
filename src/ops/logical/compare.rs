//! Whether both ends have the same rows: sums of hashes by buckets of keys, and where they differ, the rows.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::future::try_join;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Lsn;
use crate::sql::ident;

use super::Link;
use super::change::{Values, equal};

/// Keys are put into so many buckets.
const BUCKETS: i64 = 1024;
/// So many rows of differing buckets are read at most.
const READ: i64 = 200_000;
/// So many differences of a table are told at most.
const MOST: usize = 100;
/// A row that changes all the time is looked at so often.
const ATTEMPTS: usize = 5;

/// A table of both ends.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Compared {
    /// Its name.
    pub table: String,
    /// How many rows of the publication the publisher had.
    pub published: i64,
    /// How many of them the subscriber had. They are counted while both go on.
    pub subscribed: i64,
    /// Rows that differ; at most a hundred.
    pub differences: Vec<Difference>,
    /// Whether there may be more differences than were looked at.
    pub more: bool,
    /// Rows that changed too fast to be compared.
    pub undecided: usize,
}

/// A row that differs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// Its replica identity.
    pub key: Vec<(String, Option<String>)>,
    /// Its columns that differ on the publisher; none if it is not there.
    pub published: Option<Vec<(String, Option<String>)>>,
    /// The same on the subscriber.
    pub subscribed: Option<Vec<(String, Option<String>)>>,
}

#[derive(Debug, Deserialize)]
struct Table {
    schema: String,
    name: String,
    columns: Vec<String>,
    key: Vec<String>,
    filter: Option<String>,
}

// Columns that not all versions have are looked up in the row as JSON.
const TABLES: &str = "
SELECT coalesce(json_agg(json_build_object(
    'schema', t.schemaname, 'name', t.tablename, 'filter', to_jsonb(t) ->> 'rowfilter',
    'columns', coalesce(to_jsonb(t) -> 'attnames', (
        SELECT jsonb_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')),
    'key', coalesce((
        SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_index i
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
         WHERE i.indrelid = c.oid
           AND CASE c.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END), '[]')
    ) ORDER BY t.schemaname, t.tablename), '[]')::text
  FROM (SELECT DISTINCT ON (schemaname, tablename) * FROM pg_publication_tables
         WHERE quote_ident(pubname) = ANY (string_to_array($1, ','))) AS t
  JOIN pg_namespace n ON n.nspname = t.schemaname
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename";

/// So that both write a value alike.
const ALIKE: &str = "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres'; \
    SET extra_float_digits = 1; SET bytea_output = 'hex'; SET lc_monetary = 'C'";

/// Of each bucket, how many rows, and the sum of their hashes.
type Sums = BTreeMap<i64, (i64, String)>;
/// Of each key, the hash of its row.
type Hashes = HashMap<Values, i64>;
/// Of each key, its row.
type Rows = HashMap<Values, Values>;

impl Link {
    /// Compares the rows of a subscription's tables on both ends while they go on: what differs is looked at again
    /// once the subscriber has all that the publisher had. It reads each table once as a whole on each end, and
    /// once more where they differ.
    ///
    /// # Errors
    ///
    /// `Config` if there is none of that name; `Refused` if it is disabled; `Timeout` if the subscriber does not
    /// catch up, or a table cannot be read in that time; what a server answers.
    pub async fn compare(
        &self,
        name: &str,
        patience: Duration,
        mut progress: impl FnMut(&str),
    ) -> Result<Vec<Compared>> {
        let standing = self.standing(name).await?;
        let Some(slot) = standing.slot.as_ref().filter(|_| standing.enabled) else {
            return Err(Error::refused(format!(
                "subscription {name} is disabled, and lacks what is written meanwhile: shardctl logical resume {name}"
            )));
        };
        for session in [&self.publisher, &self.subscriber] {
            session.batch(ALIKE).await?;
        }
        let row = self
            .publisher
            .one(TABLES, &[&standing.publications])
            .await?;
        let tables: Vec<Table> = serde_json::from_str(get(&row, 0)?).map_err(|error| {
            let message =
                format!("what the server says of its publication cannot be read: {error}");
            Error::new(ErrorKind::Decode, message).with_source(error)
        })?;
        let mut compared = Vec::new();
        for mut table in tables {
            progress(&table.plain());
            if table.key.is_empty() {
                table.key.clone_from(&table.columns);
            }
            compared.push(self.compare_table(slot, &table, patience).await?);
        }
        Ok(compared)
    }

    async fn compare_table(
        &self,
        slot: &str,
        table: &Table,
        patience: Duration,
    ) -> Result<Compared> {
        let (here, there) = (&self.publisher, &self.subscriber);
        let (published, subscribed) =
            try_join(table.sums(here, patience), table.sums(there, patience)).await?;
        let total = |sums: &Sums| sums.values().map(|(count, _)| count).sum();
        let mut compared = Compared {
            table: table.plain(),
            published: total(&published),
            subscribed: total(&subscribed),
            differences: Vec::new(),
            more: false,
            undecided: 0,
        };
        let (buckets, more) = differing(&published, &subscribed);
        compared.more = more;
        if buckets.is_empty() {
            return Ok(compared);
        }
        let (mine, theirs) = try_join(
            table.hashes(here, &buckets, patience),
            table.hashes(there, &buckets, patience),
        )
        .await?;
        let mut keys: Vec<Values> = mine
            .iter()
            .filter(|(key, hash)| theirs.get(*key) != Some(*hash))
            .map(|(key, _)| key.clone())
            .collect();
        keys.extend(theirs.into_keys().filter(|key| !mine.contains_key(key)));
        keys.sort_unstable();
        compared.more |= keys.len() > MOST;
        keys.truncate(MOST);
        self.look_again(slot, table, keys, patience, &mut compared)
            .await?;
        Ok(compared)
    }

    /// What differed may just not have arrived.
    async fn look_again(
        &self,
        slot: &str,
        table: &Table,
        mut keys: Vec<Values>,
        patience: Duration,
        compared: &mut Compared,
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            if keys.is_empty() {
                break;
            }
            let mut before = table.rows(&self.publisher, &keys).await?;
            self.arrived(slot, patience).await?;
            let mut subscribed = table.rows(&self.subscriber, &keys).await?;
            let after = table.rows(&self.publisher, &keys).await?;
            let mut unsteady = Vec::new();
            for key in keys {
                let (mine, theirs) = (before.remove(&key), subscribed.remove(&key));
                if mine.as_ref() != after.get(&key) {
                    unsteady.push(key);
                } else if mine != theirs {
                    compared.differences.push(difference(key, mine, theirs));
                }
            }
            keys = unsteady;
        }
        compared.undecided = keys.len();
        Ok(())
    }

    /// Waits until the subscriber has all that the publisher has now.
    async fn arrived(&self, slot: &str, patience: Duration) -> Result<()> {
        let end: Lsn = self.written().await?;
        let deadline = Instant::now() + patience;
        while !self.confirmed(slot, end).await? {
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "the subscriber has not caught up within {} s",
                        patience.as_secs()
                    ),
                ));
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

/// The buckets that differ, as far as they may be read, and whether there are more.
fn differing(published: &Sums, subscribed: &Sums) -> (Vec<i64>, bool) {
    let mut buckets = Vec::new();
    let mut rows = 0;
    for bucket in 0..BUCKETS {
        let (mine, theirs) = (published.get(&bucket), subscribed.get(&bucket));
        if mine == theirs {
            continue;
        }
        let count = |side: Option<&(i64, String)>| side.map_or(0, |(count, _)| *count);
        rows += count(mine).max(count(theirs));
        if rows > READ && !buckets.is_empty() {
            return (buckets, true);
        }
        buckets.push(bucket);
    }
    (buckets, rows > READ)
}

fn difference(key: Values, mine: Option<Values>, theirs: Option<Values>) -> Difference {
    let differs = |row: &Values, other: &Option<Values>| match other {
        Some(other) => row
            .iter()
            .filter(|value| !other.contains(value))
            .cloned()
            .collect(),
        None => row.clone(),
    };
    Difference {
        key,
        published: mine.as_ref().map(|row| differs(row, &theirs)),
        subscribed: theirs.as_ref().map(|row| differs(row, &mine)),
    }
}

impl Table {
    fn plain(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    fn source(&self) -> String {
        let filter = self.filter.as_deref().unwrap_or("true");
        format!(
            "{}.{} WHERE ({filter})",
            ident(&self.schema),
            ident(&self.name)
        )
    }

    async fn sums(&self, session: &Session, patience: Duration) -> Result<Sums> {
        let sql = format!(
            "SELECT coalesce(json_agg(json_build_array(bucket, rows, sum)), '[]')::text
               FROM (SELECT {} AS bucket, count(*) AS rows, sum({}::numeric)::text AS sum FROM {} GROUP BY 1) AS sums",
            bucket(&self.key),
            hash(&self.columns),
            self.source()
        );
        let row = session.long(patience, &sql).await?;
        let sums: Vec<(i64, i64, String)> =
            serde_json::from_str(get(&row, 0)?).map_err(|error| {
                Error::new(ErrorKind::Decode, "sums cannot be read").with_source(error)
            })?;
        Ok(sums
            .into_iter()
            .map(|(bucket, rows, sum)| (bucket, (rows, sum)))
            .collect())
    }

    async fn hashes(
        &self,
        session: &Session,
        buckets: &[i64],
        patience: Duration,
    ) -> Result<Hashes> {
        let buckets: Vec<String> = buckets.iter().map(ToString::to_string).collect();
        let key: Vec<String> = self
            .key
            .iter()
            .map(|name| format!("{}::text", ident(name)))
            .collect();
        let sql = format!(
            "SELECT coalesce(json_agg(json_build_array(key, hash::text)), '[]')::text
               FROM (SELECT json_build_array({}) AS key, {} AS hash FROM {} AND {} IN ({}) LIMIT {READ}) AS read",
            key.join(", "),
            hash(&self.columns),
            self.source(),
            bucket(&self.key),
            buckets.join(", ")
        );
        let row = session.long(patience, &sql).await?;
        let rows: Vec<(Vec<Option<String>>, String)> = serde_json::from_str(get(&row, 0)?)
            .map_err(|error| {
                Error::new(ErrorKind::Decode, "hashes cannot be read").with_source(error)
            })?;
        Ok(rows
            .into_iter()
            .map(|(key, hash)| {
                let names = self.key.iter().cloned();
                (names.zip(key).collect(), hash.parse().unwrap_or_default())
            })
            .collect())
    }

    async fn rows(&self, session: &Session, keys: &[Values]) -> Result<Rows> {
        let columns: Vec<String> = self
            .key
            .iter()
            .chain(&self.columns)
            .map(|name| format!("{}::text", ident(name)))
            .collect();
        let wanted: Vec<String> = keys.iter().map(|key| format!("({})", equal(key))).collect();
        let sql = format!(
            "SELECT {} FROM {} AND ({})",
            columns.join(", "),
            self.source(),
            wanted.join(" OR ")
        );
        let mut found = Rows::new();
        for row in session.query(&sql, &[]).await? {
            let read = |names: &[String], from: usize| {
                let names = names.iter().enumerate();
                names
                    .map(|(at, name)| Ok((name.clone(), get(&row, from + at)?)))
                    .collect::<Result<Values>>()
            };
            found.insert(read(&self.key, 0)?, read(&self.columns, self.key.len())?);
        }
        Ok(found)
    }
}

/// Of the values as text, which is the same on each version.
fn hash(columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|name| ident(name).to_string()).collect();
    format!("hashtextextended(ROW({})::text, 0)", columns.join(", "))
}

fn bucket(key: &[String]) -> String {
    format!("({} & {})", hash(key), BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let sums =
            |rows: i64| Sums::from([(0, (rows, "1".to_owned())), (7, (rows, "2".to_owned()))]);
        let none = Sums::new();
        assert_eq!(differing(&sums(5), &sums(5)), (vec![], false));
        assert_eq!(differing(&sums(5), &none), (vec![0, 7], false));
        assert_eq!(differing(&none, &sums(READ)), (vec![0], true));
        assert_eq!(differing(&sums(READ + 1), &none), (vec![0], true));
    }

    #[test]
    fn only_columns_that_differ_are_told() {
        let row = |name: &str| {
            vec![
                ("id".to_owned(), Some("1".to_owned())),
                ("name".to_owned(), Some(name.to_owned())),
            ]
        };
        let key = vec![("id".to_owned(), Some("1".to_owned()))];
        let found = difference(key.clone(), Some(row("a")), Some(row("b")));
        assert_eq!(
            found.published,
            Some(vec![("name".to_owned(), Some("a".to_owned()))])
        );
        assert_eq!(
            found.subscribed,
            Some(vec![("name".to_owned(), Some("b".to_owned()))])
        );
        let found = difference(key, Some(row("a")), None);
        assert_eq!((found.published, found.subscribed), (Some(row("a")), None));
    }
}
