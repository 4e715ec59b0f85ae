//! Random faults, from a seed that is printed, under a load whose history is checked: a minute in CI,
//! `make soak SEED=… MINUTES=…` for as long as asked.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use pgshard::local::proxy::{Condition, Forged, Reaction, Rule, Severity, Then};
use pgshard::local::{NodeState, StopMode};

use crate::support::history::{self, Load, Mix};
use crate::support::stage::Stage;
use crate::support::superuser;

/// After so long the history is checked, and a new one begins.
const ROUND: Duration = Duration::from_secs(60);

/// Random numbers that a seed repeats (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text:?} is not a number")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_faults() {
    let seed = setting("SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_millis() as u64
    });
    let minutes: f64 = setting("MINUTES").unwrap_or(0.75);
    let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    println!("soak: SEED={seed} MINUTES={minutes}");
    let soaked = AssertUnwindSafe(soak(seed, until)).catch_unwind().await;
    if let Err(panic) = soaked {
        println!("soak: failed; repeat it with: make soak SEED={seed} MINUTES={minutes}");
        std::panic::resume_unwind(panic);
    }
}

async fn soak(seed: u64, until: Instant) {
    let mut dice = Dice(seed);
    let stage = Stage::proxied().await;
    let mut soak = Soak {
        stage: &stage,
        primary: "s0a".to_owned(),
        began: Instant::now(),
    };
    let mut faults = 0;
    loop {
        let round = Instant::now();
        let load = stage.load(Mix {
            patience: Duration::from_secs(3),
            ..Mix::default()
        });
        load.flows("at the start of a round").await;
        while round.elapsed() < ROUND && Instant::now() < until {
            soak.fault(&mut dice, &load).await;
            faults += 1;
            load.flows("after a fault").await;
            tokio::time::sleep(dice.millis(0, 400)).await;
        }
        let history = load.stop().await;
        let verdict = history::verify(&stage.local, &[history], &[&soak.primary]).await;
        verdict.assert_clean();
        println!(
            "soak: {:6.1} s, {faults} faults, {} writes acknowledged, {} unknown, {} given up, {} reads: \
             nothing lost, doubled, misdirected or stale",
            soak.began.elapsed().as_secs_f64(),
            verdict.acknowledged,
            verdict.unknown,
            verdict.given_up,
            verdict.reads
        );
        if Instant::now() >= until {
            break;
        }
        let admin = superuser(&stage.local, &soak.primary).await;
        admin.batch_execute("TRUNCATE history").await.unwrap();
    }
    stage.close().await.shutdown().await.unwrap();
}

struct Soak<'a> {
    stage: &'a Stage,
    primary: String,
    began: Instant,
}

const NODES: [&str; 3] = ["s0a", "s0b", "s0c"];

impl Soak<'_> {
    fn note(&self, load: &Load, text: String) {
        println!(
            "soak: {:6.1} s, {} acknowledged: {text}",
            self.began.elapsed().as_secs_f64(),
            load.acknowledged()
        );
        load.note(text);
    }

    /// One fault, and its end.
    async fn fault(&mut self, dice: &mut Dice, load: &Load) {
        let local = &self.stage.local;
        let primary = self.primary.clone();
        match dice.below(12) {
            0 | 1 => {
                self.note(load, format!("kill {primary}, then a failover"));
                local.kill(&primary).await.unwrap();
                self.fail_over(load, dice).await;
            }
            2 => {
                let mode = dice.one(&[StopMode::Fast, StopMode::Immediate]);
                self.note(load, format!("{mode:?} stop of {primary}, then a failover"));
                local.stop(&primary, mode).await.unwrap();
                self.fail_over(load, dice).await;
            }
            3 => {
                self.note(load, format!("SIGSTOP {primary}, a failover, SIGCONT"));
                local.pause(&primary).await.unwrap();
                let new = self.stage.promote_best(load).await;
                tokio::time::sleep(dice.millis(0, 2500)).await;
                local.resume(&primary).await.unwrap();
                tokio::time::sleep(dice.millis(0, 1500)).await;
                local.rejoin(&primary).await.unwrap();
                self.primary = new.to_string();
            }
            4 => {
                let node = dice.one(&NODES);
                let pause = dice.millis(50, 2500);
                self.note(load, format!("{node} is frozen for {pause:?}"));
                local.pause(node).await.unwrap();
                tokio::time::sleep(pause).await;
                local.resume(node).await.unwrap();
            }
            5 | 6 => {
                let node = dice.one(&NODES);
                let mode = dice.one(&[StopMode::Fast, StopMode::Immediate]);
                self.note(load, format!("{node} is restarted: {mode:?}"));
                local.stop(node, mode).await.unwrap();
                tokio::time::sleep(dice.millis(0, 500)).await;
                local.start_node(node).await.unwrap();
            }
            7 => {
                let node = dice.one(&NODES);
                self.note(load, format!("sessions on {node} are terminated"));
                let admin = superuser(local, node).await;
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                           WHERE usename = 'app' AND wait_event IS DISTINCT FROM 'SyncRep'";
                admin.execute(end, &[]).await.unwrap();
            }
            8 => self.cut_off(dice, load).await,
            _ => self.network(dice, load).await,
        }
    }

    async fn fail_over(&mut self, load: &Load, dice: &mut Dice) {
        tokio::time::sleep(dice.millis(0, 600)).await;
        let new = self.stage.promote_best(load).await;
        tokio::time::sleep(dice.millis(0, 1000)).await;
        load.note(format!("{} rejoins", self.primary));
        self.stage.local.rejoin(&self.primary).await.unwrap();
        self.primary = new.to_string();
        // It may serve as a synchronous standby, and be promoted next.
        let node = self.stage.local.node(&self.primary).unwrap();
        assert_eq!(node.state(), NodeState::Running);
    }

    async fn cut_off(&self, dice: &mut Dice, load: &Load) {
        let place = dice.below(3) as usize;
        let pause = dice.millis(100, 3000);
        self.note(load, format!("{} is cut off for {pause:?}", NODES[place]));
        let proxy = &self.stage.proxies[place];
        let hole = Rule::new(Condition::Connect, Reaction::BlackHole);
        proxy.add(hole).unwrap();
        proxy.now(Reaction::BlackHole).unwrap();
        tokio::time::sleep(pause).await;
        proxy.heal();
    }

    async fn network(&self, dice: &mut Dice, load: &Load) {
        let place = dice.below(3) as usize;
        let proxy = &self.stage.proxies[place];
        let slow = Reaction::Delay(dice.millis(1, 60));
        let forged = Reaction::Forge(Forged::terminated(Severity::Fatal));
        let then = dice.one(&[Then::Reset, Then::Hang]);
        let (condition, reaction) = match dice.below(5) {
            0 => (Condition::Frontend(None), slow),
            1 => (Condition::query("; commit"), Reaction::SwallowReply(then)),
            2 => (Condition::query("; commit"), Reaction::Reset),
            3 => (Condition::Frontend(Some(b'Q')), forged),
            _ => {
                self.note(load, format!("connections to {} are reset", NODES[place]));
                return proxy.now(Reaction::Reset).unwrap();
            }
        };
        let times = 1 + dice.below(20);
        self.note(
            load,
            format!(
                "{times} times on {}: {condition:?}: {reaction:?}",
                NODES[place]
            ),
        );
        let rule = proxy
            .add(Rule::new(condition, reaction).times(times))
            .unwrap();
        tokio::time::sleep(dice.millis(100, 800)).await;
        rule.remove();
    }
}
