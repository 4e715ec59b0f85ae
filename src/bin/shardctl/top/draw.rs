//! A picture of the model: no I/O.

use std::time::Duration;

use pgshard::client::{NodeStatus, ShardStatus};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, TableState};
use ratatui::{Frame, buffer::Buffer};

use super::model::Model;
use crate::picture::{self, Tint};
use crate::status::short;
use crate::watch::utc;

/// The place of the reign among the columns.
const REIGN: usize = 4;

const KEYS: &str = " q ends · ↑ ↓ choose a node · p holds the picture · ? keys ";

const HELP: [&str; 8] = [
    "q, Escape, Ctrl-C   end",
    "up, down, k, j      choose a node: more is told of it",
    "p                   hold the picture, and go on",
    "?                   these lines, and away with them",
    "",
    "lag     bytes of log that a standby has not replayed, and the last minute",
    "conn    connections, of how many there may be",
    "run     those that run a statement, and + those that wait for a lock",
];

/// The lines that a picture needs.
pub(super) fn height(model: &Model) -> u16 {
    let nodes = u16::try_from(model.nodes().count()).unwrap_or(u16::MAX);
    nodes.saturating_add(16).min(500)
}

pub(super) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let unicode = picture::is_unicode();
    let nodes = u16::try_from(model.nodes().count()).unwrap_or(u16::MAX);
    let [head, table, detail, below, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Max(nodes.saturating_add(1)),
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title(model, head.width), head);
    nodes_table(model, unicode, frame, table);
    frame.render_widget(about(model), detail);
    let [left, right] =
        Layout::horizontal([Constraint::Percentage(62), Constraint::Percentage(38)]).areas(below);
    frame.render_widget(events(model, left), left);
    frame.render_widget(in_doubt(model, right), right);
    frame.render_widget(Line::from(KEYS).dim(), foot);
    if model.help {
        help(frame);
    }
}

fn style(tint: Option<Tint>) -> Style {
    match tint {
        Some(Tint::Good) => Style::new().fg(Color::Green),
        Some(Tint::Doubtful) => Style::new().fg(Color::Yellow),
        Some(Tint::Bad) => Style::new().fg(Color::Red),
        None => Style::new(),
    }
}

fn title(model: &Model, width: u16) -> Line<'static> {
    let well = model
        .shards
        .iter()
        .filter(|shard| shard.state == "steady")
        .count();
    let all = model.shards.len();
    let nodes = model.nodes().count();
    let readable = model.nodes().filter(|(_, node)| node.readable).count();
    let tint = if well == all { Tint::Good } else { Tint::Bad };
    let mut line = vec![
        Span::from(format!(" {} ", model.cluster)).bold(),
        Span::styled(format!("{well} of {all} shards steady"), style(Some(tint))),
        Span::from(format!(", {readable} of {nodes} nodes readable")),
    ];
    let mut right = utc(model.at)
        .get(..19)
        .unwrap_or_default()
        .replace('T', " ");
    if model.held {
        right = format!("HELD {right}");
    }
    let used: usize = line.iter().map(Span::width).sum();
    let gap = usize::from(width).saturating_sub(used + right.len() + 1);
    line.push(Span::from(" ".repeat(gap)));
    line.push(Span::from(right));
    Line::from(line)
}

