//! The environment of each etcd.

use crate::error::{Error, Result};

use super::{Rendered, StackOptions};

/// A file of environment variables a member, `etcdN/etcd.env`, as `/etc/default/etcd` and systemd read it.
///
/// # Errors
///
/// `Config` for an even number of members, or a member without a port: two etcds are less than one.
pub fn etcd(cluster: &str, options: &StackOptions) -> Result<Vec<Rendered>> {
    let members = &options.etcd;
    if members.len().is_multiple_of(2) {
        return Err(Error::config(
            "an etcd has an odd number of members: 3, or 5; 1 to try things out",
        ));
    }
    let places = options.members()?;
    let name = |at: usize| format!("etcd{}", at + 1);
    let all: Vec<String> = places
        .iter()
        .enumerate()
        .map(|(at, (host, port))| format!("{}=http://{host}:{}", name(at), port + 1))
        .collect();
    let files = places.iter().enumerate().map(|(at, (host, port))| {
        let own = name(at);
        let text = format!(
            "# Member {own}. The v2 interface is off by default, and Patroni uses v3.\n\
             # Between machines, use https and certificates: ETCD_CERT_FILE, ETCD_KEY_FILE, ETCD_TRUSTED_CA_FILE.\n\
             ETCD_NAME={own}\n\
             ETCD_DATA_DIR=/var/lib/etcd/{own}\n\
             ETCD_LISTEN_CLIENT_URLS=http://{host}:{port}\n\
             ETCD_ADVERTISE_CLIENT_URLS=http://{host}:{port}\n\
             ETCD_LISTEN_PEER_URLS=http://{host}:{peer}\n\
             ETCD_INITIAL_ADVERTISE_PEER_URLS=http://{host}:{peer}\n\
             ETCD_INITIAL_CLUSTER={all}\n\
             ETCD_INITIAL_CLUSTER_TOKEN={cluster}\n\
             ETCD_INITIAL_CLUSTER_STATE=new\n\
             ETCD_AUTO_COMPACTION_RETENTION=1\n",
            all = all.join(","),
            peer = port + 1,
        );
        Rendered::file(format!("{own}/etcd.env"), text)
    });
    Ok(files.collect())
}
