//! Passwords: where they may come from, and what a file that holds one must be like.

use std::fs;
use std::path::Path;

use futures::FutureExt as _;
use secrecy::ExposeSecret as _;

use super::*;

fn put(directory: &Path, name: &str, content: &[u8], mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

fn load(directory: &Path, text: &str, environment: Environment) -> Checked {
    let path = directory.join("shards.toml");
    fs::write(&path, text).unwrap();
    Loader::new().environment(environment).check(&path).unwrap()
}

/// What each node would log in with.
fn passwords(config: &Config) -> Vec<Option<String>> {
    let fetch = |node: &NodeConfig| {
        let source = config.password.as_ref()?;
        let (database, user) = (&config.database, &config.user);
        let login = Login::new(node.id, &node.host, node.port, database, user);
        let password = source.fetch(&login).now_or_never().unwrap().unwrap()?;
        Some(password.expose_secret().to_owned())
    };
    config.nodes().map(|(_, _, node)| fetch(node)).collect()
}

fn shown(config: &Config) -> Option<String> {
    passwords(config).swap_remove(0)
}

fn with_file() -> String {
    GOOD.replace("[routing]", "password_file = \"app.secret\"\n[routing]")
}

#[test]
fn a_password_file_is_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
        put(directory.path(), "app.secret", content.as_bytes(), 0o600);
        let config = load(directory.path(), &with_file(), Environment::default())
            .into_config()
            .unwrap();
        assert_eq!(shown(&config).as_deref(), Some("s3cret"));
    }
}

#[test]
fn a_password_is_read_again_when_it_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "app.secret", b"first", 0o600);
    let config = load(directory.path(), &with_file(), Environment::default())
        .into_config()
        .unwrap();
    assert!(!format!("{config:?}").contains("first"));
    put(directory.path(), "app.secret", b"second", 0o600);
    assert_eq!(shown(&config).as_deref(), Some("second"));
}

#[test]
fn channel_binding_needs_a_channel() {
    let text = GOOD.replace("mode = \"verify-full\"", "channel_binding = \"require\"");
    let config = check_alone(&text).config.unwrap();
    assert_eq!(config.tls.channel_binding, ChannelBinding::Require);
    let text = GOOD.replace(
        "mode = \"verify-full\"",
        "mode = \"plaintext\"\nchannel_binding = \"require\"",
    );
    let problems = lines(&check_alone(&text));
    assert!(
        problems.contains("tls.channel_binding is \"require\", and tls.mode"),
        "{problems}"
    );
}

#[test]
fn a_bad_password_file_is_refused_where_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let refused = |says: &str| {
        let checked = load(directory.path(), &with_file(), Environment::default());
        assert!(checked.config.is_none(), "{says}");
        let text = lines(&checked);
        assert!(
            text.contains(says) && text.contains("shards.toml:4:17: "),
            "{says}\n{text}"
        );
        assert!(!text.contains("s3cret"), "{text}");
        // Looking at the configuration needs no secrets.
        let loader = Loader::new().environment(Environment::default());
        let path = directory.path().join("shards.toml");
        loader.without_secrets().load(path).unwrap();
    };
    refused("cannot read the password file");
    let long = [b'x'; 5000];
    for (content, says) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b"s3cret\ntwo\n", "holds more than one line"),
        (b"\xff", "is not UTF-8"),
        (&long, "is too long"),
    ] {
        put(directory.path(), "app.secret", content, 0o600);
        refused(says);
    }
    put(directory.path(), "app.secret", b"s3cret", 0o644);
    refused("others can read");
    fs::remove_file(directory.path().join("app.secret")).unwrap();
    fs::create_dir(directory.path().join("app.secret")).unwrap();
    refused("is not a regular file");
}

