//! Who may connect, and what the application may do.

use super::Findings;
use super::facts::{Answers, Facts, HbaLine, NodeFacts};
use super::rules::{
    APP_POWERS, APP_SUPERUSER, HBA_ERROR, HBA_MD5, HBA_PASSWORD, HBA_PLAINTEXT, HBA_TRUST,
    PASSWORD_MD5, TLS_OFF, TLS_OLD, UNREAD,
};
use crate::config::Config;

pub(super) fn check(config: &Config, facts: &Facts, findings: &mut Findings) {
    for (node, answers) in facts.answers() {
        match &answers.app {
            Ok(app) if app.superuser => {
                findings.node(
                    &APP_SUPERUSER,
                    node,
                    format!("{} is a superuser", config.user),
                );
            }
            Ok(app) => {
                for power in &app.powers {
                    findings.node(&APP_POWERS, node, format!("{} {power}", config.user));
                }
            }
            Err(reason) => findings.node(&UNREAD, node, format!("pg_roles: {reason}")),
        }
        match &answers.hba {
            Ok(lines) => lines.iter().for_each(|line| hba(node, line, findings)),
            Err(reason) => findings.node(&UNREAD, node, format!("pg_hba_file_rules: {reason}")),
        }
        tls(node, answers, findings);
        if answers.setting("password_encryption") == Some("md5") {
            findings.node(&PASSWORD_MD5, node, "password_encryption = md5");
        }
    }
}

fn hba(node: &NodeFacts, line: &HbaLine, findings: &mut Findings) {
    let evidence = format!(
        "line {}: {} {} {}",
        line.line, line.kind, line.address, line.method
    );
    if let Some(error) = &line.error {
        findings.node(&HBA_ERROR, node, format!("line {}: {error}", line.line));
        return;
    }
    let network = line.kind != "local" && !is_loopback(&line.address);
    match line.method.as_str() {
        // Over a socket or loopback it is bad manners; whoever is on the machine is who he says.
        "trust" => findings.node(&HBA_TRUST, node, evidence.clone()),
        "password" if network => findings.node(&HBA_PASSWORD, node, evidence.clone()),
        "md5" => findings.node(&HBA_MD5, node, evidence.clone()),
        _ => {}
    }
    let encrypted = line.kind.starts_with("hostssl") || line.kind.starts_with("hostgssenc");
    if network && !encrypted && line.method != "reject" {
        findings.node(&HBA_PLAINTEXT, node, evidence);
    }
}

fn is_loopback(address: &str) -> bool {
    ["127.", "::1", "localhost", "samehost"]
        .iter()
        .any(|start| address.starts_with(start))
}

fn tls(node: &NodeFacts, answers: &Answers, findings: &mut Findings) {
    if node.local {
        return;
    }
    if answers.setting("ssl") == Some("off") {
        findings.node(
            &TLS_OFF,
            node,
            "ssl = off on a server that is reached by a network",
        );
    } else if !answers.encrypted {
        findings.node(&TLS_OFF, node, "this connection is not encrypted");
    }
    if let Some(version) = answers.setting("ssl_min_protocol_version")
        && !["TLSv1.2", "TLSv1.3"].contains(&version)
    {
        findings.node(
            &TLS_OLD,
            node,
            format!("ssl_min_protocol_version = '{version}'"),
        );
    }
}
