//! Files that hold a secret: read with a bound, refused when others can read them.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use secrecy::SecretString;

/// No password is longer.
const LONGEST: u64 = 4096;

/// Why a secret file was not used, as (what, advice).
pub(super) type Refusal = (String, String);

/// A password from a file that only its owner can read: the file's only line.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if the file cannot be read, if others can read it, or if it
/// holds anything but one line.
pub fn password_file(path: impl AsRef<Path>) -> crate::Result<SecretString> {
    read(path.as_ref()).map_err(|(what, advice)| crate::Error::config(format!("{what}: {advice}")))
}

/// The first and only line of a file.
pub(super) fn read(path: &Path) -> Result<SecretString, Refusal> {
    let shown = path.display();
    let cannot = |error: std::io::Error| {
        (
            format!("cannot read the password file {shown}: {error}"),
            format!("create it: umask 077; printf '%s\\n' \"$PASSWORD\" > {shown}"),
        )
    };
    // Before it is opened: a pipe that nobody writes to would hang.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err((
            format!("the password file {shown} is not a regular file"),
            "name a file that holds the password on one line".to_owned(),
        ));
    }
    let file = File::open(path).map_err(cannot)?;
    check_permissions(path, &file.metadata().map_err(cannot)?)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    let malformed = |what: &str| {
        (
            format!("the password file {shown} {what}"),
            "it holds the password on one line, at most 4096 bytes of UTF-8, and nothing else"
                .to_owned(),
        )
    };
    if bytes.len() as u64 > LONGEST {
        return Err(malformed("is too long"));
    }
    let text = String::from_utf8(bytes).map_err(|_| malformed("is not UTF-8"))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(malformed("is empty"));
    }
    if password.contains(['\n', '\0']) {
        return Err(malformed("holds more than one line"));
    }
    Ok(SecretString::from(password))
}

/// The rule of libpq for private keys: readable by its owner alone, or, where root owns it, by a
/// group too (which is how container platforms hand out secrets).
#[cfg(unix)]
pub(super) fn check_permissions(path: &Path, metadata: &Metadata) -> Result<(), Refusal> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = metadata.mode() & 0o777;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if mode & forbidden == 0 {
        return Ok(());
    }
    let shown = path.display();
    Err((
        format!("others can read {shown}: its mode is {mode:04o}"),
        format!("chmod 600 {shown}; a file of root's may have 0640"),
    ))
}

/// Other systems have no such bits.
#[cfg(not(unix))]
pub(super) fn check_permissions(_: &Path, _: &Metadata) -> Result<(), Refusal> {
    Ok(())
}
