//! Units of systemd.

use crate::config::Config;

use super::{Rendered, servers};

/// A unit for each node's Patroni: `NODE/patroni.service`. Its passwords are in `/etc/patroni/secrets.env`, which root alone
/// reads.
pub fn systemd(config: &Config) -> Vec<Rendered> {
    let units = servers(config).map(|(_, _, node)| {
        let text = format!(
            "[Unit]\n\
             Description=Patroni of {node}\n\
             After=network-online.target\n\
             Wants=network-online.target\n\
             \n\
             [Service]\n\
             Type=simple\n\
             User=postgres\n\
             Group=postgres\n\
             EnvironmentFile=/etc/patroni/secrets.env\n\
             ExecStart=/usr/bin/patroni /etc/patroni/patroni.yml\n\
             ExecReload=/bin/kill -HUP $MAINPID\n\
             # Only Patroni gets the signal: it stops its server itself, cleanly.\n\
             KillMode=process\n\
             TimeoutSec=300\n\
             Restart=on-failure\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n",
            node = node.id
        );
        Rendered::file(format!("{}/patroni.service", node.id), text)
    });
    units.collect()
}
