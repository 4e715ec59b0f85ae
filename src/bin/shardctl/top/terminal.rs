//! The terminal: pictures are shown, keys are read, and it is left as it was.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgshard::Cluster;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::draw::draw;
use super::facts::Facts;
use super::model::Model;
use crate::exit::Usage;

/// How often the reader of keys looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);

/// That there is a terminal.
pub(super) fn check() -> anyhow::Result<()> {
    match std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(Usage("top needs a terminal; --once does without".to_owned()).into()),
    }
}

/// The terminal's width, if there is one.
pub(super) fn width() -> Option<u16> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let (width, _) = ratatui::crossterm::terminal::size().ok()?;
    (width > 0).then_some(width.max(40))
}

/// Gives the terminal back, whatever ends the view. A panic's message comes after that, too.
struct Screen(DefaultTerminal);

impl Screen {
    fn take() -> anyhow::Result<Screen> {
        Ok(Screen(ratatui::try_init()?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// A thread that reads keys, until it is dropped.
struct Keys {
    events: mpsc::Receiver<Event>,
    ended: Arc<AtomicBool>,
}

impl Keys {
    fn read() -> Keys {
        let (tell, events) = mpsc::channel(64);
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                match event::poll(LOOK) {
                    Ok(false) => {}
                    Ok(true) => {
                        let Ok(event) = event::read() else { return };
                        if tell.blocking_send(event).is_err() {
                            return;
                        }
                    }
                    // The terminal is gone.
                    Err(_) => return,
                }
            }
        });
        Keys { events, ended }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Shows the cluster until somebody ends it.
pub(super) async fn show(
    cluster: &Cluster,
    facts: &Facts,
    model: &mut Model,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    let mut events = cluster.events();
    let mut screen = Screen::take()?;
    let mut keys = Keys::read();
    let mut every = tokio::time::interval(interval);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => model.see(&cluster.status(), &facts.latest()),
            event = events.recv() => {
                match event {
                    Ok(event) => model.hear(event),
                    // The picture shows what is.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                }
                // What it tells of is to be seen with it.
                model.see(&cluster.status(), &facts.latest());
            }
            key = keys.events.recv() => match key {
                Some(event) if ends(model, &event) => return Ok(()),
                Some(_) => {}
                None => return Ok(()),
            },
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        }
        screen.0.draw(|frame| draw(model, frame))?;
    }
}

/// What a key does; whether it ends the view.
fn ends(model: &mut Model, event: &Event) -> bool {
    let Event::Key(key) = event else {
        return false;
    };
    if key.kind == KeyEventKind::Release {
        return false;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Char('q') => return true,
        KeyCode::Esc if model.help => model.help = false,
        KeyCode::Esc => return true,
        KeyCode::Char('?' | 'h') => model.help = !model.help,
        KeyCode::Char('p') => model.held = !model.held,
        KeyCode::Up | KeyCode::Char('k') => model.choose(-1),
        KeyCode::Down | KeyCode::Char('j') => model.choose(1),
        _ => {}
    }
    false
}