fn nodes_table(model: &Model, unicode: bool, frame: &mut Frame<'_>, area: Rect) {
    // In a narrow terminal without the reign.
    let wide = area.width >= 102;
    let sparks = if wide {
        20
    } else {
        area.width.saturating_sub(74).clamp(1, 20)
    };
    let mut columns = vec![
        ("shard", 5),
        ("state", 9),
        ("node", 8),
        ("role", 10),
        ("reign", 8),
        ("tl", 3),
        ("     lag", 8),
        ("last minute", sparks),
        ("    ms", 6),
        ("     conn", 9),
        ("   run", 6),
    ];
    if !wide {
        columns.remove(REIGN);
    }
    let (head, widths): (Vec<&str>, Vec<Constraint>) = columns
        .into_iter()
        .map(|(name, width)| (name, Constraint::Length(width)))
        .unzip();
    let mut rows = Vec::new();
    for shard in &model.shards {
        for (at, node) in shard.nodes.iter().enumerate() {
            let mut cells = row(model, shard, node, (at == 0, sparks, unicode));
            if !wide {
                cells.remove(REIGN);
            }
            rows.push(Row::new(cells));
        }
    }
    let table = Table::new(rows, widths)
        .header(Row::new(head).style(Style::new().add_modifier(Modifier::BOLD)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(Some(model.chosen));
    frame.render_stateful_widget(table, area, &mut state);
}

fn row(
    model: &Model,
    shard: &ShardStatus,
    node: &NodeStatus,
    (first, sparks, unicode): (bool, u16, bool),
) -> Vec<Cell<'static>> {
    let words = |text: String| {
        let tint = picture::tint(&text);
        Cell::from(text).style(style(tint))
    };
    let state = match shard.mode {
        "open" => shard.state,
        mode => mode,
    };
    let (name, state) = match first {
        true => (shard.shard.to_string(), state.to_owned()),
        false => (String::new(), String::new()),
    };
    let known = model.lags.get(&node.node).map(|lags| {
        let last = lags.iter().rev().take(usize::from(sparks)).rev();
        picture::sparks(last.copied(), unicode)
    });
    let blank = usize::from(sparks);
    let right = |text: String, width: usize| Cell::from(format!("{text:>width$}"));
    let server = model.server(node.node);
    let lag = node.lag_bytes.filter(|_| node.state == "standby");
    let millis = |latency: Duration| format!("{:.1}", latency.as_secs_f64() * 1e3);
    let running = |running: u32, waiting: u32| match waiting {
        0 => running.to_string(),
        waiting => format!("{running}+{waiting}"),
    };
    let mut cells = vec![
        Cell::from(name),
        words(state),
        Cell::from(node.node.to_string()),
        words(node.state.to_owned()),
        Cell::from(short(node).unwrap_or_default()),
        right(
            node.timeline.map(|tl| tl.0.to_string()).unwrap_or_default(),
            3,
        ),
        right(lag.map(picture::bytes).unwrap_or_default(), 8),
        Cell::from(format!("{:>blank$}", known.unwrap_or_default())).style(style(Some(Tint::Good))),
        right(node.latency.map(millis).unwrap_or_default(), 6),
    ];
    let connections = server.map(|server| format!("{}/{}", server.connections, server.limit));
    cells.push(right(connections.unwrap_or_default(), 9));
    let run = server.map(|server| running(server.running, server.waiting));
    cells.push(right(run.unwrap_or_default(), 6));
    cells
}

/// More of the chosen node and its shard.
fn about(model: &Model) -> Paragraph<'static> {
    let Some((shard, node)) = model.nodes().nth(model.chosen) else {
        return Paragraph::new("");
    };
    let mut told = vec![format!("{} at {}:{}", node.node, node.host, node.port)];
    if let Some(lsn) = &node.lsn {
        told.push(format!("log {lsn}"));
    }
    if node.fenced {
        told.push("fenced by an operator".to_owned());
    }
    if node.leased {
        told.push("holds the lock".to_owned());
    }
    if let Some(failure) = &node.failure {
        told.push(failure.clone());
    } else if let Some(Err(failure)) = model.servers.get(&node.node) {
        told.push(failure.clone());
    }
    let reason = shard
        .reason
        .clone()
        .map(|reason| format!("shard {}: {reason}", shard.shard));
    let lines = [Some(told.join(", ")), reason];
    let lines = lines
        .into_iter()
        .flatten()
        .map(|line| Line::from(format!(" {}", plain(&line))));
    Paragraph::new(lines.collect::<Vec<_>>())
}

/// A server's own words may be in it.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn framed(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(title)
}

fn events(model: &Model, area: Rect) -> Paragraph<'static> {
    let lines = model
        .events
        .iter()
        .take(usize::from(area.height))
        .map(|event| {
            let tint = if event.good { Tint::Good } else { Tint::Bad };
            let time = utc(event.at);
            Line::from(vec![
                Span::from(format!(" {} ", time.get(11..19).unwrap_or_default())).dim(),
                Span::from(format!("{} ", event.shard)),
                Span::styled(plain(&event.text), style(Some(tint))),
            ])
        });
    let lines: Vec<Line<'_>> = lines.collect();
    let lines = match lines.is_empty() {
        true => vec![Line::from(" nothing has happened since").dim()],
        false => lines,
    };
    Paragraph::new(lines).block(framed(" events ".to_owned()))
}

