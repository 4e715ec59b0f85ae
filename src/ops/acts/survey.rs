//! What every node of a shard says, before an operator decides.

use futures::future::join_all;
use uuid::Uuid;

use crate::config::{Config, ShardConfig};
use crate::direct::{Credentials, Session, get, refuses_role};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Lsn, NodeId, NodeIndex, SystemId, Timeline};
use crate::monitor::stored::{StoredOrders, reign};
use crate::topology::{Mode, ReignHistory};

/// The schema version from which acts can be stored.
const NEEDED: i32 = 3;

/// What a node of the shard says.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) index: NodeIndex,
    pub(super) node: NodeId,
    pub(super) standby: bool,
    pub(super) system: SystemId,
    pub(super) timeline: Timeline,
    pub(super) lsn: Lsn,
    pub(super) history: ReignHistory,
    /// Milliseconds since 1970, by its clock.
    pub(super) clock: u64,
    pub(super) stored: StoredOrders,
}

impl Seen {
    /// Whether it was promoted, and no client has adopted it.
    pub(super) fn needs_reign(&self) -> bool {
        !self.standby && self.history.newest().timeline != self.timeline
    }

    pub(super) fn mode(&self) -> Mode {
        // A word that is not known is that of a later library: it is not open.
        self.stored.mode().unwrap_or(Mode::Fenced)
    }

    /// Whether an operator gave its branch up.
    pub(super) fn is_given_up(&self, chosen: Option<Uuid>) -> bool {
        chosen.is_some_and(|chosen| !self.history.contains(crate::id::ReignId(chosen)))
    }
}

/// The answers of a shard's nodes.
pub(super) struct Survey {
    pub(super) seen: Vec<Seen>,
    /// The sessions, in the same order.
    pub(super) sessions: Vec<Session>,
    /// The nodes that did not answer as this shard's, with the reason.
    pub(super) silent: Vec<(NodeId, Error)>,
}

const ASK: &str = "
    SELECT i.cluster, i.shard, i.schema_version, r.standby,
           (SELECT system_identifier FROM pg_control_system()),
           CASE WHEN r.standby
                THEN (SELECT timeline_id FROM pg_control_checkpoint())
                ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int4
           END,
           CASE WHEN r.standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text,
           ARRAY(SELECT concat_ws('|', g.reign, coalesce(g.parent::text, ''), g.timeline, g.start_lsn)
                   FROM pgshard.reign g),
           to_jsonb(i)::text,
           (extract(epoch FROM clock_timestamp()) * 1000)::bigint
      FROM pgshard.identity i, (SELECT pg_is_in_recovery() AS standby) r";

pub(super) async fn survey(
    config: &Config,
    shard: &ShardConfig,
    role: &Credentials,
) -> Result<Survey> {
    let answers = join_all((0..).map(NodeIndex).zip(&shard.nodes).map(
        |(index, node)| async move {
            let session = Session::to_node(config, shard.id, node, role).await?;
            let seen = ask(&session, config, shard, index, node.id).await?;
            Ok::<_, Error>((seen, session))
        },
    ))
    .await;
    let mut survey = Survey {
        seen: Vec::new(),
        sessions: Vec::new(),
        silent: Vec::new(),
    };
    for (node, answer) in shard.nodes.iter().zip(answers) {
        match answer {
            Ok((seen, session)) => {
                survey.seen.push(seen);
                survey.sessions.push(session);
            }
            // The other nodes would turn it away too.
            Err(error) if refuses_role(&error) => return Err(error),
            Err(error) if error.kind() == ErrorKind::Refused => return Err(error),
            Err(error) => survey.silent.push((node.id, error)),
        }
    }
    Ok(survey)
}

async fn ask(
    session: &Session,
    config: &Config,
    shard: &ShardConfig,
    index: NodeIndex,
    node: NodeId,
) -> Result<Seen> {
    let installed = session
        .one("SELECT to_regclass('pgshard.identity') IS NOT NULL", &[])
        .await?;
    if !get::<bool>(&installed, 0)? {
        let message = "there is no schema pgshard in the database: run `shardctl install`";
        return Err(session.fail(Error::new(ErrorKind::WrongNode, message)));
    }
    let row = session.one(ASK, &[]).await?;
    let (cluster, holds): (String, String) = (get(&row, 0)?, get(&row, 1)?);
    if cluster != config.cluster.as_str() || holds != shard.id.as_str() {
        let message = format!(
            "the database belongs to shard {holds} of cluster {cluster}: correct the address"
        );
        return Err(session.fail(Error::new(ErrorKind::WrongNode, message)));
    }
    let version: i32 = get(&row, 2)?;
    if version < NEEDED {
        return Err(session.fail(Error::refused(format!(
            "the schema here has version {version}, and acts are stored from version {NEEDED} on: run \
             `shardctl install`"
        ))));
    }
    let odd = |what: &str| {
        session.fail(Error::new(
            ErrorKind::WrongNode,
            format!("{what} is not as expected: run `shardctl install --verify`"),
        ))
    };
    let lines: Vec<String> = get(&row, 7)?;
    let reigns: Option<Vec<_>> = lines.iter().map(|line| reign(line)).collect();
    let history = reigns
        .and_then(|reigns| ReignHistory::new(reigns).ok())
        .ok_or_else(|| odd("pgshard.reign"))?;
    let stored: String = get(&row, 8)?;
    let standby: bool = get(&row, 3)?;
    let position = get::<Option<String>>(&row, 6)?.unwrap_or_default();
    let position: Lsn = position.parse().unwrap_or_default();
    Ok(Seen {
        index,
        node,
        standby,
        system: SystemId(get::<i64>(&row, 4)? as u64),
        timeline: Timeline(get::<i32>(&row, 5)? as u32),
        lsn: match standby {
            true => position,
            false => position.written(),
        },
        history,
        clock: u64::try_from(get::<i64>(&row, 9)?).unwrap_or_default(),
        stored: serde_json::from_str(&stored).map_err(|_| odd("pgshard.identity"))?,
    })
}
