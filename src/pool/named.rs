//! Keeps named statements from a proxy, whoever would send them.
//!
//! The driver prepares some by itself: to look up a type that it does not know. Another client's
//! statement may have the name already on the server that the proxy happens to lend, or the next
//! server may lack it. So the client's messages are watched, and the first that names a statement ends
//! the connection before it is sent.

/// Where in the client's messages a stream is.
#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    /// The startup message has no byte of type.
    started: bool,
    header: Vec<u8>,
    /// How much of the message is still to come.
    rest: usize,
    /// The next byte is the first of a statement's name.
    name_next: bool,
}

const PARSE: u8 = b'P';

impl Outgoing {
    /// Whether these next bytes name a statement that is to be prepared.
    pub(super) fn names_a_statement(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((byte, later)) = bytes.split_first() {
            if self.rest == 0 {
                self.header.push(*byte);
                bytes = later;
                let tag = usize::from(self.started);
                if let Some(&[a, b, c, d]) = self.header.get(tag..) {
                    self.rest = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(4);
                    self.name_next = self.started && self.header.first() == Some(&PARSE);
                    self.started = true;
                    self.header.clear();
                }
                continue;
            }
            if std::mem::take(&mut self.name_next) && *byte != 0 {
                return true;
            }
            let (seen, later) = bytes.split_at(self.rest.min(bytes.len()));
            self.rest -= seen.len();
            bytes = later;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[tag], length.to_be_bytes().as_slice(), body].concat()
    }

    #[test]
    fn only_a_named_parse_is_caught_however_it_is_cut() {
        let startup = [12_u32.to_be_bytes().as_slice(), b"P\0\0\x01Pabc"].concat();
        let harmless = [
            startup,
            message(b'P', b"\0SELECT 1\0\0\0"),
            message(b'Q', b"P named\0"),
            message(b'S', b""),
        ]
        .concat();
        let named = message(b'P', b"s1\0SELECT 1\0\0\0");
        let all = [harmless.clone(), named].concat();
        for cut in 0..=all.len() {
            let mut outgoing = Outgoing::default();
            let (head, tail) = all.split_at(cut);
            let caught = outgoing.names_a_statement(head);
            assert_eq!(caught, cut > harmless.len() + 5, "{cut}");
            assert!(caught || outgoing.names_a_statement(tail), "{cut}");
        }
        let mut outgoing = Outgoing::default();
        assert!(
            all[..harmless.len()]
                .iter()
                .all(|byte| !outgoing.names_a_statement(&[*byte]))
        );
    }
}