fn in_doubt(model: &Model, area: Rect) -> Paragraph<'static> {
    let all = model.in_doubt();
    let title = match all.len() {
        0 => " in doubt: none ".to_owned(),
        count => format!(" in doubt: {count} "),
    };
    let lines = all
        .into_iter()
        .take(usize::from(area.height))
        .map(|(shard, prepared)| {
            let age = prepared.seconds.max(0.0);
            let tint = (age > 60.0).then_some(Tint::Bad);
            Line::from(vec![
                Span::from(format!(" {shard} ")),
                Span::styled(format!("{age:>5.0} s "), style(tint)),
                Span::from(plain(&format!("{} ({})", prepared.gid, prepared.owner))),
            ])
        });
    Paragraph::new(lines.collect::<Vec<_>>()).block(framed(title))
}

fn help(frame: &mut Frame<'_>) {
    let area = frame.area();
    let width = 76.min(area.width);
    let height = u16::try_from(HELP.len() + 2)
        .unwrap_or(u16::MAX)
        .min(area.height);
    let area = Rect::new(
        (area.width - width) / 2,
        (area.height - height) / 2,
        width,
        height,
    );
    let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::from).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title(" keys ")),
        area,
    );
}

/// The picture as lines of text.
pub(super) fn text(model: &Model, width: u16, height: u16) -> anyhow::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height))?;
    terminal.draw(|frame| draw(model, frame))?;
    Ok(lines(terminal.backend().buffer()))
}

fn lines(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let line: String = (buffer.area.left()..buffer.area.right())
            .filter_map(|x| buffer.cell((x, y)).map(|cell| cell.symbol()))
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgshard::client::PoolStatus;
    use pgshard::id::{NodeId, ReignId, ShardId, Timeline};

    fn node(name: &str, state: &'static str, lag: Option<u64>) -> NodeStatus {
        NodeStatus {
            node: NodeId::new(name).unwrap(),
            host: "10.0.0.1".to_owned(),
            port: 5432,
            state,
            reign: Some(ReignId(uuid::Uuid::nil())),
            timeline: Some(Timeline(3)),
            lsn: Some("0/3000148".to_owned()),
            lag_bytes: lag,
            lag_time: None,
            latency: Some(Duration::from_micros(420)),
            readable: state != "down",
            leased: false,
            noloadbalance: false,
            nofailover: false,
            fenced: false,
            map_version: None,
            answers: state != "down",
            failure: (state == "down").then(|| "refused\u{1b}[31m".to_owned()),
            pool: PoolStatus::default(),
        }
    }

    fn model() -> Model {
        let mut model = Model::new("bank".to_owned());
        let primary = NodeId::new("s0a").unwrap();
        let server = r#"{"connections": 12, "limit": 97, "running": 3, "waiting": 1,
            "prepared": [{"gid": "transfer-7", "owner": "app", "seconds": 75.2}]}"#;
        let servers = [(primary, Ok(serde_json::from_str(server).unwrap()))];
        for lag in [0, 4096, 1 << 24] {
            let shard = ShardStatus {
                shard: ShardId::new("s0").unwrap(),
                state: "steady",
                mode: "open",
                reason: None,
                primary: Some(primary),
                reign: None,
                nodes: vec![
                    node("s0a", "primary", None),
                    node("s0b", "standby", Some(lag)),
                    node("s0c", "down", None),
                ],
            };
            model.see(&[shard], &servers.clone().into());
        }
        model
    }

    #[test]
    fn a_picture_has_what_is_known() {
        let mut model = model();
        model.choose(9);
        let shown = text(&model, 110, 18).unwrap();
        for part in [
            "bank 1 of 1 shards steady, 2 of 3 nodes readable",
            "s0    steady    s0a      primary    00000000   3",
            "16 MiB",
            "12/97",
            "3+1",
            " s0c at 10.0.0.1:5432",
            "refused[31m",
            "in doubt: 1",
            "s0    75 s transfer-7 (app)",
            "nothing has happened since",
        ] {
            assert!(shown.contains(part), "{part}:\n{shown}");
        }
        assert!(
            !shown.contains('\u{1b}'),
            "a server's words command no terminal"
        );
        let narrow = text(&model, 80, 12).unwrap();
        assert!(
            !narrow.contains("00000000") && narrow.contains("16 MiB"),
            "{narrow}"
        );
        model.help = true;
        assert!(text(&model, 80, 20).unwrap().contains("hold the picture"));
        // However small it is.
        text(&model, 1, 1).unwrap();
    }

    #[test]
    fn what_is_held_does_not_change() {
        let mut model = model();
        model.held = true;
        model.see(&[], &super::super::facts::Latest::new());
        assert_eq!(model.nodes().count(), 3);
        assert!(text(&model, 110, 18).unwrap().contains("HELD"));
    }
}