#[test]
fn a_variable_may_hold_it() {
    let text = GOOD.replace("[routing]", "password_env = \"BANK_PASSWORD\"\n[routing]");
    let checked = check(&text, &Environment::with([("BANK_PASSWORD", "s3cret")]));
    assert_eq!(shown(&checked.config.unwrap()).as_deref(), Some("s3cret"));
    let checked = check_alone(&text);
    assert!(
        lines(&checked)
            .contains("shards.toml:4:16: the environment variable BANK_PASSWORD is not set"),
        "{}",
        lines(&checked)
    );
    let both = text.replace("[routing]", "password_file = \"x\"\n[routing]");
    assert!(
        lines(&check_alone(&both)).contains("shards.toml:5:17: both `password_file` and"),
        "{}",
        lines(&check_alone(&both))
    );
}

#[test]
fn what_is_said_for_this_library_wins() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "app.secret", b"of the file", 0o600);
    put(directory.path(), "other", b"of the variable", 0o600);
    let other = directory.path().join("other");
    let other = other.to_str().unwrap();
    let password = |text: &str, variables: &[(&str, &str)]| {
        let environment = Environment::with(variables.iter().copied());
        let config = load(directory.path(), text, environment)
            .into_config()
            .unwrap();
        shown(&config)
    };
    let of = |variables| password(&with_file(), variables);
    assert_eq!(
        of(&[("PGPASSWORD", "stray")]).as_deref(),
        Some("of the file")
    );
    assert_eq!(of(&[("PGSHARD_PASSWORD", "own")]).as_deref(), Some("own"));
    assert_eq!(
        of(&[("PGSHARD_PASSWORD_FILE", other)]).as_deref(),
        Some("of the variable")
    );
    assert_eq!(
        password(GOOD, &[("PGPASSWORD", "stray")]).as_deref(),
        Some("stray")
    );
    assert_eq!(password(GOOD, &[]), None);
}

#[test]
fn pgpass_is_looked_up_node_by_node() {
    let directory = tempfile::tempdir().unwrap();
    let lines_of = b"10.0.0.1:5432:bankdb:app:first\n*:*:bankdb:app:rest\n";
    put(directory.path(), ".pgpass", lines_of, 0o600);
    put(directory.path(), "own", b"*:*:*:*:named\n", 0o600);
    let passwords = |environment: Environment| {
        let config = load(directory.path(), GOOD, environment).into_config();
        passwords(&config.unwrap())
    };
    let some = |text: &str| Some(text.to_owned());
    let home = Environment::default().with_home(directory.path());
    assert_eq!(
        passwords(home.clone()),
        [some("first"), some("rest"), some("rest"), some("rest")]
    );
    let own = directory.path().join("own");
    let named = Environment::with([("PGPASSFILE", own.to_str().unwrap())]);
    assert_eq!(
        passwords(named.with_home(directory.path())),
        vec![some("named"); 4]
    );
    // As for libpq, one that others can read is ignored, but not without a word.
    put(directory.path(), ".pgpass", lines_of, 0o644);
    let checked = load(directory.path(), GOOD, home.clone());
    assert!(
        lines(&checked).contains("its mode is 0644; it is ignored"),
        "{}",
        lines(&checked)
    );
    assert_eq!(passwords(home), vec![None; 4]);
}

#[test]
fn a_private_key_is_a_secret_too() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "client.pem", b"", 0o644);
    put(directory.path(), "client.key", b"", 0o644);
    let text = GOOD.replace(
        "mode = \"verify-full\"",
        "cert_file = \"client.pem\"\nkey_file = \"client.key\"",
    );
    let checked = load(directory.path(), &text, Environment::default());
    assert!(
        lines(&checked).contains("shards.toml:11:12: others can read"),
        "{}",
        lines(&checked)
    );
    put(directory.path(), "client.key", b"", 0o600);
    let config = load(directory.path(), &text, Environment::default())
        .into_config()
        .unwrap();
    assert_eq!(
        config.tls.key_file,
        Some(directory.path().join("client.key"))
    );
}
